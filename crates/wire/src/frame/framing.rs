//! The ways to mark where a message ends.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;

use crate::escape::Escaped;

/// How the borders of messages are marked on a stream.
///
/// Written and read (`FromStr`, `Display`) as `raw`, `line`, `delimiter=…`,
/// `length=u8|u16|u32|u64|varint` (`u16le`, `u32le` and `u64le` for little-endian), `fixed=N`,
/// `netstring` and `gap=100ms`. The text of a delimiter knows `\n \r \t \0 \\ \xNN`; `N` is in
/// bytes and takes `k` and `m` (1024 and 1024²).
///
/// ```
/// use sockeye_wire::frame::Framing;
///
/// let framing: Framing = r"delimiter=\r\n.\r\n".parse().unwrap();
/// assert_eq!(framing.to_string(), r"delimiter=\r\n.\r\n");
/// assert_eq!(
///     "lenght=u32".parse::<Framing>().unwrap_err().to_string(),
///     "framing `lenght=u32`: there is no `lenght`; take raw, line, delimiter=TEXT, \
///      length=u8|u16|u32|u64|varint, fixed=BYTES, netstring or gap=DURATION",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A frame is what stands after this many bytes, and so on.
    Fixed(NonZeroUsize),
    /// The border is a silence of at least this long; whoever has the clock says
    /// [`Decoder::silence`](super::Decoder::silence). Writing marks no border.
    Gap(Duration),
    /// The border is this text, as in `delimiter=\0`.
    Delimiter(Delimiter),
    /// A length stands ahead of the payload.
    Length(Length),
    /// The border is LF. A CR ahead of it belongs to the border when it is read; LF alone is
    /// written.
    Line,
    /// Decimal length, `:`, payload, `,` (D. J. Bernstein, "Netstrings", 1997).
    Netstring,
    /// No borders: a frame is what arrived at once. Writing marks none either.
    Raw,
}

/// A border made of at least one byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delimiter(Bytes);

impl Delimiter {
    /// `None` if there are no bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Option<Delimiter> {
        let bytes = bytes.into();
        (!bytes.is_empty()).then_some(Delimiter(bytes))
    }

    /// The bytes of the border, at least one.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// How a length ahead of the payload is written. It counts the payload's bytes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Length {
    /// One byte.
    U8,
    /// Two bytes, big-endian.
    U16,
    /// Two bytes, little-endian.
    U16Le,
    /// Four bytes, big-endian.
    U32,
    /// Four bytes, little-endian.
    U32Le,
    /// Eight bytes, big-endian.
    U64,
    /// Eight bytes, little-endian.
    U64Le,
    /// Seven bits a byte, the lowest first, the eighth bit set on all but the last byte: unsigned
    /// LEB128 as in protobuf, one to ten bytes. An encoding longer than need be is refused.
    Varint,
}

impl Length {
    /// All of them, in the order of their names.
    pub const ALL: [Length; 8] = [
        Length::U8,
        Length::U16,
        Length::U16Le,
        Length::U32,
        Length::U32Le,
        Length::U64,
        Length::U64Le,
        Length::Varint,
    ];

    /// The largest payload that can be announced, in bytes.
    #[must_use]
    pub fn max(self) -> u64 {
        match self {
            Length::U8 => u8::MAX.into(),
            Length::U16 | Length::U16Le => u16::MAX.into(),
            Length::U32 | Length::U32Le => u32::MAX.into(),
            Length::U64 | Length::U64Le | Length::Varint => u64::MAX,
        }
    }

    /// As it is written behind `length=`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Length::U8 => "u8",
            Length::U16 => "u16",
            Length::U16Le => "u16le",
            Length::U32 => "u32",
            Length::U32Le => "u32le",
            Length::U64 => "u64",
            Length::U64Le => "u64le",
            Length::Varint => "varint",
        }
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Framing::Fixed(size) => write!(f, "fixed={size}"),
            Framing::Gap(silence) => {
                // Without the blanks between units, so that it stays one word of a command.
                let silence = humantime::format_duration(*silence).to_string();
                write!(f, "gap={}", silence.replace(' ', ""))
            }
            Framing::Delimiter(delimiter) => write!(f, "delimiter={delimiter}"),
            Framing::Length(length) => write!(f, "length={length}"),
            Framing::Line => f.write_str("line"),
            Framing::Netstring => f.write_str("netstring"),
            Framing::Raw => f.write_str("raw"),
        }
    }
}

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\n' => f.write_str(r"\n")?,
                    '\r' => f.write_str(r"\r")?,
                    '\t' => f.write_str(r"\t")?,
                    '\0' => f.write_str(r"\0")?,
                    '\\' => f.write_str(r"\\")?,
                    _ if shows_itself(character) => write!(f, "{character}")?,
                    _ => {
                        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                            write!(f, r"\x{byte:02x}")?;
                        }
                    }
                }
            }
            for byte in chunk.invalid() {
                write!(f, r"\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Whether a terminal shows the character as it is.
fn shows_itself(character: char) -> bool {
    let mut bytes = [0; 4];
    let text = character.encode_utf8(&mut bytes);
    Escaped(text.as_bytes()).to_string() == *text
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
