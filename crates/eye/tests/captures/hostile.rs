//! Files that want to do harm: reading ends, without a panic and within bounds.

mod check;

use std::path::Path;

use proptest::prelude::*;
use sockeye_eye::pcap::{FileError, MAX_BLOCK, Reader};

use check::capture as read;

/// A small capture of one connection: pcapng, or pcap.
fn capture(pcapng: bool) -> Vec<u8> {
    let word = |word: usize| u32::try_from(word).unwrap().to_le_bytes();
    let mut file = Vec::new();
    let block = |kind: usize, body: &[u8]| {
        let body = [body, &vec![0; body.len().next_multiple_of(4) - body.len()]].concat();
        [&word(kind)[..], &word(12 + body.len()), &body, &word(12 + body.len())].concat()
    };
    match pcapng {
        true => {
            let section = [&word(0x1a2b_3c4d)[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
            file.extend(block(0x0a0d_0d0a, &section));
            // Raw IP, with stamps of nanoseconds, at an offset.
            let options = [9, 0, 1, 0, 9, 0, 0, 0, 14, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            file.extend(block(1, &[&[101, 0, 0, 0][..], &word(0), &options].concat()));
        }
        false => {
            file.extend(word(0xa1b2_c3d4));
            file.extend([2, 0, 4, 0]);
            file.extend([word(0), word(0), word(262_144), word(101)].concat());
        }
    }
    for (at, packet) in packets().into_iter().enumerate() {
        let lengths = [word(packet.len()), word(packet.len())].concat();
        match pcapng {
            true => {
                let body = [&word(0)[..], &word(0), &word(at), &lengths, &packet].concat();
                file.extend(block(6, &body));
            }
            false => file.extend([&word(at)[..], &word(0), &lengths, &packet].concat()),
        }
    }
    file
}

fn packets() -> Vec<Vec<u8>> {
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    let segment = |client: bool, seq: u32, ack: u32, flags: u8, payload: &[u8]| {
        let ports = if client { [9999_u16, 80] } else { [80, 9999] };
        let total = u16::try_from(40 + payload.len()).unwrap();
        let mut packet = vec![0x45, 0];
        packet.extend(total.to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        packet.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
        packet.extend([seq, ack].iter().flat_map(|number| number.to_be_bytes()));
        packet.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend(payload);
        packet
    };
    vec![
        segment(true, 99, 0, SYN, b""),
        segment(false, 499, 100, SYN | ACK, b""),
        segment(true, 100, 500, ACK, b"question"),
        segment(false, 500, 108, ACK, b"answer"),
        segment(true, 108, 506, ACK | 1, b""),
        segment(false, 506, 109, ACK | 1, b""),
        segment(true, 109, 507, ACK, b""),
    ]
}

#[test]
fn an_untouched_capture_is_read_to_its_end() {
    for pcapng in [true, false] {
        let file = capture(pcapng);
        read(&file);
        let mut reader = Reader::new(&file[..]).unwrap();
        let mut stamps = Vec::new();
        while let Some(frame) = reader.next_frame().unwrap() {
            stamps.push(frame.at.0);
        }
        let second = 1_000_000_000;
        let expected: Vec<u64> = match pcapng {
            true => (0..7).map(|at| second + at).collect(),
            false => (0..7).map(|at| second * at).collect(),
        };
        assert_eq!(stamps, expected);
    }
}

#[test]
fn a_file_cut_anywhere_tells_the_frames_before_the_cut() {
    for pcapng in [true, false] {
        let file = capture(pcapng);
        let mut before = 0;
        for cut in 4..file.len() {
            let Ok(mut reader) = Reader::new(&file[..cut]) else { continue };
            let error = loop {
                match reader.next_frame() {
                    Ok(Some(_)) => {}
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            assert!(matches!(error, None | Some(FileError::Cut { .. })), "at {cut}: {error:?}");
            assert!(reader.frames() >= before, "at {cut}");
            before = reader.frames();
        }
        assert_eq!(before, 6);
    }
}

#[test]
fn a_block_that_claims_to_be_huge_takes_no_memory_to_refuse() {
    let mut file = capture(true);
    let packet = file.windows(4).rposition(|window| window == [6, 0, 0, 0]).unwrap();
    let huge = u32::try_from(MAX_BLOCK * 2).unwrap();
    file[packet + 4..packet + 8].copy_from_slice(&huge.to_le_bytes());
    // As long as it claims, which would fill memory if it was believed.
    file.resize(MAX_BLOCK * 2 + 4096, 0);
    let mut reader = Reader::new(&file[..]).unwrap();
    let error = loop {
        match reader.next_frame() {
            Ok(frame) => assert!(frame.is_some(), "the end was reached"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, FileError::TooLarge { frames: 6 }), "{error:?}");
}

#[test]
fn the_corpus_of_captures_does_no_harm() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/capture");
    let mut count = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        read(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", corpus.display());
}

proptest! {
    #[test]
    fn no_bytes_do_harm(
        pcapng: bool,
        changes in proptest::collection::vec((0_usize..800, any::<u8>()), 0..12),
        cut in 0_usize..900,
        words in proptest::collection::vec((0_usize..200, any::<u32>()), 0..3),
    ) {
        let mut file = capture(pcapng);
        for (at, byte) in changes {
            if let Some(place) = file.get_mut(at) {
                *place = byte;
            }
        }
        for (at, word) in words {
            if let Some(place) = file.get_mut(at * 4..at * 4 + 4) {
                place.copy_from_slice(&word.to_le_bytes());
            }
        }
        file.truncate(cut);
        read(&file);
    }

    #[test]
    fn no_headers_do_harm(
        changes in proptest::collection::vec((0_usize..7, 0_usize..48, any::<u8>()), 0..20),
    ) {
        let mut packets = packets();
        for (packet, at, byte) in changes {
            if let Some(place) = packets[packet].get_mut(at) {
                *place = byte;
            }
        }
        let mut file = capture(false);
        file.truncate(24);
        for packet in packets {
            let length = u32::try_from(packet.len()).unwrap().to_le_bytes();
            file.extend([&[0; 8][..], &length, &length, &packet].concat());
        }
        read(&file);
    }
}
