//! What was found, why, and what helps.

use sockeye_engine::probe::Role;

use super::super::{Told, ends};
use crate::finding::{Evidence, Finding, Kind};
use crate::view::scale::{bytes, counted, grouped, span};
use crate::view::text::error_name;

pub(super) fn told(finding: &Finding) -> Told {
    let (by, other) = ends(finding).map_or(("peer", "peer"), |(by, other)| (who(by), who(other)));
    let what = what(finding, by);
    let (cause, cure) = match finding.kind {
        Kind::Sticky => (
            String::from(
                "A stream carries bytes and keeps no borders between messages: what had arrived \
                 together was read together.",
            ),
            "Nothing to mend here: this program takes message after message out of what it reads; \
             one that takes each read for a message would be wrong.",
        ),
        Kind::Torn => (
            String::from(
                "A read returns what has arrived by then, not what was sent with one call.",
            ),
            "Nothing to mend here: this program reads on until a message is whole; one that takes \
             each read for a message would be wrong.",
        ),
        Kind::ZeroWindow => (
            format!(
                "Its receive buffer was full: the {by} reads more slowly than the {other} sends."
            ),
            "Read sooner, or more at once; a larger buffer (?rcvbuf=) only puts it off.",
        ),
        Kind::Retransmission => (
            String::from(
                "A segment or its ACK was lost or late; which of them, these segments don't tell.",
            ),
            "Watch at the other end as well: what does not come there was lost on the way.",
        ),
        Kind::FastRetransmission => (
            String::from("They were lost or overtaken: what came behind them showed the gap."),
            "None for a few, which TCP repairs within a round trip; many mean a link that loses \
             packets.",
        ),
        Kind::RetransmissionTimeout => (
            format!(
                "No ACK came until the retransmission timer ran out: the bytes or their ACKs were \
                 lost, or the {other} is gone."
            ),
            "Look for loss or an outage on the way; ss -ti shows the timer (rto) of a connection.",
        ),
        Kind::TailRetransmission => (
            String::from(
                "Nothing came behind them that could show a gap, so a timer had to: that of a tail \
                 loss probe, or of retransmission.",
            ),
            "None for a few; many mean a link that loses packets.",
        ),
        Kind::SpuriousRetransmission => (
            String::from(
                "Their ACK was lost, or later than its sender waited for; or they were doubled on \
                 the way.",
            ),
            "None for a few; many mean delays that vary much, such as full queues on the way.",
        ),
        Kind::SynRetried => (
            String::from(
                "Nothing had answered: the SYN or its answer was lost, a firewall drops it, or too \
                 many wait for that listener to accept them.",
            ),
            "Look whether the server accepts (ss -ltn shows its queue), and for a firewall.",
        ),
        Kind::BacklogOverflow => (
            String::from(
                "Too many connections waited to be accepted, so the kernel dropped a SYN, or the ACK \
                 that ends a handshake.",
            ),
            "Accept sooner, or listen with a larger backlog (net.core.somaxconn bounds it).",
        ),
        Kind::Refused => (
            String::from("Nobody listens there, or a firewall refuses in its name."),
            "Start the server first, and check address and port (ss -ltn).",
        ),
        Kind::Reset => (
            String::from(
                "It aborted, or closed with bytes unread, or ended in another way than by close: a \
                 RST does not tell.",
            ),
            "Look into that program's log, or watch at its end.",
        ),
        Kind::ResetByAbort => (
            String::from(
                "It closed with SO_LINGER at 0 seconds: what was not sent is thrown away, and RST \
                 goes out instead of FIN.",
            ),
            "Leave SO_LINGER alone, and close once all is sent and answered.",
        ),
        Kind::ResetUnread => (
            format!(
                "close() while bytes wait to be read sends RST instead of FIN, and what the {other} \
                 has not read yet may be lost with it."
            ),
            "Read until recv() returns 0 before close(), after shutdown(WR) if need be.",
        ),
        Kind::ResetAfterClose => (
            format!(
                "Its socket was closed for both directions, so nobody was left to read, and its \
                 kernel told the {other} by RST."
            ),
            "Agree on who closes first; whoever does uses shutdown(WR) and reads until recv() \
             returns 0.",
        ),
        Kind::ResetUnknown => (
            String::from(
                "Its host was started anew, or a firewall or NAT between has forgotten the \
                 connection; what comes for an unknown connection is answered by RST.",
            ),
            "Connect again; keep-alives (SO_KEEPALIVE) keep idle connections from being forgotten.",
        ),
        Kind::WriteAfterClose => (
            format!(
                "The {other} had ended the connection: the first call after its RST fails with \
                 ECONNRESET, and each write from then on with EPIPE; after FIN and RST the first \
                 has EPIPE at once."
            ),
            "Stop writing and close when recv() returns 0, or when a call fails so.",
        ),
        Kind::WriteAfterShutdown => (
            String::from("Its own shutdown(WR) had ended this direction."),
            "Send everything before shutdown(WR).",
        ),
        Kind::HalfOpen => (
            format!(
                "The {by}'s host is down or cut off: neither FIN nor RST came, so the connection \
                 stays open here."
            ),
            "Set a deadline, SO_KEEPALIVE or TCP_USER_TIMEOUT (tcp(7)).",
        ),
        Kind::CloseWait => (
            format!("The {other} has closed; the program here neither sends anything nor closes."),
            "Close when recv() returns 0; a descriptor that nobody closes leaks.",
        ),
        Kind::TimeWait => (
            String::from(
                "Whoever closes first keeps the pair of ports for a minute, so that late segments \
                 don't get into the next connection.",
            ),
            "Use a connection for more than one request, or let the other end close first.",
        ),
        Kind::NagleDelayedAck => (
            format!(
                "Nagle's algorithm has one small segment on its way at a time, and the {other} \
                 delays its ACK in the hope of an answer to send along."
            ),
            "Send each message with one call, or set TCP_NODELAY (?nodelay).",
        ),
        Kind::DatagramTruncated => (
            String::from("A datagram is read with one call: what finds no room there is lost."),
            "Read with room for the longest one that may come; 65,535 bytes hold any of UDP.",
        ),
        Kind::DatagramDropped => (
            String::from("The receive buffer was full when they came, or they were damaged."),
            "Read sooner, or receive into a larger buffer (?rcvbuf=).",
        ),
        Kind::DatagramRefused => (
            String::from(
                "The host there says that nobody has bound the port (ICMP port unreachable); a later \
                 call is told.",
            ),
            "Start the receiver first, and check address and port.",
        ),
    };
    Told { what, cause, cure: cure.to_owned() }
}

