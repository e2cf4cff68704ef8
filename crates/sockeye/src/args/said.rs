//! Text with escapes among the arguments.

/// What `--send` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// As it was written.
    pub(crate) text: String,
    /// With its escapes read.
    pub(crate) bytes: Vec<u8>,
}

/// Reads `\n`, `\r`, `\t`, `\0`, `\\` and `\xNN`.
pub(crate) fn said(text: &str) -> Result<Said, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        (bytes, rest) = match (first, behind) {
            (b'\\', [b'x', high, low, behind @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digits = [*high, *low];
                let digits = str::from_utf8(&digits).expect("two hexadecimal digits");
                bytes.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
                (bytes, behind)
            }
            (b'\\', [letter, behind @ ..]) => {
                bytes.push(match letter {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'0' => 0,
                    b'\\' => b'\\',
                    _ => return Err(r"no such escape; there are \n \r \t \0 \\ and \xNN".into()),
                });
                (bytes, behind)
            }
            (b'\\', []) => return Err(r"a \ at its end; write \\ for a backslash".into()),
            _ => {
                bytes.push(*first);
                (bytes, behind)
            }
        };
    }
    Ok(Said { text: text.to_owned(), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_the_bytes_they_name() {
        let text = r"a\r\n\t\0\\\xff文";
        let read = said(text).expect("all are known");
        assert_eq!(read.bytes, b"a\r\n\t\0\\\xff\xe6\x96\x87");
        assert_eq!(read.text, text);
        for wrong in [r"\q", r"\", r"\x0", r"\xgg"] {
            said(wrong).expect_err(wrong);
        }
    }
}
