//! Legends, captions, and what is not drawn.

use sockeye_engine::probe::Role;

use super::super::note::{Note, Noun, Source};
use crate::view::scale::counted;

pub(super) fn note(note: Note<'_>) -> String {
    match note {
        Note::Connection(number) => format!("connection {number} "),
        Note::End(role, here) => format!("{}{}", who(role), if here { " (here)" } else { "" }),
        Note::ConcludedFrom(source) => {
            let from = match source {
                Source::Calls => "calls",
                Source::OurCalls => "our calls",
                Source::LaterSegments => "later segments",
            };
            format!("~ concluded from {from}")
        }
        Note::OnlySuggested => String::from("~ suggested by what was seen, not shown by it"),
        Note::TheKernelsStates => String::from("states as the kernel told when it was asked"),
        Note::TheClientsClock => String::from("by the client's clock"),
        Note::Lost => String::from("x lost on its way"),
        Note::Doubled => String::from("x2 arrived once more than sent"),
        Note::Foreign => String::from("? never sent by that end"),
        Note::InFlight => String::from("+n ms in flight"),
        Note::Interval => String::from("[a..b) bytes a to b-1"),
        Note::AtOffset => String::from("@n after n bytes"),
        Note::ReadsNotDrawn(count) => {
            format!("not drawn: {} with nothing to read", counted(count, "recv() call"))
        }
        Note::SendsNotDrawn(count) => {
            format!("not drawn: {} with no room to send still", counted(count, "call"))
        }
        Note::RowsNotDrawn(count) => format!("{count} more not drawn"),
        Note::Remaining(span) => format!("{span} left"),
        Note::SeveralBorders => String::from("several borders in one column"),
        Note::Written(count) => format!("{count} written"),
        Note::Decoded(count) => format!("{count} decoded"),
        Note::Missing(count, bytes) => format!("{count}, {bytes} missing"),
        Note::Count(noun, count, one) => {
            let noun = match noun {
                Noun::Call => "call",
                Noun::Segment => "segment",
                Noun::Ack => "ack",
                Noun::Stamp => "stamp",
            };
            format!("{count} {noun}{}", if one { "" } else { "s" })
        }
        Note::OfThemSendfile(count) => format!(", {count} sendfile"),
        Note::Each(bytes) => format!(", {bytes} each"),
        Note::At(millis) => format!(", at {millis} ms"),
        Note::Within(millis) => format!(", in {millis} ms"),
        Note::InColumns(count) => format!(" ({})", counted(count, "column")),
        Note::SentAgain(count) => format!("{} sent again", counted(count, "segment")),
        Note::CameAgain(count) => format!("{} came again", counted(count, "segment")),
        Note::LostOnTheWay(count) => format!("{} lost on the way", counted(count, "segment")),
        Note::LostInShort(count) => format!("{count} lost"),
        Note::AsTheyCame(count) => format!("{} as they came", counted(count, "segment")),
        Note::NoBytes => String::from("no bytes"),
        Note::MoreEnded(count) => {
            let connections = if count == 1 { "connection" } else { "connections" };
            format!("{count} more {connections} ended; not drawn")
        }
        Note::StillOpen(count, peers, more) => {
            let are = if count == 1 { "is" } else { "are" };
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{} {are} still open: {peers}{more}", counted(count, "connection"))
        }
        Note::Unwatched(count, most) => {
            format!("{count} connections were not watched: more than {most} were open")
        }
        Note::SocketsUnwatched(count, most) => {
            format!("{count} sockets of datagrams were not watched: more than {most} were open")
        }
        Note::NoneSeen(true) => String::from("no connection was seen"),
        Note::NoneSeen(false) => String::from(
            "no connection was seen; without packets, one that is over within the tenth of a second \
             between two looks can't be",
        ),
        Note::RecordsLost(count) => format!("{count} records were lost: the eye was too slow"),
        Note::NeverAccepted(count) => format!("{} never accepted", counted(count, "connection")),
        Note::StampsFor(stamps, calls) => {
            format!("{} for {}", counted(stamps, "stamp"), counted(calls, "call"))
        }
        Note::Unread(most, role, span) => {
            format!("up to {most} not read by the {} for at least {span}", who(role))
        }
        Note::UnreadInShort(most) => format!("{most} not read"),
        Note::WindowShut(span) => format!(", window 0 at least {span}"),
        Note::Unacknowledged(most, role) => {
            format!("up to {most} of the {} not acknowledged", who(role))
        }
        Note::UnacknowledgedAlone(most) => format!("{most} not acknowledged"),
        Note::UnacknowledgedInShort(most) => format!("{most} not acked"),
        Note::Unsent(bytes) => format!(", {bytes} not sent"),
    }
}

fn who(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Server => "server",
    }
}