/// What was found, with its numbers.
fn what(finding: &Finding, by: &str) -> String {
    let Evidence { messages, calls, nanos, all_nanos, again, probes, connections, .. } =
        finding.evidence;
    let Evidence { duplicate_acks, errors, .. } = finding.evidence;
    let size = bytes(finding.evidence.bytes);
    let (count, took) = (finding.count, span(nanos));
    let others = |noun: &str| match count {
        1 => String::new(),
        count => format!("; {} in all", counted(count, noun)),
    };
    let times = match count {
        1 => String::new(),
        count => format!(", {} times, {} in all", grouped(count), span(all_nanos)),
    };
    match finding.kind {
        Kind::Sticky => {
            format!("{by} reads {messages} messages at once{}", others("such read"))
        }
        Kind::Torn => format!(
            "{by} needs {} for a message of {size}{}",
            counted(calls, "read"),
            others("such message")
        ),
        Kind::ZeroWindow => {
            let probed = match probes {
                0 => String::new(),
                probes => format!(", {}", counted(probes, "window probe")),
            };
            format!("{by} has no room for {took}{probed}{times}")
        }
        Kind::Retransmission => {
            format!("{by} sends {size} again, {took} after the first time{}", others("segment"))
        }
        Kind::FastRetransmission => {
            let told = match duplicate_acks {
                0 => String::from("a selective ACK"),
                acks => counted(acks, "duplicate ACK"),
            };
            format!("{by} sends {size} again after {told}{}", others("segment"))
        }
        Kind::RetransmissionTimeout => {
            format!("{by} sends {size} again after {took} without an ACK{}", others("segment"))
        }
        Kind::TailRetransmission if finding.range.is_empty() => {
            format!("{by} sends its FIN again after {took}{}", others("segment"))
        }
        Kind::TailRetransmission => {
            format!("{by} sends the last {size} again after {took}{}", others("segment"))
        }
        Kind::SpuriousRetransmission => {
            format!("{by} sends {size} again that had arrived{}", others("segment"))
        }
        Kind::SynRetried => {
            format!("{by} sends its SYN {} times within {took}", grouped(again + 1))
        }
        Kind::BacklogOverflow => format!(
            "the {by}'s backlog is full: a handshake is repeated {} within {took}",
            if again == 1 { String::from("once") } else { format!("{} times", grouped(again)) }
        ),
        Kind::Refused => format!("{by} refuses the connection"),
        Kind::Reset => format!("{by} resets the connection"),
        Kind::ResetByAbort => format!("{by} aborts the connection"),
        Kind::ResetUnread => format!("{by} closes with {size} unread"),
        Kind::ResetAfterClose => format!("{size} come when the {by} has closed"),
        Kind::ResetUnknown => format!("{by} knows nothing of the connection"),
        Kind::WriteAfterClose | Kind::WriteAfterShutdown => {
            let errors: Vec<String> = errors.into_iter().flatten().map(error_name).collect();
            let after = match finding.kind {
                Kind::WriteAfterClose => "to an ended connection",
                _ => "after shutdown(WR)",
            };
            format!("{by} writes {size} {after}: {}", errors.join(", then "))
        }
        Kind::HalfOpen => {
            let unanswered = match again {
                0 => String::new(),
                again => format!(", {} unanswered", counted(again, "segment")),
            };
            let told = match errors[0] {
                Some(errno) => format!(", until {}", error_name(errno)),
                None => String::new(),
            };
            format!("no word of the {by} for {took}{unanswered}{told}")
        }
        Kind::CloseWait => format!("{by} stays in CLOSE-WAIT for {took}"),
        Kind::TimeWait => {
            format!("{} in TIME-WAIT", counted(connections, "connection"))
        }
        Kind::NagleDelayedAck => format!("{by} holds {size} back for {took}{times}"),
        Kind::DatagramTruncated => format!("{} cut short, {size} lost", counted(count, "datagram")),
        Kind::DatagramDropped => {
            format!("{} dropped before being read", counted(count, "datagram"))
        }
        Kind::DatagramRefused => {
            format!("{} told that nobody listens there", counted(count, "call"))
        }
    }
}

fn who(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Server => "server",
    }
}
