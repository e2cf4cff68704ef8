//! What is sent: standard input, or what the command line says.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::error::ErrorKind;
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
    manner: Manner,
    messages: VecDeque<Message>,
    files: VecDeque<PathBuf>,
    /// The file that is being cut into datagrams.
    open: Option<(fs::File, PathBuf)>,
}

/// How a file is sent.
#[derive(Clone, Copy)]
enum Manner {
    /// As it is, over a stream.
    Bytes,
    /// As one message.
    Message,
    /// As datagrams of so many bytes.
    Datagrams(usize),
}

impl Given {
    /// None where neither is there. Everything is looked at before anything is sent; a `--send` that is
    /// no message ends the program, as wrong usage does.
    ///
    /// # Errors
    ///
    /// A file can't be read.
    pub(super) fn new(args: &args::Connect) -> anyhow::Result<Option<Given>> {
        if args.send.is_empty() && args.send_file.is_empty() {
            return Ok(None);
        }
        let composer = Composer::new(&args.talk);
        let message = |said: &args::Said| {
            let given = if args.talk.hex { said.text.as_bytes() } else { &said.bytes };
            let made = composer.message(given);
            made.with_context(|| format!("--send {}", Escaped(said.text.as_bytes())))
        };
        let messages = args.send.iter().map(message).collect::<anyhow::Result<_>>();
        let messages = messages.unwrap_or_else(|error| misused(&error));
        for path in &args.send_file {
            opened(path)?;
        }
        let raw = matches!(args.talk.frame, Framing::Raw | Framing::Gap(_));
        let manner = match args.talk.datagram(args.endpoint.kind()) {
            Some(longest) if raw => Manner::Datagrams(longest),
            None if raw && !args.telnet => Manner::Bytes,
            _ => Manner::Message,
        };
        let files = args.send_file.clone().into();
        Ok(Some(Given { composer, manner, messages, files, open: None }))
    }

    fn next(&mut self) -> anyhow::Result<Next> {
        if let Some(message) = self.messages.pop_front() {
            return Ok(Next::Message(message));
        }
        loop {
            if let (Some((file, path)), Manner::Datagrams(longest)) = (&self.open, self.manner) {
                let mut bytes = Vec::new();
                let longest = u64::try_from(longest).unwrap_or(u64::MAX);
                let read = file.take(longest).read_to_end(&mut bytes);
                if read.map_err(|error| unreadable(path, &error))? > 0 {
                    return Ok(Next::Message(self.composer.framed(bytes.into())?));
                }
            }
            self.open = None;
            let Some(path) = self.files.pop_front() else { return Ok(Next::End) };
            let (mut file, metadata) = opened(&path)?;
            match self.manner {
                Manner::Bytes if metadata.is_file() => {
                    return Ok(Next::File(file, metadata.len()));
                }
                Manner::Bytes => {
                    anyhow::bail!("{}: not a file (pipe it in instead)", named(&path))
                }
                Manner::Datagrams(_) => self.open = Some((file, path)),
                Manner::Message => {
                    let mut bytes = Vec::new();
                    file.read_to_end(&mut bytes).map_err(|error| unreadable(&path, &error))?;
                    let message = self.composer.framed(bytes.into());
                    return Ok(Next::Message(message.with_context(|| named(&path))?));
                }
            }
        }
    }
}

/// A file to send, and what it is.
fn opened(path: &Path) -> anyhow::Result<(fs::File, fs::Metadata)> {
    let failed = |error| unreadable(path, &error);
    let file = fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(unreadable(path, &io::ErrorKind::IsADirectory.into()));
    }
    Ok((file, metadata))
}

fn unreadable(path: &Path, error: &io::Error) -> anyhow::Error {
    let named = named(path);
    match error.kind() {
        io::ErrorKind::NotFound => {
            anyhow::anyhow!("{named}: no such file (check its name; ./ is where this was started)")
        }
        io::ErrorKind::PermissionDenied => {
            anyhow::anyhow!("{named}: permission denied (it has to be readable for you: see ls -l)")
        }
        io::ErrorKind::IsADirectory => {
            anyhow::anyhow!(
                "{named}: a folder, and no file (name a file, or pipe in what tar makes of it)"
            )
        }
        _ => anyhow::anyhow!("{named}: it can't be read: {error}"),
    }
}

/// Ends the program, as wrong usage does.
fn misused(error: &anyhow::Error) -> ! {
    args::wrong(ErrorKind::ValueValidation, crate::told(error))
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
