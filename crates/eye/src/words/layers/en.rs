//! English.

use sockeye_wire::layers::{Checksum, Layer, Meaning, Name, Pdu, Protocol, Stop};

use super::{LayerWords, Title};
use crate::view::scale::grouped;

pub(super) static WORDS: LayerWords = LayerWords {
    name,
    meaning,
    unit,
    layer,
    of_layer: |layer| format!("{} layer", self::layer(layer)),
    stop,
    five_layers: "five layers",
    osi: "OSI",
    unit_column: "unit",
    header_column: "header",
    payload_column: "payload",
    presentation: "presentation",
    session: "session",
    no_presentation: "no header: its encoding is part of the message",
    no_session_of_datagrams: "no header: left to the program",
    no_session: "no header: left to TCP and the program",
    bits: "bits",
    message: "message",
    not_captured: "not captured",
    physical_of_loopback: "none: it never left the kernel",
    physical_not_captured: "not captured",
    no_frame_of_loopback: "no preamble in front and no FCS behind: on lo there is no wire",
    no_link_header: "no link header was captured: this begins with the packet",
    trailer: |count| match count {
        1 => String::from("1 byte of padding behind the packet: a frame has at least 60"),
        _ => format!("{count} bytes of padding behind the packet: a frame has at least 60"),
    },
    size,
    cut: |count| match count {
        1 => String::from("cut off after 1 byte"),
        _ => format!("cut off after {count} bytes"),
    },
    left_on_loopback: "not filled in: nobody checks it on lo; it is the pseudo-header's sum",
    made_up: "this header was made up by whoever captured: the real one was not captured",
    ends_of_frame: "preamble and FCS were not captured: the card adds them and takes them off",
    title,
    numbered: |number, of| format!("message {} of {}", grouped(number), grouped(of)),
    numbered_datagram: |number| format!("datagram {}", grouped(number)),
    part: |[start, end], [first, last]| match [start, end] == [first, last] {
        true => format!("bytes [{start}..{end})"),
        false => format!("bytes [{start}..{end}) of [{first}..{last})"),
    },
    bytes_at: |start, end| format!("bytes [{start}..{end})"),
    bytes,
    more: |count| match count {
        1 => String::from("1 more byte"),
        _ => format!("{} more bytes", grouped(count)),
    },
    more_not_kept: |count| match count {
        1 => String::from("1 more byte, not kept"),
        _ => format!("{} more bytes, not kept", grouped(count)),
    },
    offset: |offset| format!("byte {offset} of this direction"),
    first_number: "initial sequence number",
    next_expected: |offset| format!("expects byte {offset} of the other direction"),
    fin_acknowledged: "all bytes and the FIN have arrived",
    window: |bytes| format!("scaled: {} bytes", grouped(bytes)),
    client: "client",
    server: "server",
    offload_sized: |payload, mss| {
        format!(
            "offload-sized: {} bytes of payload, MSS {}; it is cut up below the capture, or never",
            grouped(payload),
            grouped(mss)
        )
    },
    perhaps_offload_sized: "~ offload-sized: more than the 1,500 bytes of an Ethernet frame",
};

fn bytes(count: u64) -> String {
    match count {
        1 => String::from("1 byte"),
        _ => format!("{} bytes", grouped(count)),
    }
}

fn title(title: &Title) -> String {
    let Title { length, from_client, millis, arrow } = title;
    let way = match from_client {
        Some(true) => format!("client {arrow} server, "),
        Some(false) => format!("server {arrow} client, "),
        None => String::new(),
    };
    let at = millis.as_ref().map_or(String::new(), |millis| format!(", at {millis} ms"));
    format!("layers: {way}{}{at}", bytes(*length as u64))
}

fn size(pdu: &Pdu) -> String {
    let header = grouped(pdu.header.len() as u64);
    match pdu.payload_length {
        0 => format!("{header} header"),
        payload => format!("{header} header + {} payload", grouped(payload as u64)),
    }
}

fn layer(layer: Layer) -> &'static str {
    match layer {
        Layer::Physical => "physical",
        Layer::Link => "link",
        Layer::Network => "network",
        Layer::Transport => "transport",
        Layer::Application => "application",
    }
}

fn unit(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Ethernet | Protocol::Cooked | Protocol::Null => "frame",
        Protocol::Ipv4 | Protocol::Ipv6 => "packet",
        Protocol::Tcp => "segment",
        Protocol::Udp => "datagram",
        Protocol::Arp | Protocol::Icmpv4 | Protocol::Icmpv6 => "message",
    }
}

fn stop(stop: Stop) -> Option<String> {
    Some(match stop {
        Stop::Payload => return None,
        Stop::Cut => String::from("the capture ends inside this header"),
        Stop::Fragment => String::from(
            "a fragment from the middle of a packet: only the first has the next header",
        ),
        Stop::UnknownType(length) if length < 0x0600 => {
            String::from("IEEE 802.3 with a length in place of a type: taken apart no further")
        }
        Stop::UnknownType(kind) => format!("type 0x{kind:04x}: taken apart no further"),
        Stop::UnknownProtocol(number) => format!("protocol {number}: taken apart no further"),
        Stop::Encrypted => String::from("encrypted from here on (ESP)"),
        Stop::Version(version) => {
            format!(
                "begins with version {version}: neither IPv4 nor IPv6, or not what the type says"
            )
        }
        Stop::Malformed => {
            String::from("malformed: a length contradicts what holds it; certain up to here")
        }
    })
}

