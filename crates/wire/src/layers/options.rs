//! The options of IPv4 and of TCP, each with its name.

use super::Stop;
use super::field::{Meaning, Name};
use super::reader::Reader;

/// Kinds that stand alone (RFC 791 §3.1, RFC 9293 §3.2).
const END: u8 = 0;
const NO_OPERATION: u8 = 1;

/// The options of IPv4, which take so many bytes.
pub(super) fn ipv4(reader: &mut Reader<'_>, length: usize) -> Result<(), Stop> {
    walk(reader, length, |kind| match kind {
        7 => "record route",
        68 => "timestamp",
        130 => "security",
        131 => "loose source route",
        136 => "stream id",
        137 => "strict source route",
        148 => "router alert",
        _ => "option",
    })
}

/// The options of TCP, which take so many bytes.
pub(super) fn tcp(reader: &mut Reader<'_>, length: usize) -> Result<(), Stop> {
    walk(reader, length, |kind| match kind {
        SEGMENT_SIZE => "MSS",
        WINDOW_SCALE => "window scale",
        SACK_PERMITTED => "SACK permitted",
        SACK => "SACK",
        TIMESTAMPS => "timestamps",
        19 => "MD5 signature",
        28 => "user timeout",
        29 => "TCP-AO",
        30 => "MPTCP",
        34 => "fast open",
        172 | 174 => "AccECN",
        253 | 254 => "experiment",
        _ => "option",
    })
}

/// RFC 9293 §3.7.1, RFC 7323 §2.2, RFC 2018 §2 and §3, RFC 7323 §3.2.
const SEGMENT_SIZE: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

fn walk(reader: &mut Reader<'_>, length: usize, name: fn(u8) -> &'static str) -> Result<(), Stop> {
    let end = reader.byte() + length;
    loop {
        let left = end - reader.byte();
        if left == 0 {
            return Ok(());
        }
        match (reader.peek(), reader.rest().get(1).copied()) {
            (None, _) => return Err(Stop::Cut),
            (Some(END), _) => {
                // Whatever stands behind it fills up (RFC 9293 §3.1: zeros).
                reader.bytes(Name::Padding, left)?;
            }
            (Some(NO_OPERATION), _) => {
                let run = reader.rest().iter().take(left);
                let run = run.take_while(|&&byte| byte == NO_OPERATION).count();
                reader.bytes(Name::Option("no-operation"), run)?;
                reader.mean(Meaning::Kind(NO_OPERATION));
            }
            (Some(_), _) if left < 2 => malformed(reader, left)?,
            (Some(_), None) => {
                reader.bytes(Name::OptionData, 2)?;
            }
            (Some(_), Some(size)) if size < 2 || usize::from(size) > left => {
                malformed(reader, left)?;
            }
            (Some(kind), Some(size)) => {
                reader.bytes(Name::Option(name(kind)), 2)?;
                reader.mean(Meaning::KindAndLength(kind, size));
                let size = usize::from(size) - 2;
                // The numbers of IPv4's options and of TCP's are not the same.
                match name(kind) {
                    "MSS" if size == 2 => {
                        reader.number(Name::SegmentSize, 16)?;
                    }
                    "window scale" if size == 1 => {
                        let shift = reader.number(Name::ShiftCount, 8)?;
                        // RFC 7323 §2.3: more than 14 counts as 14.
                        reader.mean(Meaning::Shift(1 << shift.min(14)));
                    }
                    "SACK" if size.is_multiple_of(8) => {
                        for _ in 0..size / 8 {
                            reader.number(Name::SackLeft, 32)?;
                            reader.number(Name::SackRight, 32)?;
                        }
                    }
                    "timestamps" if size == 8 => {
                        reader.number(Name::TimestampValue, 32)?;
                        reader.number(Name::TimestampEcho, 32)?;
                    }
                    _ => {
                        reader.bytes(Name::OptionData, size)?;
                    }
                }
            }
        }
    }
}

/// Options are skipped from here on; the header's own length still says where it ends.
fn malformed(reader: &mut Reader<'_>, left: usize) -> Result<(), Stop> {
    reader.bytes(Name::Malformed, left)?;
    Ok(())
}
