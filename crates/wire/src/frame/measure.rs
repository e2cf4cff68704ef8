//! How long the frame is that begins here.

use memchr::memmem::Finder;

use super::{FrameErrorKind, Framing, Length};

/// Finds the border of one frame at a time.
#[derive(Clone, Debug)]
pub(super) struct Measure {
    rule: Rule,
    /// The longest payload, in bytes.
    max: usize,
}

#[derive(Clone, Debug)]
enum Rule {
    Delimiter(Box<Finder<'static>>),
    Fixed(usize),
    Gap,
    Length(Length),
    Line,
    Netstring,
    Raw,
}

/// What the bytes from the beginning of a frame on say about it.
pub(super) enum Found {
    /// The frame is whole: so many bytes of header, payload and border.
    Frame { header: usize, payload: usize, border: usize },
    /// So many bytes more, at least, before it is worth looking again. What lies before `scanned`
    /// need not be looked at again.
    More { wanted: usize, scanned: usize },
}

/// An error with its distance from the beginning of the frame.
pub(super) type Wrong = (usize, FrameErrorKind);

/// How much is taken at once from what arrived when a border has to be searched: small, because
/// what lies behind the border is given back, and doubling, so that the whole stays linear.
const STRIDE: usize = 256;

impl Measure {
    pub(super) fn new(framing: &Framing, max: usize) -> Measure {
        let rule = match framing {
            Framing::Fixed(size) => Rule::Fixed(size.get()),
            Framing::Gap(_) => Rule::Gap,
            Framing::Delimiter(border) => {
                Rule::Delimiter(Box::new(Finder::new(border.as_bytes()).into_owned()))
            }
            Framing::Length(length) => Rule::Length(*length),
            Framing::Line => Rule::Line,
            Framing::Netstring => Rule::Netstring,
            Framing::Raw => Rule::Raw,
        };
        Measure { rule, max }
    }

    /// Looks at `bytes`, which begin where the frame begins and are not empty.
    pub(super) fn look(&self, bytes: &[u8], scanned: usize) -> Result<Found, Wrong> {
        match &self.rule {
            Rule::Delimiter(finder) => self.delimiter(finder, bytes, scanned),
            Rule::Fixed(size) => Ok(whole(bytes, 0, *size, 0)),
            Rule::Gap if bytes.len() > self.max => Err(self.no_border()),
            Rule::Gap => Ok(Found::More { wanted: usize::MAX, scanned: 0 }),
            Rule::Length(length) => self.length(*length, bytes),
            Rule::Line => self.line(bytes, scanned),
            Rule::Netstring => self.netstring(bytes),
            Rule::Raw => Ok(Found::Frame { header: 0, payload: bytes.len(), border: 0 }),
        }
    }

    /// Whether the last frame of a stream, for which `look` wants more, lacks its border.
    pub(super) fn at_end(&self, bytes: &[u8]) -> Result<bool, Wrong> {
        match &self.rule {
            Rule::Delimiter(_) | Rule::Line if bytes.len() > self.max => Err(self.no_border()),
            Rule::Delimiter(_) | Rule::Line => Ok(true),
            // The end of the stream is a silence that lasts.
            Rule::Gap | Rule::Raw => Ok(false),
            Rule::Fixed(_) | Rule::Length(_) | Rule::Netstring => {
                let missing = match self.look(bytes, 0)? {
                    Found::More { wanted, .. } => u64::try_from(wanted).unwrap_or(u64::MAX),
                    Found::Frame { .. } => 0,
                };
                Err((bytes.len(), FrameErrorKind::Truncated { start: 0, missing }))
            }
        }
    }

    fn line(&self, bytes: &[u8], scanned: usize) -> Result<Found, Wrong> {
        // The longest line ends with CR LF.
        let limit = self.max + 2;
        let searched = &bytes[scanned..bytes.len().min(limit)];
        match memchr::memchr(b'\n', searched).map(|at| scanned + at) {
            Some(at) => {
                let payload = if bytes[..at].ends_with(b"\r") { at - 1 } else { at };
                if payload > self.max {
                    return Err(self.no_border());
                }
                Ok(Found::Frame { header: 0, payload, border: at + 1 - payload })
            }
            None if bytes.len() >= limit => Err(self.no_border()),
            None => Ok(Found::More { wanted: bytes.len().max(STRIDE), scanned: bytes.len() }),
        }
    }