fn meaning(meaning: &Meaning) -> String {
    match *meaning {
        Meaning::Name(name) => name.to_owned(),
        Meaning::Words(bytes) => format!("words of 4 bytes: {bytes} bytes"),
        Meaning::Bytes(bytes) => format!("{bytes} bytes"),
        Meaning::KindAndLength(kind, length) => format!("kind {kind}, {length} bytes"),
        Meaning::Kind(kind) => format!("kind {kind}: fills up"),
        Meaning::Broadcast => String::from("broadcast"),
        Meaning::Group => String::from("group"),
        Meaning::NoHardware => String::from("no hardware address"),
        Meaning::DontFragment => String::from("DF: don't fragment"),
        Meaning::MoreFragments => String::from("MF: more fragments"),
        Meaning::NoFlags => String::from("none"),
        Meaning::FragmentAt(byte) => format!("units of 8 bytes: byte {}", grouped(byte)),
        Meaning::TooLongToSay => String::from("0: more than 16 bits can say"),
        Meaning::TooLong => String::from("more than there is"),
        Meaning::TooShort => String::from("less than a header takes"),
        Meaning::Checksum(checksum) => match checksum {
            Checksum::Correct => String::from("correct"),
            Checksum::Wrong(right) => format!("wrong: 0x{right:04x} would be correct"),
            Checksum::LeftToCard => {
                String::from("not filled in yet: the pseudo-header's sum, for the card to complete")
            }
            Checksum::NotAllCaptured => String::from("not verified: not all bytes are here"),
            Checksum::Fragment => String::from("not verified: this is a fragment"),
            Checksum::Routed => String::from("not verified: source route"),
            Checksum::None => String::from("none was made"),
        },
        Meaning::Shift(unit) => format!("windows count units of {unit} bytes"),
        Meaning::Unused => String::from("not in use"),
        Meaning::Zero => String::from("zero, as it must be"),
        Meaning::NotZero => String::from("not zero"),
        Meaning::Request => String::from("request: who has it?"),
        Meaning::Reply => String::from("reply: the sender has it"),
    }
}

fn name(name: Name) -> &'static str {
    match name {
        Name::Acknowledgment => "acknowledgment number",
        Name::Checksum => "checksum",
        Name::Code => "code",
        Name::ControlBits => "control bits",
        Name::Cut => "cut off",
        Name::DataOffset => "data offset",
        Name::Destination => "destination",
        Name::DestinationPort => "destination port",
        Name::Dscp => "DSCP",
        Name::Ecn => "ECN",
        Name::EtherType => "type",
        Name::ExtensionData => "extension data",
        Name::ExtensionLength => "extension length",
        Name::Family => "address family",
        Name::FlowLabel => "flow label",
        Name::FragmentOffset => "fragment offset",
        Name::HardwareLength => "hardware length",
        Name::HardwareType => "hardware type",
        Name::HeaderChecksum => "header checksum",
        Name::HeaderLength => "header length",
        Name::HopLimit => "hop limit",
        Name::Identification => "identification",
        Name::Identifier => "identifier",
        Name::Interface => "interface",
        Name::IpFlags => "flags",
        Name::Length => "length",
        Name::Malformed => "malformed",
        Name::MoreFragments => "more fragments",
        Name::Mtu => "MTU",
        Name::NextHeader => "next header",
        Name::Operation => "operation",
        Name::Option(option) => option,
        Name::OptionData => "option data",
        Name::PacketType => "packet type",
        Name::Padding => "padding",
        Name::PayloadLength => "payload length",
        Name::Pointer => "pointer",
        Name::Protocol => "protocol",
        Name::ProtocolLength => "protocol length",
        Name::ProtocolType => "protocol type",
        Name::Reserved => "reserved",
        Name::RestOfHeader => "rest of header",
        Name::SackLeft => "left edge",
        Name::SackRight => "right edge",
        Name::SegmentSize => "segment size",
        Name::SenderHardware => "sender hardware",
        Name::SenderProtocol => "sender protocol",
        Name::Sequence | Name::SequenceNumber => "sequence number",
        Name::ShiftCount => "shift count",
        Name::Source => "source",
        Name::SourcePort => "source port",
        Name::TargetHardware => "target hardware",
        Name::TargetProtocol => "target protocol",
        Name::TimeToLive => "time to live",
        Name::TimestampEcho => "TSecr",
        Name::TimestampValue => "TSval",
        Name::TotalLength => "total length",
        Name::Type => "type",
        Name::UrgentPointer => "urgent pointer",
        Name::Version => "version",
        Name::VlanDropEligible => "drop eligible",
        Name::VlanId => "VLAN",
        Name::VlanPriority => "priority",
        Name::VlanTag => "tag",
        Name::Window => "window",
    }
}
