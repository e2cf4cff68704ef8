//! Reading a framing as a user writes it.

use std::num::NonZeroUsize;
use std::str::FromStr;

use super::{Delimiter, Framing, Length};
use crate::escape::Escaped;

/// A framing that can't be read: what was given, which part is wrong, and what would do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("framing `{}`: {reason}", Escaped(given.as_bytes()))]
pub struct ParseFramingError {
    given: String,
    reason: String,
}

impl FromStr for Framing {
    type Err = ParseFramingError;

    fn from_str(given: &str) -> Result<Framing, ParseFramingError> {
        let (name, value) = match given.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (given, None),
        };
        let framing = match (name, value) {
            ("raw", None) => Ok(Framing::Raw),
            ("line", None) => Ok(Framing::Line),
            ("netstring", None) => Ok(Framing::Netstring),
            ("raw" | "line" | "netstring", Some(_)) => {
                Err(format!("`{name}` takes no value; write `{name}` alone"))
            }
            ("delimiter", Some(text)) => delimiter(text).map(Framing::Delimiter),
            ("delimiter", None) => Err(r"which text? As in `delimiter=\0`".to_owned()),
            ("length", Some(text)) => length(text).map(Framing::Length),
            ("length", None) => Err("of which form? As in `length=u32`".to_owned()),
            ("fixed", Some(text)) => size(text).map(Framing::Fixed),
            ("fixed", None) => Err("how many bytes? As in `fixed=512`".to_owned()),
            ("gap", Some(text)) => gap(text),
            ("gap", None) => Err("how long a silence? As in `gap=100ms`".to_owned()),
            _ => Err(format!(
                "there is no `{}`; take raw, line, delimiter=TEXT, \
                 length=u8|u16|u32|u64|varint, fixed=BYTES, netstring or gap=DURATION",
                Escaped(name.as_bytes())
            )),
        };
        framing.map_err(|reason| ParseFramingError { given: given.to_owned(), reason })
    }
}

fn delimiter(text: &str) -> Result<Delimiter, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let (byte, taken) = match escape.as_bytes() {
            [b'n', ..] => (b'\n', 1),
            [b'r', ..] => (b'\r', 1),
            [b't', ..] => (b'\t', 1),
            [b'0', ..] => (0, 1),
            [b'\\', ..] => (b'\\', 1),
            [b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let byte = u8::from_str_radix(&escape[1..3], 16);
                (byte.expect("two hexadecimal digits"), 3)
            }
            _ => {
                // Counted where the user counts: in the text behind `delimiter=`.
                let ahead = &text[..text.len() - rest.len() + at];
                let column = ahead.chars().count() + 1;
                return Err(format!(
                    r"no escape at character {column} of the delimiter; there are \n \r \t \0 \\ and \xNN"
                ));
            }
        };
        bytes.push(byte);
        rest = &escape[taken..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Delimiter::new(bytes)
        .ok_or_else(|| r"an empty delimiter is no border; give a text, as in `delimiter=\0`".into())
}

fn length(text: &str) -> Result<Length, String> {
    Length::ALL.into_iter().find(|length| length.name() == text).ok_or_else(|| {
        format!(
            "there is no length `{}`; take u8, u16, u32 or u64 (big-endian), \
             u16le, u32le or u64le (little-endian), or varint",
            Escaped(text.as_bytes())
        )
    })
}

fn size(text: &str) -> Result<NonZeroUsize, String> {
    let (digits, unit) = match text.as_bytes() {
        [.., b'k' | b'K'] => (&text[..text.len() - 1], 1 << 10),
        [.., b'm' | b'M'] => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let size = digits.parse::<usize>().ok().filter(|_| plain);
    // Half of what can be allocated leaves room for every sum.
    let size = size.and_then(|size| size.checked_mul(unit)).filter(|&size| size <= usize::MAX / 4);
    size.and_then(NonZeroUsize::new).ok_or_else(|| {
        format!(
            "`{}` is no size of a frame; give bytes from 1 on, as in `fixed=512` or `fixed=64k`",
            Escaped(text.as_bytes())
        )
    })
}

fn gap(text: &str) -> Result<Framing, String> {
    match humantime::parse_duration(text) {
        Ok(silence) if !silence.is_zero() => Ok(Framing::Gap(silence)),
        _ => Err(format!(
            "`{}` is no length of a silence; give more than zero with a unit, as in `gap=100ms`",
            Escaped(text.as_bytes())
        )),
    }
}
