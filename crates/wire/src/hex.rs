//! Bytes as hexadecimal digits: a dump to look at, and digits read back.

use std::fmt::Write;

/// Bytes a row of a dump shows.
const ROW: usize = 16;

/// Writes a dump as bytes arrive: offset, sixteen bytes a row, and what of them is printable
/// ASCII.
///
/// A row is written when it is full; [`finish`](Dump::finish) writes the one that is not.
///
/// ```
/// use sockeye_wire::hex::Dump;
///
/// let mut dump = Dump::new(0x20);
/// let mut out = String::new();
/// dump.push(b"GET / HTTP/1.1", &mut out);
/// dump.push(b"\r\n\r\n", &mut out);
/// dump.finish(&mut out);
/// assert_eq!(out, "\
/// 00000020  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  |GET / HTTP/1.1..|
/// 00000030  0d 0a                                             |..|
/// ");
/// ```
#[derive(Clone, Debug)]
pub struct Dump {
    /// Of the first byte in the row.
    offset: u64,
    row: [u8; ROW],
    filled: usize,
}

impl Dump {
    /// A dump whose first byte has this offset. Offsets wrap at 2⁶⁴.
    #[must_use]
    pub fn new(offset: u64) -> Dump {
        Dump { offset, row: [0; ROW], filled: 0 }
    }

    /// Takes more bytes and appends the rows that are full.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut String) {
        while !bytes.is_empty() {
            let taken = bytes.len().min(ROW - self.filled);
            self.row[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == ROW {
                self.finish(out);
            }
        }
    }

    /// Appends the row that has begun, if one has. More may be pushed: it begins a new row.
    pub fn finish(&mut self, out: &mut String) {
        let row = &self.row[..self.filled];
        if row.is_empty() {
            return;
        }
        write!(out, "{:08x} ", self.offset).expect("a String takes all");
        for column in 0..ROW {
            if column % 8 == 0 {
                out.push(' ');
            }
            match row.get(column) {
                Some(byte) => write!(out, "{byte:02x} ").expect("a String takes all"),
                None => out.push_str("   "),
            }
        }
        out.push_str(" |");
        out.extend(row.iter().map(|&byte| match byte {
            b' '..=b'~' => char::from(byte),
            _ => '.',
        }));
        out.push_str("|\n");
        self.offset = self.offset.wrapping_add(row.len() as u64);
        self.filled = 0;
    }
}

/// Reads bytes written as pairs of hexadecimal digits.
///
/// Pairs may stand together or apart, with blanks, line ends or commas between them; `0x` may
/// stand ahead of the first pair and after each of those.
///
/// ```
/// use sockeye_wire::hex::parse;
///
/// assert_eq!(parse("de ad BEEF\n0x00, 0x2a").unwrap(), b"\xde\xad\xbe\xef\x00\x2a");
/// assert_eq!(
///     parse("de ag").unwrap_err().to_string(),
///     "character 5: `g` is no hexadecimal digit; write bytes as `de ad be ef` or `0xde`"
/// );
/// ```
///
/// # Errors
///
/// At the first character that is no digit, or at a digit that has no second one.
pub fn parse(text: &str) -> Result<Vec<u8>, ParseHexError> {
    let mut bytes = Vec::new();
    let mut characters = text.chars().enumerate().peekable();
    // Whether a `0x` may stand here.
    let mut apart = true;
    while let Some((at, character)) = characters.next() {
        if character.is_ascii_whitespace() || character == ',' {
            apart = true;
            continue;
        }
        let error = |at, reason| ParseHexError { character: at + 1, reason };
        let high = digit(character).ok_or(error(at, Reason::NoDigit(character)))?;
        match characters.next() {
            Some((_, 'x' | 'X')) if apart && high == 0 => {
                // What follows must be a pair.
                match characters.peek() {
                    Some((_, next)) if digit(*next).is_some() => {}
                    _ => return Err(error(at, Reason::Prefix)),
                }
            }
            Some((next_at, next)) => match digit(next) {
                Some(low) => bytes.push(high << 4 | low),
                None if next.is_ascii_whitespace() || next == ',' => {
                    return Err(error(at, Reason::Half(character)));
                }
                None => return Err(error(next_at, Reason::NoDigit(next))),
            },
            None => return Err(error(at, Reason::Half(character))),
        }
        apart = false;
    }
    Ok(bytes)
}

fn digit(character: char) -> Option<u8> {
    character.to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Text that is not hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("character {character}: {reason}")]
pub struct ParseHexError {
    /// Which character of the text is wrong, counted from 1.
    pub character: usize,
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("`{}` is half a byte; write two digits, as `0{}`", .0, .0)]
    Half(char),
    #[error("`{}` is no hexadecimal digit; write bytes as `de ad be ef` or `0xde`", .0.escape_debug())]
    NoDigit(char),
    #[error("no digits behind `0x`; write bytes as `de ad be ef` or `0xde`")]
    Prefix,
}
