//! Writing one frame.

use memchr::memmem;

use super::{EncodeError, Framing, Length};

impl Framing {
    /// Appends `payload` to `out` as one frame.
    ///
    /// What was written is read back as the same payload, or it is not written: `raw` and `gap`
    /// mark no border, so there the caller's timing is the border, and an empty payload is
    /// nothing.
    ///
    /// # Errors
    ///
    /// If the framing can't carry the payload: it holds the border (for `line` also a CR at its
    /// end, which would be read as part of the border), has not the fixed size, or is longer than
    /// the length can say. Then `out` is as before.
    pub fn encode(&self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Framing::Raw | Framing::Gap(_) => out.extend_from_slice(payload),
            Framing::Line => {
                if let Some(offset) = memchr::memchr(b'\n', payload) {
                    return Err(EncodeError::Border { offset });
                }
                if payload.ends_with(b"\r") {
                    return Err(EncodeError::Border { offset: payload.len() - 1 });
                }
                out.extend_from_slice(payload);
                out.push(b'\n');
            }
            Framing::Delimiter(delimiter) => {
                let delimiter = delimiter.as_bytes();
                let start = out.len();
                out.extend_from_slice(payload);
                out.extend_from_slice(delimiter);
                // A border may also begin in the payload and end in the border.
                let border = memmem::find(&out[start..], delimiter).unwrap_or(payload.len());
                if border < payload.len() {
                    out.truncate(start);
                    return Err(EncodeError::Border { offset: border });
                }
            }
            Framing::Fixed(size) => {
                if payload.len() != size.get() {
                    return Err(EncodeError::Size { size: size.get(), got: payload.len() });
                }
                out.extend_from_slice(payload);
            }
            Framing::Length(length) => {
                write_length(*length, payload.len(), out)?;
                out.extend_from_slice(payload);
            }
            Framing::Netstring => {
                out.extend_from_slice(payload.len().to_string().as_bytes());
                out.push(b':');
                out.extend_from_slice(payload);
                out.push(b',');
            }
        }
        Ok(())
    }
}

fn write_length(form: Length, payload: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let too_long = EncodeError::TooLong { max: form.max(), got: payload };
    let length = u64::try_from(payload).map_err(|_| too_long)?;
    let be = length.to_be_bytes();
    let le = length.to_le_bytes();
    if length > form.max() {
        return Err(too_long);
    }
    match form {
        Length::U8 => out.extend_from_slice(&be[7..]),
        Length::U16 => out.extend_from_slice(&be[6..]),
        Length::U16Le => out.extend_from_slice(&le[..2]),
        Length::U32 => out.extend_from_slice(&be[4..]),
        Length::U32Le => out.extend_from_slice(&le[..4]),
        Length::U64 => out.extend_from_slice(&be),
        Length::U64Le => out.extend_from_slice(&le),
        Length::Varint => {
            let mut rest = length;
            while rest > 0x7f {
                out.push((rest & 0x7f) as u8 | 0x80);
                rest >>= 7;
            }
            out.push((rest & 0x7f) as u8);
        }
    }
    Ok(())
}
