//! The control bits of a TCP header (RFC 9293 §3.1).

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of control bits, laid out as in byte 13 of the header (RFC 9293 §3.1).
///
/// Shown the way people say it: `SYN+ACK`; PSH says nothing about the stream and is left out.
///
/// ```
/// use sockeye_wire::tcp::Flags;
///
/// let flags = Flags::SYN | Flags::ACK;
/// assert!(flags.syn() && flags.ack() && !flags.fin());
/// assert_eq!(flags.to_string(), "SYN+ACK");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    /// No flag at all.
    pub const NONE: Flags = Flags(0);
    /// No more data from the sender.
    pub const FIN: Flags = Flags(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Flags = Flags(0x02);
    /// Reset the connection.
    pub const RST: Flags = Flags(0x04);
    /// Push function.
    pub const PSH: Flags = Flags(0x08);
    /// The acknowledgment field is significant.
    pub const ACK: Flags = Flags(0x10);
    /// The urgent pointer field is significant.
    pub const URG: Flags = Flags(0x20);

    /// From byte 13 of the header; ECE and CWR (RFC 3168) are kept but have no accessor.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Flags {
        Flags(bits)
    }

    /// As byte 13 of the header.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether FIN is set.
    #[must_use]
    pub const fn fin(self) -> bool {
        self.contains(Flags::FIN)
    }

    /// Whether SYN is set.
    #[must_use]
    pub const fn syn(self) -> bool {
        self.contains(Flags::SYN)
    }

    /// Whether RST is set.
    #[must_use]
    pub const fn rst(self) -> bool {
        self.contains(Flags::RST)
    }

    /// Whether PSH is set.
    #[must_use]
    pub const fn psh(self) -> bool {
        self.contains(Flags::PSH)
    }

    /// Whether ACK is set.
    #[must_use]
    pub const fn ack(self) -> bool {
        self.contains(Flags::ACK)
    }

    /// Whether URG is set.
    #[must_use]
    pub const fn urg(self) -> bool {
        self.contains(Flags::URG)
    }
}

impl BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Flags) {
        self.0 |= other.0;
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMED: [(Flags, &str); 5] = [
            (Flags::SYN, "SYN"),
            (Flags::FIN, "FIN"),
            (Flags::RST, "RST"),
            (Flags::URG, "URG"),
            (Flags::ACK, "ACK"),
        ];
        let mut separator = "";
        for (flag, name) in NAMED {
            if self.contains(flag) {
                write!(f, "{separator}{name}")?;
                separator = "+";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_named_in_the_order_people_say_them() {
        assert_eq!((Flags::ACK | Flags::FIN | Flags::PSH).to_string(), "FIN+ACK");
        assert_eq!((Flags::ACK | Flags::RST).to_string(), "RST+ACK");
        assert_eq!(Flags::NONE.to_string(), "");
    }

    #[test]
    fn bits_of_the_header_survive_the_round_trip() {
        for bits in 0..=u8::MAX {
            assert_eq!(Flags::from_bits(bits).bits(), bits);
        }
    }
}