    fn delimiter(&self, finder: &Finder<'_>, bytes: &[u8], scanned: usize) -> Result<Found, Wrong> {
        let border = finder.needle().len();
        let limit = self.max + border;
        let searched = &bytes[scanned..bytes.len().min(limit)];
        match finder.find(searched) {
            Some(at) => Ok(Found::Frame { header: 0, payload: scanned + at, border }),
            None if bytes.len() >= limit => Err(self.no_border()),
            None => Ok(Found::More {
                wanted: bytes.len().max(STRIDE),
                // The border may have begun in the last bytes.
                scanned: bytes.len().saturating_sub(border - 1),
            }),
        }
    }

    fn length(&self, length: Length, bytes: &[u8]) -> Result<Found, Wrong> {
        let fixed = |size: usize| bytes.get(..size).ok_or(size - bytes.len().min(size));
        let mut wide = [0; 8];
        let (header, announced) = match length {
            Length::Varint => match varint(bytes)? {
                Some(read) => read,
                None => return Ok(Found::More { wanted: 1, scanned: 0 }),
            },
            Length::U8 | Length::U16 | Length::U32 | Length::U64 => {
                let size = width(length);
                match fixed(size) {
                    Ok(header) => wide[8 - size..].copy_from_slice(header),
                    Err(wanted) => return Ok(Found::More { wanted, scanned: 0 }),
                }
                (size, u64::from_be_bytes(wide))
            }
            Length::U16Le | Length::U32Le | Length::U64Le => {
                let size = width(length);
                match fixed(size) {
                    Ok(header) => wide[..size].copy_from_slice(header),
                    Err(wanted) => return Ok(Found::More { wanted, scanned: 0 }),
                }
                (size, u64::from_le_bytes(wide))
            }
        };
        Ok(whole(bytes, header, self.allowed(announced)?, 0))
    }

    fn netstring(&self, bytes: &[u8]) -> Result<Found, Wrong> {
        // 2⁶⁴ − 1 has 20 digits.
        let head = &bytes[..bytes.len().min(21)];
        let digits = head.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if let [b'0', found @ b'0'..=b'9', ..] = head {
            return Err((1, FrameErrorKind::NetstringLength { found: *found }));
        }
        let announced = head[..digits].iter().try_fold(0_u64, |length, digit| {
            length.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        });
        let announced = announced.ok_or((0, FrameErrorKind::NetstringOverflow))?;
        match head.get(digits) {
            Some(b':') if digits > 0 => {}
            Some(&found) => return Err((digits, FrameErrorKind::NetstringLength { found })),
            None => return Ok(Found::More { wanted: 1, scanned: 0 }),
        }
        let payload = self.allowed(announced)?;
        let found = whole(bytes, digits + 1, payload, 1);
        match bytes.get(digits + 1 + payload) {
            Some(b',') | None => Ok(found),
            Some(&found) => Err((digits + 1 + payload, FrameErrorKind::NetstringEnd { found })),
        }
    }

    fn allowed(&self, announced: u64) -> Result<usize, Wrong> {
        usize::try_from(announced)
            .ok()
            .filter(|&length| length <= self.max)
            .ok_or((0, FrameErrorKind::Announced { length: announced, max: self.max }))
    }

    fn no_border(&self) -> Wrong {
        (self.max, FrameErrorKind::NoBorder { max: self.max })
    }
}

fn whole(bytes: &[u8], header: usize, payload: usize, border: usize) -> Found {
    let total = header + payload + border;
    if bytes.len() < total {
        Found::More { wanted: total - bytes.len(), scanned: 0 }
    } else {
        Found::Frame { header, payload, border }
    }
}

/// Bytes a length takes that always takes the same.
fn width(length: Length) -> usize {
    match length {
        Length::U8 | Length::Varint => 1,
        Length::U16 | Length::U16Le => 2,
        Length::U32 | Length::U32Le => 4,
        Length::U64 | Length::U64Le => 8,
    }
}

/// How many bytes the varint takes, and what it says; `None` if it is not whole.
fn varint(bytes: &[u8]) -> Result<Option<(usize, u64)>, Wrong> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(10).enumerate() {
        // Nine bytes carry 63 bits; of the tenth, one bit is left.
        if at == 9 && byte > 1 {
            return Err((at, FrameErrorKind::VarintOverflow));
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            if byte == 0 && at > 0 {
                return Err((at, FrameErrorKind::VarintOverlong));
            }
            return Ok(Some((at + 1, value)));
        }
    }
    Ok(None)
}
