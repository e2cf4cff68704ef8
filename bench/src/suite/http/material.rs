//! The files that are served.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

/// Bytes of the small file: the beginning of the large one.
pub(super) const SMALL: usize = 1024;

/// Files in the large folder.
pub(super) const MANY: usize = 50_000;

const LETTERS: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";

const LARGE: usize = 10_000_000;
const TEXT: usize = 100_000;

/// Files that changed less than two seconds ago might change unseen, so what is kept of others is not
/// kept of them.
const SETTLED: Duration = Duration::from_millis(2100);

/// A directory with all of them, gone when dropped.
pub(super) struct Material {
    directory: TempDir,
    text: Vec<u8>,
    written: Instant,
}

impl Material {
    /// Writes them; the large folder only if it is asked for.
    pub(super) fn new(many: bool) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("temporary directory")?;
        let text = text(TEXT);
        let write = |name: &str, content: &[u8]| {
            fs::write(directory.path().join(name), content).with_context(|| name.to_owned())
        };
        write("small.bin", &large(0, SMALL))?;
        write("large.bin", &large(0, LARGE))?;
        write("text.txt", &text)?;
        write("ready.txt", &text)?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&text)?;
        write("ready.txt.gz", &gzip.finish()?)?;
        fs::create_dir(directory.path().join("up"))?;
        if many {
            let folder = directory.path().join("many");
            fs::create_dir(&folder)?;
            for number in 0..MANY {
                File::create(folder.join(name(number))).context("a large folder")?;
            }
        }
        Ok(Self { directory, text, written: Instant::now() })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// What `text.txt` and `ready.txt` hold.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Until the files are old enough to be served as files are that lie there for long.
    #[expect(clippy::disallowed_methods, reason = "it is for the clock that is waited")]
    pub(super) fn wait_until_settled(&self) {
        std::thread::sleep(SETTLED.saturating_sub(self.written.elapsed()));
    }
}

/// These bytes of the large file.
pub(super) fn large(start: usize, length: usize) -> Vec<u8> {
    // Each block of a thousand begins with its number, so that no two are the same.
    let byte = |at: usize| match at % 1000 {
        place @ 0..8 => format!("{:08}", at / 1000).as_bytes()[place],
        place => LETTERS[place % LETTERS.len()],
    };
    (start..start + length).map(byte).collect()
}

/// The name of a file in the large folder.
pub(super) fn name(number: usize) -> String {
    format!("entry-{number:05}.txt")
}

/// Words, the common ones more often than the rare ones, in lines: about as compressible as prose.
fn text(length: usize) -> Vec<u8> {
    const WORDS: usize = 3000;
    let mut random = fastrand::Rng::with_seed(1);
    let words: Vec<String> = (0..WORDS)
        .map(|_| (0..random.usize(2..10)).map(|_| random.lowercase()).collect())
        .collect();
    let mut text = String::with_capacity(length + 16);
    let mut column = 0;
    while text.len() < length {
        let rank = (0..3).map(|_| random.usize(..WORDS)).min();
        let word = &words[rank.unwrap_or(0)];
        column += word.len() + 1;
        text.push_str(word);
        text.push(if column > 70 { '\n' } else { ' ' });
        column = if column > 70 { 0 } else { column };
    }
    text.truncate(length);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_large_file_is_what_stands_there() {
        let whole = large(0, 10_000);
        assert_eq!(large(2_990, 1_020), whole[2_990..4_010]);
        assert_ne!(large(0, 1000), large(1000, 1000));
    }

    #[test]
    fn the_text_compresses_about_as_prose_does() {
        let text = text(TEXT);
        assert_eq!(text.len(), TEXT);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&text).expect("a vector takes all");
        let share = gzip.finish().expect("whole").len() as f64 / TEXT as f64;
        assert!((0.25..0.55).contains(&share), "{share}");
    }
}
