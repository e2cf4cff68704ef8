//! The fields of headers: their names, places, values, and what the values mean.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use super::Checksum;
use crate::tcp::Flags;

/// One field of a header.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// What the standard calls it.
    pub name: Name,
    /// Its place in bits from the first captured byte.
    pub bits: Range<usize>,
    /// What it holds.
    pub value: Value,
    /// What that means, where it does not say so itself.
    pub meaning: Option<Meaning>,
}

impl Field {
    /// The bytes it touches, some of them perhaps in part.
    #[must_use]
    pub fn bytes(&self) -> Range<usize> {
        self.bits.start / 8..self.bits.end.div_ceil(8)
    }

    /// Whether it is made of whole bytes.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.bits.start.is_multiple_of(8) && self.bits.end.is_multiple_of(8)
    }
}

/// What a field holds. Shown the same way in all languages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A number that counts something.
    Number(u64),
    /// A number that is a name, in hexadecimal with so many digits.
    Hex {
        /// The number.
        value: u64,
        /// How many digits it is written with.
        digits: usize,
    },
    /// A hardware address.
    Mac([u8; 6]),
    /// An address of IP.
    Address(IpAddr),
    /// Control bits of TCP.
    Flags(Flags),
    /// The bytes themselves say it.
    Bytes,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Hex { value, digits } => write!(f, "0x{value:0digits$x}"),
            Value::Mac([first, rest @ ..]) => {
                write!(f, "{first:02x}")?;
                rest.iter().try_for_each(|byte| write!(f, ":{byte:02x}"))
            }
            Value::Address(address) => write!(f, "{address}"),
            Value::Flags(flags) => write_flags(*flags, f),
            Value::Bytes => Ok(()),
        }
    }
}

/// All that are set, in the order of the header (RFC 9293 §3.1).
fn write_flags(flags: Flags, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const NAMES: [&str; 8] = ["CWR", "ECE", "URG", "ACK", "PSH", "RST", "SYN", "FIN"];
    let set = (0..8).filter(|bit| flags.bits() >> (7 - bit) & 1 == 1);
    let mut separator = "";
    for bit in set {
        write!(f, "{separator}{}", NAMES[bit])?;
        separator = " ";
    }
    if separator.is_empty() { f.write_str("none") } else { Ok(()) }
}

/// What a value means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Meaning {
    /// A proper name, the same in all languages: `IPv4`, `TCP`.
    Name(&'static str),
    /// So many words of four bytes, that is so many bytes.
    Words(u64),
    /// An extension header of so many bytes.
    Bytes(u64),
    /// A kind and a length of an option; a length counts both.
    KindAndLength(u8, u8),
    /// A kind that has no length.
    Kind(u8),
    /// All hosts of the link.
    Broadcast,
    /// A group of hosts.
    Group,
    /// Zeros: no hardware address.
    NoHardware,
    /// May not be fragmented (RFC 791 §3.1).
    DontFragment,
    /// More fragments follow.
    MoreFragments,
    /// May be fragmented, and this is the only or the last fragment.
    NoFlags,
    /// A fragment begins at this byte of the packet's payload.
    FragmentAt(u64),
    /// The length is not here: more than 16 bits can say.
    TooLongToSay,
    /// More than what holds it.
    TooLong,
    /// Less than a header.
    TooShort,
    /// What was found about a checksum.
    Checksum(Checksum),
    /// A shift count: the window counts in units of so many bytes.
    Shift(u64),
    /// Without its control bit it means nothing.
    Unused,
    /// Bits that have no meaning yet and are to be zero.
    Zero,
    /// Bits that have no meaning yet and are not zero.
    NotZero,
    /// An ARP request: who has the target's address?
    Request,
    /// An ARP answer: the sender has it.
    Reply,
}

/// What a field is called, in the words of its standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// ICMP: what part of the type.
    Code,
    /// What checks header and payload.
    Checksum,
    /// The capture ends here.
    Cut,
    /// Where the header of TCP ends, in words.
    DataOffset,
    /// Where a frame or packet goes.
    Destination,
    /// Where a segment or datagram goes on that host.
    DestinationPort,
    /// The class of service (RFC 2474).
    Dscp,
    /// Congestion marks (RFC 3168).
    Ecn,
    /// What the frame carries.
    EtherType,
    /// The body of an extension header.
    ExtensionData,
    /// An extension header: its length.
    ExtensionLength,
    /// IPv6: marks packets of one flow.
    FlowLabel,
    /// A family of addresses.
    Family,
    /// Where a fragment belongs.
    FragmentOffset,
    /// ARP: bytes of a hardware address.
    HardwareLength,
    /// ARP: what kind of hardware.
    HardwareType,
    /// What checks the header alone.
    HeaderChecksum,
    /// The header's length, in words.
    HeaderLength,
    /// Routers it may still cross.
    HopLimit,
    /// Which question an answer belongs to.
    Identifier,
    /// Which packet fragments belong to.
    Identification,
    /// Whether it may be cut, or was.
    IpFlags,
    /// Bytes of a datagram, or of a frame of IEEE 802.3.
    Length,
    /// The number of the interface it was captured at.
    Interface,
    /// The options don't add up.
    Malformed,
    /// IPv6: more fragments follow.
    MoreFragments,
    /// ICMP: the largest packet that passes.
    Mtu,
    /// What comes behind this header.
    NextHeader,
    /// ARP: question or answer.
    Operation,
    /// An option's kind and length.
    Option(&'static str),
    /// What an option holds.
    OptionData,
    /// How it came to be captured: it arrived, or left.
    PacketType,
    /// What fills up the header.
    Padding,
    /// Bytes behind the fixed header.
    PayloadLength,
    /// ICMP: which byte is wrong.
    Pointer,
    /// What the packet carries.
    Protocol,
    /// ARP: bytes of a protocol address.
    ProtocolLength,
    /// ARP: what is looked for.
    ProtocolType,
    /// Bits without a meaning.
    Reserved,
    /// What follows type and code.
    RestOfHeader,
    /// The left edge of a block that has arrived.
    SackLeft,
    /// The right edge of it.
    SackRight,
    /// The largest segment.
    SegmentSize,
    /// ARP: the sender's hardware address.
    SenderHardware,
    /// ARP: the sender's protocol address.
    SenderProtocol,
    /// Its place among its kind.
    Sequence,
    /// The number of the first byte.
    SequenceNumber,
    /// The next number expected.
    Acknowledgment,
    /// The control bits.
    ControlBits,
    /// The shift count.
    ShiftCount,
    /// Who sent a frame or packet.
    Source,
    /// Where a segment or datagram comes from on that host.
    SourcePort,
    /// ARP: the hardware address looked for.
    TargetHardware,
    /// ARP: the protocol address looked for.
    TargetProtocol,
    /// The sender's clock.
    TimestampValue,
    /// The other end's clock, as it was last heard.
    TimestampEcho,
    /// Bytes of the packet.
    TotalLength,
    /// Routers it may still cross (time to live).
    TimeToLive,
    /// ICMP: what kind of message.
    Type,
    /// Where urgent data end.
    UrgentPointer,
    /// The version of IP.
    Version,
    /// A VLAN tag.
    VlanTag,
    /// A tag's priority.
    VlanPriority,
    /// A tag's mark of what may be dropped.
    VlanDropEligible,
    /// Which VLAN.
    VlanId,
    /// Bytes the sender of this can take.
    Window,
}
