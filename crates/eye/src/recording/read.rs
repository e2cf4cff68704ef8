//! A recording's lines, one by one, with nothing of them believed.

use std::io::{self, BufRead, Read as _};

use serde::Deserialize;
use thiserror::Error;

use super::schema::{Header, Record};
use super::{FORMAT, VERSION};

/// Reads a recording line by line, within bounded memory.
///
/// ```
/// use sockeye_eye::recording::{Reader, Record};
///
/// let file = br#"{"format":"sockeye-records","version":1,"program":"sockeye 0.1.0","epoch":1700000000,"at":0,"clock":"CLOCK_REALTIME","sources":["calls"]}
/// {"kind":"of a later version","anything":1}
/// {"kind":"finish","at":12}
/// "#;
/// let mut reader = Reader::new(&file[..])?;
/// assert_eq!(reader.header().sources, ["calls"]);
/// assert_eq!(reader.read()?, Some(Record::Unknown));
/// assert!(matches!(reader.read()?, Some(Record::Finish(_))));
/// assert_eq!(reader.read()?, None);
/// # Ok::<(), sockeye_eye::recording::ReadError>(())
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    /// The number of the line read last.
    line: u64,
    header: Header,
    buffer: Vec<u8>,
    cut: bool,
}

/// Why a recording can't be read. The file's fault, or the system's.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The system did not hand it over.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The first line is no header.
    #[error("not a recording: its first line is no header of {FORMAT}")]
    NotARecording,
    /// The schema may have changed so that it would be misread.
    #[error(
        "version {version} of {FORMAT} is newer than what this program reads ({VERSION}); \
         a newer sockeye draws it"
    )]
    Newer {
        /// What the file says.
        version: u32,
    },
    /// A line longer than any that is ever written.
    #[error("line {line} is longer than {} bytes", Reader::<io::Empty>::LONGEST)]
    TooLong {
        /// Its number, from 1.
        line: u64,
    },
    /// A line that is not as the schema has it.
    #[error("line {line}: {what}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// What every version's header begins with.
#[derive(Deserialize)]
struct Format {
    format: String,
    version: u32,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`ReadError::NotARecording`], [`ReadError::Newer`], or [`ReadError::Line`] for a header that
    /// lacks something; [`ReadError::Io`].
    pub fn new(input: R) -> Result<Reader<R>, ReadError> {
        let mut reader =
            Reader { input, line: 0, header: Header::nobodys(), buffer: Vec::new(), cut: false };
        match reader.next_line() {
            Ok(true) => {}
            Ok(false) | Err(ReadError::TooLong { .. }) => return Err(ReadError::NotARecording),
            Err(error) => return Err(error),
        }
        let format: Format =
            serde_json::from_slice(&reader.buffer).map_err(|_| ReadError::NotARecording)?;
        if format.format != FORMAT {
            return Err(ReadError::NotARecording);
        }
        if format.version > VERSION {
            return Err(ReadError::Newer { version: format.version });
        }
        reader.header = reader.parsed()?;
        Ok(reader)
    }

    /// The first line.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The number of the line that was read last, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Whether the last line was cut short, and passed over: its program was killed, or still writes.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// The next record; `None` behind the last one.
    ///
    /// # Errors
    /// [`ReadError::Line`] and [`ReadError::TooLong`] for what no writer writes, and
    /// [`ReadError::Io`].
    pub fn read(&mut self) -> Result<Option<Record>, ReadError> {
        while self.next_line()? {
            if self.buffer.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            return match self.parsed() {
                Ok(record) => Ok(Some(record)),
                Err(_) if self.buffer.last() != Some(&b'\n') => {
                    self.cut = true;
                    Ok(None)
                }
                Err(error) => Err(error),
            };
        }
        Ok(None)
    }

    /// An error about the line that was read last.
    pub(super) fn wrong(&self, what: impl Into<String>) -> ReadError {
        ReadError::Line { line: self.line, what: what.into() }
    }

    fn parsed<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ReadError> {
        serde_json::from_slice(&self.buffer).map_err(|error| {
            // What it says of lines is about this one alone.
            let text = error.to_string();
            let what = text.split(" at line ").next().unwrap_or(&text);
            match error.column() {
                // Of a field it can't tell.
                0 => self.wrong(what),
                column => self.wrong(format!("{what} (column {column})")),
            }
        })
    }

    /// False if there is no more.
    fn next_line(&mut self) -> Result<bool, ReadError> {
        self.buffer.clear();
        let longest = Reader::<io::Empty>::LONGEST as u64;
        let count = self.input.by_ref().take(longest + 1).read_until(b'\n', &mut self.buffer)?;
        self.line += u64::from(count > 0);
        if count as u64 > longest {
            return Err(ReadError::TooLong { line: self.line });
        }
        Ok(count > 0)
    }
}

