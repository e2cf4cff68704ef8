//! `sockeye watch`: what was recorded is drawn again.

mod pair;
mod recording;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use sockeye_wire::escape::Escaped;

use crate::args;
use crate::{eye, output};

pub(crate) fn run(args: &args::Watch) -> anyhow::Result<ExitCode> {
    output::is_open()?;
    let style = eye::style(&args.drawing, output::stdout_width(), output::colour_on_stdout());
    match &args.what[..] {
        [one, other] => pair::draw([recording_in(one)?, recording_in(other)?], &style),
        all => {
            for file in all {
                let (name, input) = recording_in(file)?;
                recording::draw(input, &name, &style)?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A file's name, fit for a terminal, and what is in it, where that is a recording.
fn recording_in(file: &Path) -> anyhow::Result<(String, Box<dyn BufRead>)> {
    let name = Escaped(file.as_os_str().as_bytes()).to_string();
    let mut input = open(file).with_context(|| name.clone())?;
    match Content::of(input.fill_buf().with_context(|| name.clone())?) {
        Content::Recording => Ok((name, input)),
        Content::Other => anyhow::bail!("{name}: not a recording, as --record makes them"),
    }
}

/// What a file is, by how it begins.
enum Content {
    /// JSON Lines, it seems.
    Recording,
    Other,
}

impl Content {
    fn of(first: &[u8]) -> Content {
        match first.trim_ascii_start() {
            [b'{', ..] => Content::Recording,
            _ => Content::Other,
        }
    }
}

fn open(file: &Path) -> io::Result<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    Ok(Box::new(BufReader::with_capacity(1 << 16, File::open(file)?)))
}

/// Writes to standard output; false once nobody reads it any more, which is no failure.
fn print(text: &str) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("write standard output"),
    }
}
