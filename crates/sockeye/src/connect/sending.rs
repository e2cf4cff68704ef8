//! What is sent: standard input, or what the command line says.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sockeye_wire::escape::Escaped;
use sockeye_wire::frame::Framing;

use crate::args;
use crate::talk::{Composer, Input, Message};

/// Where messages to send come from.
pub(super) enum Sending {
    /// What is typed or piped in.
    Input(Box<Input>),
    /// What the command line says.
    Given(Given),
}

/// The next thing to send.
pub(super) enum Next {
    Message(Message),
    /// A file, as it is.
    File(fs::File, u64),
    End,
}

/// What `--send` and `--send-file` say.
pub(super) struct Given {
    composer: Composer,
    whole_files: bool,
    messages: VecDeque<Message>,
    files: VecDeque<PathBuf>,
}

impl Given {
    /// None where neither is there. Everything is looked at before anything is sent.
    pub(super) fn new(args: &args::Connect) -> anyhow::Result<Option<Given>> {
        if args.send.is_empty() && args.send_file.is_empty() {
            return Ok(None);
        }
        let composer = Composer::new(&args.talk);
        let message = |text: &String| {
            let made = match args.talk.hex {
                true => composer.message(text.as_bytes()),
                false => unescape(text).and_then(|bytes| composer.message(&bytes)),
            };
            made.with_context(|| format!("--send {}", Escaped(text.as_bytes())))
        };
        let messages = args.send.iter().map(message).collect::<anyhow::Result<_>>()?;
        for path in &args.send_file {
            fs::File::open(path).with_context(|| named(path))?;
        }
        let whole_files = !matches!(args.talk.frame, Framing::Raw | Framing::Gap(_))
            || args.telnet
            || !matches!(
                args.endpoint.kind(),
                sockeye_engine::EndpointKind::Tcp | sockeye_engine::EndpointKind::Unix
            );
        Ok(Some(Given { composer, whole_files, messages, files: args.send_file.clone().into() }))
    }

    fn next(&mut self) -> anyhow::Result<Next> {
        if let Some(message) = self.messages.pop_front() {
            return Ok(Next::Message(message));
        }
        let Some(path) = self.files.pop_front() else { return Ok(Next::End) };
        if self.whole_files {
            let bytes = fs::read(&path).with_context(|| named(&path))?;
            let message = self.composer.framed(bytes.into()).with_context(|| named(&path))?;
            return Ok(Next::Message(message));
        }
        let file = fs::File::open(&path).with_context(|| named(&path))?;
        let metadata = file.metadata().with_context(|| named(&path))?;
        anyhow::ensure!(metadata.is_file(), "{}: not a file (pipe it in instead)", named(&path));
        Ok(Next::File(file, metadata.len()))
    }
}

impl Sending {
    /// The next thing to send. May be dropped at any time.
    pub(super) async fn next(&mut self) -> anyhow::Result<Next> {
        match self {
            Sending::Input(input) => Ok(input.next().await?.map_or(Next::End, Next::Message)),
            Sending::Given(given) => given.next(),
        }
    }

    /// Whether a person types it, who is not at the end of what he has to say.
    pub(super) fn is_typed(&self) -> bool {
        matches!(self, Sending::Input(input) if input.is_terminal())
    }
}

fn named(path: &Path) -> String {
    format!("--send-file {}", Escaped(path.as_os_str().as_encoded_bytes()))
}

/// Reads the escapes of `--send`.
fn unescape(text: &str) -> anyhow::Result<Vec<u8>> {
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
                    _ => anyhow::bail!(r"no such escape; there are \n \r \t \0 \\ and \xNN"),
                });
                (bytes, behind)
            }
            (b'\\', []) => anyhow::bail!(r"a \ at its end; write \\ for a backslash"),
            _ => {
                bytes.push(*first);
                (bytes, behind)
            }
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_the_bytes_they_name() {
        let bytes = unescape(r"a\r\n\t\0\\\xff文").expect("all are known");
        assert_eq!(bytes, b"a\r\n\t\0\\\xff\xe6\x96\x87");
        for wrong in [r"\q", r"\", r"\x0", r"\xgg"] {
            unescape(wrong).expect_err(wrong);
        }
    }
}
