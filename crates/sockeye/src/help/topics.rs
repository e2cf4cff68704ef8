//! The pages on what several commands share.

use std::fmt::Write as _;

use clap::ValueEnum as _;
use comfy_table::{ColumnConstraint, ContentArrangement, Table};
use sockeye_engine::{DriverKind, EndpointKind, option_help};
use sockeye_wire::frame::{DEFAULT_MAX_FRAME, Length};
use sockeye_wire::text::Encoding;

use super::Topic;
use crate::output;

/// Columns of a page that is not read on a terminal.
const WIDTH: u16 = 100;

pub(super) fn page(topic: Topic) -> String {
    match topic {
        Topic::Endpoints => endpoints(),
        Topic::Framing => framing(),
        Topic::Encodings => encodings(),
        Topic::Drivers => drivers(),
    }
}

/// The topics, for the end of the list of commands.
pub(super) fn list() -> String {
    let mut text = String::from("Topics (sockeye help TOPIC):\n");
    for topic in Topic::value_variants() {
        let about = topic.to_possible_value().and_then(|value| value.get_help().cloned());
        let about = about.map(|about| about.to_string()).unwrap_or_default();
        // A page that is not shown whole is worse than a String that can't be written to.
        let _ = writeln!(text, "  {:<12} {about}", topic.to_string());
    }
    text
}

/// What stands ahead of a table of endpoints.
const ENDPOINTS: &str = "\
An endpoint says where a socket is to be: SCHEME:PLACE?OPTION&OPTION=VALUE. The verb of the command
says which side of it: `listen` binds and waits, `connect` goes there.

";

fn endpoints() -> String {
    let mut kinds = table();
    for kind in EndpointKind::ALL {
        let (written, meaning) = match kind {
            EndpointKind::Tcp => {
                ("tcp://HOST:PORT, HOST:PORT", "a stream over the internet (tcp(7))")
            }
            EndpointKind::Udp => ("udp://HOST:PORT", "datagrams over the internet (udp(7))"),
            EndpointKind::Unix => {
                ("unix:///PATH, unix:@NAME", "a stream within this machine (unix(7))")
            }
            EndpointKind::UnixDatagram => {
                ("unix-dgram:///PATH, unix-dgram:@NAME", "datagrams within this machine")
            }
            EndpointKind::UnixSeqpacket => (
                "unix-seqpacket:///PATH, unix-seqpacket:@NAME",
                "connections that keep the borders of messages",
            ),
            // No command takes it.
            EndpointKind::Standard => continue,
        };
        kinds.add_row([written, meaning]);
    }
    let mut options = table();
    options.set_header(["Option", "For", "What it does"]);
    // An option is one word, however narrow the page.
    if let Some(column) = options.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    for option in option_help() {
        let schemes: Vec<&str> = option.kinds.iter().map(|kind| kind.scheme()).collect();
        let value = match option.value {
            "" => String::new(),
            value if value.starts_with('[') => value.to_owned(),
            value => format!("={value}"),
        };
        options.add_row([
            format!("{}{value}", option.name),
            schemes.join(" "),
            option.meaning.to_owned(),
        ]);
    }
    format!(
        "{ENDPOINTS}{}

HOST is a name, an IPv4 address, or an IPv6 address in brackets, with its zone where it is
link-local: [fe80::1%eth0]:80. PORT is a number, 0 to let the system choose, or the name of a
service: host:http. @NAME is an abstract name: no file stands for it. What a path can't hold as it
is (? and %) is percent-encoded.

With udp, HOST may be many: a multicast group, as in udp://239.1.2.3:9999?interface=eth0, which is
joined by listening at it; or `broadcast`, to send to every network this machine is in.

{}

Sizes are bytes and take k, M and G (powers of 1024); times are written 100ms, 15s, 2m. Quote an
endpoint with options: the shell has uses of its own for ? and &.
",
        shown(&kinds),
        shown(&options)
    )
}

