//! A capture with frames dropped, doubled, reordered and cut short, the same for the same seed.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use sockeye_eye::pcap::Reader;
use tempfile::NamedTempFile;

/// A frame as it is written.
#[derive(Clone)]
struct Kept {
    at: u64,
    length: usize,
    bytes: Vec<u8>,
}

/// The damaged capture.
pub(crate) fn of(file: &Path, seed: u64) -> NamedTempFile {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut frames = Vec::new();
    let mut reader = Reader::new(File::open(file).unwrap()).unwrap();
    while let Some(frame) = reader.next_frame().unwrap() {
        let (at, length, bytes) = (frame.at.0, frame.length, frame.bytes.to_vec());
        frames.push(Kept { at, length, bytes });
    }
    // Each seed does one kind of damage more than others.
    let often = |kind: u64| if seed % 4 == kind { 0.12 } else { 0.01 };
    let mut damaged: Vec<Kept> = Vec::new();
    for mut frame in frames {
        if random.f64() < often(0) {
            continue;
        }
        if random.f64() < often(1) {
            damaged.push(frame.clone());
        }
        if random.f64() < often(2) {
            // Below this a header may be cut, of which tshark tells what it can.
            let keep = random.usize(66 + 14..=frame.bytes.len().max(66 + 14));
            frame.bytes.truncate(keep);
        }
        damaged.push(frame);
        if random.f64() < often(3) {
            let last = damaged.len() - 1;
            damaged.swap(last, last.saturating_sub(random.usize(1..4)));
        }
    }
    let mut out = NamedTempFile::new().unwrap();
    // In both orders of bytes, with micro- and nanoseconds.
    let (big, nanos) = (seed & 1 != 0, seed & 2 != 0);
    let word = |word: u32| if big { word.to_be_bytes() } else { word.to_le_bytes() };
    let half = |half: u16| if big { half.to_be_bytes() } else { half.to_le_bytes() };
    let magic = if nanos { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
    let header =
        [&word(magic)[..], &half(2), &half(4), &word(0), &word(0), &word(262_144), &word(1)];
    let mut file = header.concat();
    for Kept { at, length, bytes } in damaged {
        let unit = if nanos { 1 } else { 1000 };
        let [seconds, fraction] = [at / 1_000_000_000, at % 1_000_000_000 / unit];
        let [captured, length] = [bytes.len(), length].map(|length| u32::try_from(length).unwrap());
        for field in [seconds, fraction] {
            file.extend(word(u32::try_from(field).unwrap()));
        }
        file.extend(word(captured));
        file.extend(word(length));
        file.extend(bytes);
    }
    out.write_all(&file).unwrap();
    out
}
