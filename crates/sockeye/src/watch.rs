//! `sockeye watch`: what was recorded or captured is drawn, and what other programs say to one
//! another.

mod capture;
mod onlooker;
mod pair;
mod recording;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write as _};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::error::ErrorKind;
use sockeye_eye::pcap::is_capture;
use sockeye_wire::escape::Escaped;

use crate::args::{self, Layers};
use crate::{eye, output};

pub(crate) fn run(args: &args::Watch) -> anyhow::Result<ExitCode> {
    output::is_open()?;
    let style = eye::style(&args.drawing, output::stdout_width(), output::colour_on_stdout());
    let chooses = args.connection.is_some() || args.follow.is_some();
    if !args.what.iter().any(|what| is_file(what)) {
        if chooses {
            wrong("--connection and --follow choose from a capture, and an endpoint was given");
        }
        if let Some(Layers::Frame(_)) = args.layers {
            wrong("--layers=frame:NUMBER chooses from a capture, and an endpoint was given");
        }
        return onlooker::run(args, style);
    }
    if let Some(endpoint) = args.what.iter().find(|what| !is_file(what)) {
        let endpoint = Escaped(endpoint.as_os_str().as_bytes());
        wrong(&format!("{endpoint}: files are drawn, or endpoints watched, not both at once"));
    }
    let told_by_address = args.what.iter().find(|what| is_address(what));
    let given = [
        ("--interface", args.interface.is_some()),
        ("--for", args.time.is_some()),
        ("--count", args.count.is_some()),
        ("--record", args.record.is_some()),
        ("--pcap", args.pcap.is_some()),
    ];
    let given = given.iter().find(|(_, given)| *given);
    let is_named = |what: &&PathBuf| given.is_some() && is_host_name(what);
    if let Some(host) = told_by_address.or_else(|| args.what.iter().find(is_named)) {
        let host = Escaped(host.as_os_str().as_bytes());
        wrong(&format!("{host}: no such file, and as an endpoint it lacks its port: {host}:PORT"));
    }
    if let Some((option, _)) = given {
        wrong(&format!("{option} is for endpoints, and a file was given"));
    }
    if args.follow.is_none() {
        eye::say_if_narrow("sockeye", &style);
    }
    match &args.what[..] {
        [one, other] if !chooses && args.layers.is_none() => {
            pair::draw([recording_in(one)?, recording_in(other)?], &style)
        }
        all => {
            for file in all {
                let Opened { name, input, content } = opened(file)?;
                if let (Content::Capture, Some(Layers::Frame(number))) = (&content, args.layers) {
                    capture::frame(input, file, &name, number, &style)?;
                    continue;
                }
                match (content, args.follow) {
                    (Content::Capture, Some(which)) => capture::follow(input, &name, which)?,
                    (Content::Capture, None) => capture::draw(input, &name, args, &style)?,
                    _ if chooses => anyhow::bail!(
                        "{name}: not a capture (pcap or pcapng), of which alone --connection and \
                         --follow choose"
                    ),
                    (Content::Recording, _) if args.layers.is_some() => anyhow::bail!(
                        "{name}: a recording holds no frames, which --layers shows; record with \
                         --pcap as well"
                    ),
                    (Content::Recording, _) => recording::draw(input, &name, &style)?,
                    (Content::Other, _) => anyhow::bail!(
                        "{name}: neither a recording, as --record makes them, nor a capture (pcap or \
                         pcapng)"
                    ),
                }
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A file whose beginning was looked at.
struct Opened {
    /// Fit for a terminal.
    name: String,
    input: Box<dyn BufRead + Send>,
    content: Content,
}

fn opened(file: &Path) -> anyhow::Result<Opened> {
    let name = Escaped(file.as_os_str().as_bytes()).to_string();
    let mut input = open(file).with_context(|| name.clone())?;
    let content = Content::of(input.fill_buf().with_context(|| name.clone())?);
    Ok(Opened { name, input, content })
}

/// A file's name, and what is in it, where that is a recording.
fn recording_in(file: &Path) -> anyhow::Result<(String, Box<dyn BufRead + Send>)> {
    let Opened { name, input, content } = opened(file)?;
    match content {
        Content::Recording => Ok((name, input)),
        Content::Capture => {
            anyhow::bail!(
                "{name}: a capture; of two files both are recordings, captures are drawn alone"
            )
        }
        Content::Other => anyhow::bail!("{name}: not a recording, as --record makes them"),
    }
}

/// Ends the program, as wrong usage does.
fn wrong(why: &str) -> ! {
    args::wrong(ErrorKind::ArgumentConflict, why)
}

/// Whether this is a file: it is there, or has no port that an endpoint could have.
fn is_file(what: &Path) -> bool {
    let text = what.as_os_str().as_bytes();
    text == b"-" || !text.contains(&b':') || what.exists()
}

/// Whether it is no file, and a host that endpoints are often at.
fn is_address(what: &Path) -> bool {
    let text = what.to_str().unwrap_or_default();
    !what.exists() && (text == "localhost" || text.parse::<IpAddr>().is_ok())
}

/// Whether it is no file, and could be the name of a host (RFC 1123 section 2.1).
fn is_host_name(what: &Path) -> bool {
    let text = what.to_str().unwrap_or_default();
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && !label.starts_with('-') && label.bytes().all(plain)
    };
    !what.exists() && text.split('.').all(is_label)
}

/// What a file is, by how it begins.
enum Content {
    /// JSON Lines, it seems.
    Recording,
    /// Frames: pcap or pcapng.
    Capture,
    Other,
}

impl Content {
    fn of(first: &[u8]) -> Content {
        match first.trim_ascii_start() {
            [b'{', ..] => Content::Recording,
            _ if is_capture(first) => Content::Capture,
            _ => Content::Other,
        }
    }
}

fn open(file: &Path) -> io::Result<Box<dyn BufRead + Send>> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lacks_a_port_is_told_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("127.0.0.1");
        assert!(!is_address(&file) && !is_host_name(&file), "a path");
        std::fs::write(&file, "").unwrap();
        assert!(!is_address(&file));
        for (what, address, name) in [
            ("127.0.0.1", true, true),
            ("localhost", true, true),
            ("::1", true, false),
            ("www.example.org", false, true),
            ("no such file", false, false),
            ("a..b", false, false),
            ("-", false, false),
            ("./localhost", false, false),
        ] {
            let what = Path::new(what);
            assert_eq!((is_address(what), is_host_name(what)), (address, name), "{what:?}");
        }
    }
}
