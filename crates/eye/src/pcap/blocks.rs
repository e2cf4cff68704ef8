//! The blocks of a pcapng file, as bytes (draft-ietf-opsawg-pcapng).
//!
//! Four kinds are written, always in the order of bytes of little-endian machines.

use sockeye_engine::probe::Stamp;
use sockeye_wire::packet::Link;

/// The codes of options, each within its kind of block.
const COMMENT: u16 = 1;
const SECTION_PROGRAM: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_RESOLUTION: u16 = 9;
const INTERFACE_FILTER: u16 = 11;
const PACKET_FLAGS: u16 = 2;
const STATISTICS_RECEIVED: u16 = 4;
const STATISTICS_DROPPED_BY_SYSTEM: u16 = 7;

/// Adds a section header, with which a file begins.
pub(super) fn section(file: &mut Vec<u8>, program: &str) {
    block(file, 0x0a0d_0d0a, |body| {
        body.extend(0x1a2b_3c4d_u32.to_le_bytes());
        // Version 1.0; the length of the section is not told ahead.
        body.extend([1, 0, 0, 0]);
        body.extend(u64::MAX.to_le_bytes());
        option(body, SECTION_PROGRAM, program.as_bytes());
        end_of_options(body);
    });
}

/// Adds the description of an interface; they are numbered from 0. Stamps are of nanoseconds.
pub(super) fn interface(file: &mut Vec<u8>, link: Link, name: &str, filter: &str) {
    block(file, 1, |body| {
        body.extend(link.linktype().to_le_bytes());
        // Reserved; and no limit to a packet's length.
        body.extend([0; 6]);
        option(body, INTERFACE_NAME, name.as_bytes());
        option(body, INTERFACE_RESOLUTION, &[9]);
        if !filter.is_empty() {
            // 0: what follows is a filter in the words of pcap-filter(7).
            option(body, INTERFACE_FILTER, &[&[0], filter.as_bytes()].concat());
        }
        end_of_options(body);
    });
}

/// A packet as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Enhanced<'a> {
    pub(super) interface: u32,
    pub(super) at: Stamp,
    pub(super) length: u32,
    pub(super) outgoing: bool,
    pub(super) frame: &'a [u8],
}

/// Adds a packet with its comments.
pub(super) fn packet(file: &mut Vec<u8>, packet: &Enhanced<'_>, comments: &[String]) {
    block(file, 6, |body| {
        body.extend(packet.interface.to_le_bytes());
        stamp(body, packet.at);
        let captured = u32::try_from(packet.frame.len()).unwrap_or(u32::MAX);
        body.extend(captured.to_le_bytes());
        body.extend(packet.length.max(captured).to_le_bytes());
        body.extend_from_slice(packet.frame);
        pad(body);
        for comment in comments {
            option(body, COMMENT, comment.as_bytes());
        }
        let direction: u32 = if packet.outgoing { 0b10 } else { 0b01 };
        option(body, PACKET_FLAGS, &direction.to_le_bytes());
        end_of_options(body);
    });
}

/// Adds what became of the packets of an interface.
pub(super) fn statistics(file: &mut Vec<u8>, interface: u32, at: Stamp, received: u64, lost: u64) {
    block(file, 5, |body| {
        body.extend(interface.to_le_bytes());
        stamp(body, at);
        option(body, STATISTICS_RECEIVED, &received.to_le_bytes());
        option(body, STATISTICS_DROPPED_BY_SYSTEM, &lost.to_le_bytes());
        end_of_options(body);
    });
}

/// Where in these bytes, which begin with a block, the last whole one ends.
pub(super) fn end_of_last(written: &[u8]) -> usize {
    let mut end = 0;
    while let Some([_, _, _, _, a, b, c, d, ..]) = written.get(end..) {
        let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        match end.checked_add(length) {
            Some(next) if length > 0 && next <= written.len() => end = next,
            _ => break,
        }
    }
    end
}

/// A block with its length at both ends.
fn block(file: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    fill(&mut body);
    let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
    file.extend(kind.to_le_bytes());
    file.extend(length);
    file.append(&mut body);
    file.extend(length);
}

/// In two halves, the upper one first.
fn stamp(body: &mut Vec<u8>, at: Stamp) {
    let [a, b, c, d, e, f, g, h] = at.0.to_le_bytes();
    body.extend([e, f, g, h, a, b, c, d]);
}

/// What is longer than an option can be is cut.
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    body.extend(code.to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend_from_slice(&value[..usize::from(length)]);
    pad(body);
}

fn end_of_options(body: &mut Vec<u8>) {
    body.extend([0; 4]);
}

/// To the next word: all that comes before in a body is made of whole words.
fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}