impl Reader<io::Empty> {
    /// The longest line that is read, in bytes with its end; those written have a few hundred.
    pub const LONGEST: usize = 1 << 16;
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#"{"format":"sockeye-records","version":1,"program":"p","epoch":1,"at":0,"clock":"CLOCK_REALTIME","sources":[]}"#;

    fn error(file: &[u8]) -> String {
        match Reader::new(file) {
            Err(error) => error.to_string(),
            Ok(mut reader) => loop {
                match reader.read() {
                    Ok(Some(_)) => {}
                    Ok(None) => return String::from("none"),
                    Err(error) => return error.to_string(),
                }
            },
        }
    }

    #[test]
    fn what_is_no_recording_is_told_from_one_of_a_newer_version() {
        let no = "not a recording: its first line is no header of sockeye-records";
        let pcapng = b"\x0a\x0d\x0d\x0a\x1c\0\0\0";
        for file in [&b""[..], b"\n", b"{}\n", b"{\"format\":\"x\",\"version\":1}\n", pcapng] {
            assert_eq!(error(file), no, "{file:?}");
        }
        assert_eq!(error(&vec![b'a'; 1 << 20]), no);
        let newer = br#"{"format":"sockeye-records","version":2}"#;
        assert!(error(newer).starts_with("version 2 of sockeye-records is newer"));
    }

    #[test]
    fn an_error_names_its_line() {
        let file = format!("{HEADER}\n{{\"kind\":\"finish\",\"at\":1}}\n{{\"kind\":\"over\"}}\n");
        assert_eq!(error(file.as_bytes()), "line 3: missing field `conn`");
        let file = format!("{HEADER}\n{{\"kind\":\n");
        assert_eq!(error(file.as_bytes()), "line 2: EOF while parsing a value");
        let file = format!("{HEADER}\n\n{}\n", "x".repeat(1 << 17));
        assert_eq!(error(file.as_bytes()), "line 3 is longer than 65536 bytes");
    }

    #[test]
    fn a_line_cut_short_at_the_end_is_passed_over_and_one_before_it_is_not() {
        let cut = format!("{HEADER}\n{{\"kind\":\"finish\",\"at\":1}}\n{{\"kind\":\"fini");
        let mut reader = Reader::new(cut.as_bytes()).unwrap();
        assert!(matches!(reader.read(), Ok(Some(Record::Finish(_)))));
        assert!(!reader.is_cut());
        assert!(matches!(reader.read(), Ok(None)));
        assert!(reader.is_cut());
        assert_eq!(reader.line(), 3);
        assert!(error(format!("{cut}\n").as_bytes()).starts_with("line 3: control character"));
    }

    #[test]
    fn kinds_and_fields_that_nobody_knows_are_passed_over() {
        let file = format!(
            "{HEADER}\n{}\n{}\n",
            r#"{"kind":"smell","of":{"deep":[1,2]}}"#, r#"{"new":true,"kind":"finish","at":5}"#
        );
        let mut reader = Reader::new(file.as_bytes()).unwrap();
        assert_eq!(reader.read().unwrap(), Some(Record::Unknown));
        assert!(matches!(reader.read(), Ok(Some(Record::Finish(_)))));
    }
}
