//! Compressing content while it is sent, no more of it at once than there are cores, or two.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf as _, Bytes};
use flate2::write::GzEncoder;
use sockeye_http::Coding;

use super::produce::Produce;
use super::root::Identity;

/// When content is worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Smaller files go as they are, in bytes: below a packet nothing is won. Default 1 KiB.
    pub min: u64,
    /// Larger files go as they are, in bytes. Default 32 MiB.
    pub max: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { min: 1024, max: 32 * 1024 * 1024 }
    }
}

/// The codings content is compressed to here, the best bargain first.
pub(super) const CODINGS: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

/// Levels at which each of them takes some tens of MB/s and more on one core.
const BROTLI: u32 = 4;
const GZIP: u32 = 6;
const ZSTD: i32 = 3;

/// Brotli's window, 2¹⁹ bytes: what one compressor holds in memory follows from it.
const WINDOW: u32 = 19;

/// Bytes read at a time, and about what one part of the output has at least.
const STEP: usize = 64 * 1024;
const PART: usize = 16 * 1024;

/// Results of small files that are kept.
const MOST_KEPT: usize = 256;

/// How many files are compressed at once. Whoever finds it full sends the content as it is.
#[derive(Debug)]
pub(super) struct Gate {
    running: AtomicUsize,
    most: usize,
}

/// One place in the [`Gate`].
pub(super) struct Permit(Arc<Gate>);

impl Gate {
    pub(super) fn new() -> Arc<Gate> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // Who leaves in the middle keeps a place for one more step.
        Arc::new(Gate { running: AtomicUsize::new(0), most: cores.max(2) })
    }

    pub(super) fn enter(self: &Arc<Gate>) -> Option<Permit> {
        let room = |running| (running < self.most).then_some(running + 1);
        let entered = self.running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room);
        entered.ok().map(|_| Permit(Arc::clone(self)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What small files were compressed to.
#[derive(Default)]
pub(super) struct Kept(Mutex<Results>);

/// By key the file that was compressed, and the result if it is smaller.
type Results = HashMap<Box<[u8]>, (Identity, Option<Bytes>)>;

impl Kept {
    /// What the file `of` was compressed to under this key; None inside says that it did not get
    /// smaller.
    #[expect(clippy::option_option, reason = "not known, known to be of no use, known")]
    pub(super) fn get(&self, key: &[u8], of: &Identity) -> Option<Option<Bytes>> {
        let kept = self.lock();
        kept.get(key).filter(|(identity, _)| identity == of).map(|(_, content)| content.clone())
    }

    fn put(&self, key: &[u8], of: Identity, content: Option<Bytes>) {
        let mut kept = self.lock();
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(key.into(), (of, content));
    }

    fn lock(&self) -> MutexGuard<'_, Results> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where content comes from.
pub(super) enum Source {
    Bytes(Bytes),
    /// So many bytes of it.
    File(File, u64),
}

/// Where the result of a small file goes.
pub(super) struct Keep {
    pub(super) kept: Arc<Kept>,
    pub(super) key: Box<[u8]>,
    pub(super) of: Identity,
}

/// Content that is compressed part by part.
pub(super) struct Compressing {
    source: Source,
    /// None once it is finished.
    encoder: Option<Encoder>,
    /// All of the output so far, where it is to be kept.
    keep: Option<(Keep, Vec<u8>)>,
    taken: u64,
    /// The place is free again when this is dropped.
    _permit: Permit,
}

enum Encoder {
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Compressing {
    /// None if there is no compressor for it.
    pub(super) fn new(
        source: Source,
        coding: Coding,
        keep: Option<Keep>,
        permit: Permit,
    ) -> Option<Compressing> {
        let encoder = match coding {
            Coding::Brotli => {
                let writer = brotli::CompressorWriter::new(Vec::new(), STEP, BROTLI, WINDOW);
                Encoder::Brotli(Box::new(writer))
            }
            Coding::Gzip => {
                Encoder::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP)))
            }
            Coding::Zstd => {
                Encoder::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD).ok()?)
            }
            Coding::Identity => return None,
        };
        let keep = keep.map(|keep| (keep, Vec::new()));
        Some(Compressing { source, encoder: Some(encoder), keep, taken: 0, _permit: permit })
    }
}