/// Each way to mark a border, an example of it, and what it means.
const FRAMINGS: [(&str, &str, &str); 7] = [
    ("raw", "raw", "none: a message is what arrived at once (the default)"),
    ("line", "line", "LF ends a message, or CR LF when it is read"),
    (
        "delimiter=TEXT",
        r"delimiter=\r\n.\r\n",
        r"this text; \n \r \t \0 \\ and \xNN are understood",
    ),
    ("length=KIND", "length=u32", "a length stands ahead, of the kinds below"),
    ("fixed=BYTES", "fixed=512", "every message is so long"),
    ("netstring", "netstring", "a decimal length and a colon ahead, a comma behind"),
    ("gap=TIME", "gap=100ms", "a silence of this length"),
];

fn framing() -> String {
    let mut forms = table();
    for (written, _, meaning) in &FRAMINGS {
        forms.add_row([*written, *meaning]);
    }
    let kinds: Vec<&str> = Length::ALL.iter().map(|length| length.name()).collect();
    format!(
        "\
A stream is bytes in order and nothing else: what five writes sent may come in one read, and what
one write sent in three. `--frame` says how messages are told apart, for what is sent and for what
is received.

{}

KIND is one of {}. The number is
big-endian unless its name ends in le; varint has seven bits of it a byte, as protobuf does. It
counts the payload alone.

A message that holds the border itself, a line end with `line` or the text of `delimiter`, can't be
sent: it is an error that names the byte. Choose a length or a netstring for such. From a peer, it is
two messages.

Datagrams and sequenced packets have borders of their own, whatever --frame says. Input without
others is cut into as many as it takes (--datagram).

A message may have {} MiB (--max-frame). What ends in the middle of one, or announces a longer one,
is an error that names the offset of its first byte.
",
        shown(&forms),
        kinds.join(", "),
        DEFAULT_MAX_FRAME >> 20
    )
}

fn encodings() -> String {
    let names: Vec<&str> = Encoding::ALL.iter().map(|encoding| encoding.name()).collect();
    let mut list = String::new();
    for row in names.chunks(6) {
        let row: Vec<String> = row.iter().map(|name| format!("{name:<16}")).collect();
        let _ = writeln!(list, "  {}", row.concat().trim_end());
    }
    format!(
        "\
`--encoding` says how text is made of bytes, for what is typed and for what is shown. These are the
encodings of the WHATWG, each also known by the other names the standard gives it (latin1, gb2312,
sjis); capitals don't matter.

{list}
A character that is cut in two by the border of a segment is put together again. Bytes that are no
character are shown as they are, \\xNN, and none is lost.
"
    )
}

fn drivers() -> String {
    let mut kinds = table();
    for kind in DriverKind::ALL.into_iter().chain([DriverKind::Sim]) {
        kinds.add_row([kind.name(), crate::drivers::about(kind)]);
    }
    format!(
        "\
`--driver` says how a thread waits for its sockets. Every command does the same on each of them;
what differs is what it costs, which `sockeye drivers` measures here.

{}
",
        shown(&kinds)
    )
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(output::stdout_width().unwrap_or(WIDTH).clamp(40, 120));
    table
}

fn shown(table: &Table) -> String {
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use sockeye_wire::frame::Framing;

    use super::*;

    #[test]
    fn every_framing_of_the_page_is_one() {
        for (written, example, _) in FRAMINGS {
            let name = written.split('=').next().unwrap_or(written);
            assert!(example.starts_with(name), "{written}: {example}");
            let framing: Result<Framing, _> = example.parse();
            assert!(framing.is_ok_and(|framing| framing.to_string() == example), "{example}");
        }
    }

    #[test]
    fn every_option_stands_on_the_page() {
        let page = endpoints();
        for option in option_help() {
            assert!(page.contains(option.name), "{}", option.name);
        }
    }
}
