//! What is measured: one file a suite, and the file they serve.

pub(crate) mod echo;
pub(crate) mod eye;
pub(crate) mod http;
pub(crate) mod idle;
pub(crate) mod large;
pub(crate) mod small;
pub(crate) mod talk;
pub(crate) mod wait;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::entry::{Entry, Server};
use crate::exchange::Client;

/// Where the one file of a [`Site`] is asked for.
pub(crate) const TARGET: &str = "/file.bin";

/// A directory with one file in it, gone when dropped.
pub(crate) struct Site {
    directory: TempDir,
    /// How the file begins, up to 1 KiB of it.
    pub(crate) beginning: String,
    pub(crate) length: usize,
}

impl Site {
    /// The file holds `length` bytes of letters and digits: text that can also stand in a
    /// configuration file.
    pub(crate) fn new(length: usize) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("temporary directory")?;
        let text: Vec<u8> = (b'0'..=b'9').chain(b'a'..=b'z').cycle().take(length).collect();
        fs::write(directory.path().join("file.bin"), &text)
            .with_context(|| format!("writing {length} bytes to {}", directory.path().display()))?;
        let beginning = String::from_utf8_lossy(&text[..length.min(1024)]).into_owned();
        Ok(Self { directory, beginning, length })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Fails unless the server serves the file.
    pub(crate) fn verify(&self, server: &Server) -> anyhow::Result<()> {
        server.verify(self.beginning.as_bytes(), self.length)
    }
}

/// What the hand-written loop is to answer: the very bytes of the first entry that starts.
pub(crate) struct Recording {
    directory: TempDir,
    pub(crate) from: String,
    pub(crate) length: usize,
}

impl Recording {
    pub(crate) fn of(entries: &[Entry<'_>]) -> anyhow::Result<Self> {
        let mut reasons = Vec::new();
        for entry in entries {
            match entry.start() {
                Ok(server) => return Self::taken(entry, &server),
                Err(error) => reasons.push(format!("{}: {error:#}", entry.name)),
            }
        }
        bail!("no server runs ({})", reasons.join("; "))
    }

    fn taken(entry: &Entry<'_>, server: &Server) -> anyhow::Result<Self> {
        let response = Client::connect(server.address)?.get(&server.target)?;
        let directory = tempfile::tempdir().context("temporary directory")?;
        fs::write(directory.path().join("response"), &response.bytes)?;
        Ok(Self { directory, from: entry.name.clone(), length: response.bytes.len() })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("response")
    }
}