impl Produce for Compressing {
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Some(encoder) = &mut self.encoder else {
            return Ok(None);
        };
        let mut buffer = vec![0; STEP];
        let part = loop {
            let count = self.source.read(&mut buffer)?;
            if count == 0 {
                break match self.encoder.take() {
                    Some(encoder) => encoder.finish()?,
                    None => Vec::new(),
                };
            }
            self.taken = self.taken.saturating_add(count as u64);
            encoder.write(buffer.get(..count).unwrap_or_default())?;
            if encoder.output().len() >= PART {
                break std::mem::take(encoder.output());
            }
        };
        if let Some((_, whole)) = &mut self.keep {
            whole.extend_from_slice(&part);
        }
        if self.encoder.is_none()
            && let Some((keep, whole)) = self.keep.take()
        {
            // Less than a twentieth is not worth a client's work.
            let smaller = (whole.len() as u64) < self.taken - self.taken / 20;
            keep.kept.put(&keep.key, keep.of, smaller.then(|| whole.into()));
        }
        Ok((!part.is_empty()).then(|| part.into()))
    }
}

impl Source {
    /// 0 at the end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::Bytes(bytes) => {
                let count = bytes.len().min(buffer.len());
                bytes.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
                Ok(count)
            }
            Source::File(file, left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                let count = file.read(buffer.get_mut(..most).unwrap_or_default())?;
                if count == 0 && most > 0 {
                    // It has become shorter: what was sent is no file that ever was.
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                *left -= count as u64;
                Ok(count)
            }
        }
    }
}

impl Encoder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Encoder::Brotli(writer) => writer.write_all(bytes),
            Encoder::Gzip(writer) => writer.write_all(bytes),
            Encoder::Zstd(writer) => writer.write_all(bytes),
        }
    }

    fn output(&mut self) -> &mut Vec<u8> {
        match self {
            Encoder::Brotli(writer) => writer.get_mut(),
            Encoder::Gzip(writer) => writer.get_mut(),
            Encoder::Zstd(writer) => writer.get_mut(),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Encoder::Brotli(writer) => Ok(writer.into_inner()),
            Encoder::Gzip(writer) => writer.finish(),
            Encoder::Zstd(writer) => writer.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Seek as _;

    use super::*;

    fn text() -> Vec<u8> {
        (0..60_000).flat_map(|number: u32| format!("line {number}\n").into_bytes()).collect()
    }

    fn all(mut compressing: Compressing) -> io::Result<Vec<u8>> {
        let mut whole = Vec::new();
        while let Some(part) = compressing.next()? {
            assert!(!part.is_empty());
            whole.extend_from_slice(&part);
        }
        assert!(compressing.next()?.is_none());
        Ok(whole)
    }

    fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        match coding {
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut content),
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut content),
            Coding::Zstd => zstd::stream::read::Decoder::new(bytes)
                .expect("a decoder")
                .read_to_end(&mut content),
            Coding::Identity => panic!("nothing is compressed"),
        }
        .expect("it is whole");
        content
    }

    #[test]
    fn what_is_compressed_is_the_same_again() {
        for coding in CODINGS {
            for content in [Vec::new(), b"x".to_vec(), text()] {
                let gate = Gate::new();
                let permit = gate.enter().expect("room");
                let source = Source::Bytes(content.clone().into());
                let compressing = Compressing::new(source, coding, None, permit).expect("a coding");
                let compressed = all(compressing).expect("memory does not fail");
                assert!(content.len() < 1000 || compressed.len() < content.len() / 3, "{coding}");
                assert!(decoded(coding, &compressed) == content, "{coding}");
                assert_eq!(gate.running.load(Ordering::Relaxed), 0);
            }
        }
    }

    #[test]
    fn a_file_that_shrinks_is_no_shorter_file() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&text()).expect("room");
        file.rewind().expect("a file");
        let permit = Gate::new().enter().expect("room");
        let source = Source::File(file, text().len() as u64 + 1);
        let compressing = Compressing::new(source, Coding::Gzip, None, permit).expect("gzip");
        assert_eq!(all(compressing).expect_err("cut").kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn no_more_is_compressed_at_once_than_there_are_cores() {
        let gate = Gate::new();
        let mut permits: Vec<Permit> = std::iter::from_fn(|| gate.enter()).collect();
        assert_eq!(permits.len(), gate.most);
        permits.pop();
        assert!(gate.enter().is_some());
    }
}
