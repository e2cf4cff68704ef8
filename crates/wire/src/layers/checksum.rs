//! The Internet checksum (RFC 1071), and what one that was captured says.

use std::net::IpAddr;

/// What was found about a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It is right.
    Correct,
    /// It is not; this would be.
    Wrong(u16),
    /// It holds the sum of the pseudo-header alone: whoever sends it on fills in the rest, the card
    /// or nobody on `lo` (checksum offload).
    LeftToCard,
    /// Not verified: not all that it covers was captured.
    NotAllCaptured,
    /// Not verified: it covers the whole packet, of which this is a fragment.
    Fragment,
    /// Not verified: it covers the last address of a source route.
    Routed,
    /// The sender made none (RFC 768).
    None,
}

/// The sum of 16-bit words, not complemented yet; an odd byte at the end counts as a high one.
pub(super) fn sum(bytes: &[u8], before: u32) -> u32 {
    let mut sum = u64::from(before);
    let (words, odd) = bytes.as_chunks::<2>();
    for word in words {
        sum += u64::from(u16::from_be_bytes(*word));
    }
    if let [odd] = odd {
        sum += u64::from(*odd) << 8;
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u32::try_from(sum).unwrap_or(0)
}

/// The sum of the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1).
pub(super) fn pseudo_header(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    length: usize,
) -> u32 {
    let mut before = 0;
    for address in [source, destination] {
        before = match address {
            IpAddr::V4(address) => sum(&address.octets(), before),
            IpAddr::V6(address) => sum(&address.octets(), before),
        };
    }
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    sum(&length.to_be_bytes(), sum(&[0, protocol], before))
}

/// The checksum that belongs where `stood` stood, of a sum that counted it.
pub(super) fn right_one(sum: u32, stood: u16) -> u16 {
    let without = self::sum(&(!stood).to_be_bytes(), sum);
    !u16::try_from(without).unwrap_or(0)
}
