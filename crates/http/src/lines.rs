//! Header lines, written: the same in requests, responses and trailers.

use http::header::{ETAG, HeaderName, TE, WWW_AUTHENTICATE};

use crate::response::InvalidValue;

/// Appends a header line, unless its value could end the line early.
pub(crate) fn header(
    out: &mut Vec<u8>,
    name: &HeaderName,
    value: &[u8],
) -> Result<(), InvalidValue> {
    check(value)?;
    line(out, name, value);
    Ok(())
}

/// CR and LF would end the line, and NUL cuts it short for some readers (RFC 9110 §5.5).
pub(crate) fn check(value: &[u8]) -> Result<(), InvalidValue> {
    if value.iter().any(|&b| (b < b' ' && b != b'\t') || b == 0x7f) {
        return Err(InvalidValue);
    }
    Ok(())
}

/// Appends a header line whose value was checked.
pub(crate) fn line(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    self::name(out, name);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a name with capitals, and what stands between it and its value.
pub(crate) fn name(out: &mut Vec<u8>, name: &HeaderName) {
    // Capitals elsewhere than at the start of a word.
    let special = [(ETAG, "ETag"), (TE, "TE"), (WWW_AUTHENTICATE, "WWW-Authenticate")];
    let start = out.len();
    match special.iter().find(|(special, _)| special == name) {
        Some((_, written)) => out.extend_from_slice(written.as_bytes()),
        None => {
            out.extend_from_slice(name.as_str().as_bytes());
            let mut before = b'-';
            for b in out.iter_mut().skip(start) {
                if before == b'-' {
                    b.make_ascii_uppercase();
                }
                before = *b;
            }
        }
    }
    out.extend_from_slice(b": ");
}
