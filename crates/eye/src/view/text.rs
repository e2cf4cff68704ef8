//! The words on a ladder: what a call and a segment are called, long and short.

use sockeye_engine::probe::{Call, Operation};
use sockeye_wire::escape;
use sockeye_wire::tcp::Flags;
use unicode_width::UnicodeWidthStr as _;

use super::fold::Summary;
use super::scale::{bytes, counted, grouped, short};
use super::style::{Glyphs, Style};
use crate::record::{Fold, Mark, Segment};
use crate::timeline::moved;
use crate::words::note::Note;

/// A label shorter than this says nothing any more.
const LABEL_MIN: usize = 6;

/// The call with its result, in at most `width` columns, and the message that begins with it.
pub(super) fn call(
    call: &Call,
    message: Option<(&str, usize)>,
    width: usize,
    glyphs: &Glyphs,
) -> String {
    let name = operation(call.operation);
    let result = match (call.operation, call.result) {
        (Operation::Accept | Operation::Connect | Operation::Close, Ok(_))
        | (Operation::ShutdownWrite | Operation::GaveUp(_), Ok(_)) => {
            return first_that_fits(width, [name.to_owned(), first_word(name)]);
        }
        (_, Err(errno)) => {
            return first_that_fits(
                width,
                [format!("{name} = {}", error_name(errno)), error_name(errno)],
            );
        }
        (Operation::Recv, Ok(0)) => {
            let texts = [format!("{name} = 0 EOF"), format!("{name} EOF"), String::from("EOF")];
            return first_that_fits(width, texts);
        }
        (_, Ok(count)) => count,
    };
    let short = format!("{name} = {result}");
    let Some((_, range)) = moved(call) else {
        return first_that_fits(width, [short, name.to_owned(), first_word(name)]);
    };
    let with_range = format!("{short} {}", interval(range.start, range.end));
    let part = call.operation != Operation::Recv && result < call.asked;
    let with_part = format!("{short} of {} {}", call.asked, interval(range.start, range.end));
    let longest = if part { with_part } else { with_range.clone() };
    if let Some(named) = named(&longest, message, width, "", glyphs) {
        return named;
    }
    let tight = format!("{name}={result}");
    first_that_fits(width, [longest, with_range, short, tight, name.to_owned(), first_word(name)])
}

/// A call that begins, and whose result is told where it came.
pub(super) fn begun(begins: Operation, width: usize) -> String {
    let name = operation(begins);
    first_that_fits(width, [name.to_owned(), first_word(name)])
}

/// What the segment carries, in at most `width` columns.
pub(super) fn segment(
    segment: &Segment,
    early: bool,
    message: Option<(&str, usize)>,
    width: usize,
    glyphs: &Glyphs,
) -> String {
    let flags = segment.flags;
    let (start, end) = (segment.range.start, segment.range.end);
    let data = (!segment.range.is_empty()).then(|| interval(start, end));
    let ack = segment.ack.map(|ack| match ack.fin {
        true => String::from("ack FIN"),
        false => format!("ack {}", ack.offset),
    });
    let advancing = ack.clone().filter(|_| segment.ack.is_some_and(|ack| ack.advances));
    match segment.mark {
        Mark::KeepAlive => return probe("keep-alive probe", width),
        Mark::WindowProbe => return probe("window probe", width),
        _ => {}
    }
    let (mark, brief) = match segment.mark {
        Mark::Retransmission => ("again: ", "again: "),
        Mark::Gap if early => ("early: ", "early: "),
        Mark::Gap => ("gap, then ", "gap, "),
        _ => ("", ""),
    };
    let window = match segment.window {
        0 if !flags.syn() && !flags.rst() => " window 0",
        _ => "",
    };
    if flags.syn() || flags.fin() || flags.rst() {
        let name = flags.to_string();
        let place = if flags.syn() { String::new() } else { format!(" @{end}") };
        let what =
            data.as_ref().map_or(format!("{name}{place}"), |data| format!("data {data} {name}"));
        // An ACK of a SYN says nothing its flag does not say.
        let ack = ack.filter(|_| !flags.syn()).map_or(String::new(), |ack| format!(" {ack}"));
        if let Some(named) = named(&format!("{mark}{what}"), message, width, &ack, glyphs) {
            return named;
        }
        return first_that_fits(
            width,
            [
                format!("{mark}{what}{ack}{window}"),
                format!("{mark}{what}{ack}"),
                format!("{brief}{what}"),
                format!("{brief}{name}"),
                name,
            ],
        );
    }
    let Some(data) = data else {
        let Some(ack) = ack else {
            return first_that_fits(width, ["no flags", "none"].map(str::to_owned));
        };
        // Said again, an ACK is there for its window.
        let again = segment.ack.is_some_and(|ack| !ack.advances) && segment.window > 0;
        let news = if again {
            format!(" window {}", short(u64::from(segment.window)))
        } else {
            window.to_owned()
        };
        return first_that_fits(
            width,
            [
                format!("{mark}{ack}{news}"),
                format!("{brief}{ack}{news}"),
                format!("{ack}{news}"),
                ack,
                String::from("ack"),
            ],
        );
    };
    // A piggybacked ACK is worth its room when it says something new.
    let ack = advancing.map_or(String::new(), |ack| format!(" {ack}"));
    if let Some(named) = named(&format!("{mark}{data}"), message, width, &ack, glyphs) {
        return named;
    }
    first_that_fits(
        width,
        [
            format!("{mark}data {data}{ack}{window}"),
            format!("{mark}{data}{ack}"),
            format!("{brief}{data}"),
            format!("{brief}{} from {start}", short(end - start)),
            bytes(end - start),
            short(end - start),
        ],
    )
}

/// Many calls of one direction; empty for none.
pub(super) fn calls(summary: &Summary, way: usize, width: usize) -> String {
    many_calls(&summary.calls[way], summary.sendfiles, way, width)
}

/// The same of the other end's.
pub(super) fn far_calls(summary: &Summary, way: usize, width: usize) -> String {
    many_calls(&summary.far[way], 0, way, width)
}

fn many_calls(calls: &Fold, sendfiles: u64, way: usize, width: usize) -> String {
    let Fold { count, range } = calls;
    if *count == 0 {
        return String::new();
    }
    let name = match (way, sendfiles) {
        (0, _) => "recv()",
        (_, 0) => "send()",
        (_, files) if files == *count => "sendfile()",
        _ => "send(), sendfile()",
    };
    let moved = short(range.end - range.start);
    let calls = if *count == 1 { "call" } else { "calls" };
    let few = short(*count);
    let count = grouped(*count);
    first_that_fits(
        width,
        [
            format!("{count} {name} {calls} {}", interval(range.start, range.end)),
            format!("{count} {name} {calls}, {moved}"),
            format!("{count} {name} {calls}"),
            format!("{few} {name} {calls}"),
            format!("{count} {calls}"),
            format!("{few} {calls}"),
        ],
    )
}

/// Many segments with data, of one direction.
pub(super) fn data(summary: &Summary, way: usize, width: usize) -> String {
    let Fold { count, range } = &summary.data[way];
    let segments = counted(*count, "segment");
    let few = short(*count);
    let moved = short(range.end - range.start);
    let range = interval(range.start, range.end);
    let again = match summary.again[way] {
        0 => String::new(),
        again => format!(", {} again", grouped(again)),
    };
    if *count == 0 {
        let again = summary.again[way];
        return first_that_fits(
            width,
            [format!("{} again", counted(again, "segment")), format!("{} again", short(again))],
        );
    }
    let messages = match summary.messages[way] {
        0 => String::new(),
        messages => format!(", {}", counted(messages, "message")),
    };
    first_that_fits(
        width,
        [
            format!("{segments} {range}{again}{messages}"),
            format!("{segments} {range}{again}"),
            format!("{segments}, {moved}{again}{messages}"),
            format!("{segments}, {moved}{again}"),
            segments,
            format!("{few} seg."),
            few,
        ],
    )
}

/// Many bare acknowledgments that went one way.
pub(super) fn acks(summary: &Summary, way: usize, width: usize) -> String {
    let Fold { count, range } = &summary.acks[way];
    let acks = counted(*count, "ack");
    let reach = match range.start == range.end {
        true => format!("{acks} at {}", range.end),
        false => format!("{acks} {} to {}", range.start, range.end),
    };
    first_that_fits(
        width,
        [reach, format!("{acks} to {}", range.end), acks, format!("{} acks", short(*count))],
    )
}

/// Rows that are of no kind which could be summed up.
pub(super) fn others(count: u64, width: usize, style: &Style) -> String {
    let rows = |count: &str| style.note(Note::RowsNotDrawn(count));
    first_that_fits(
        width,
        [rows(&grouped(count)), rows(&short(count)), format!("+{}", short(count))],
    )
}

/// The name of a call, as a C program would write it.
pub(crate) fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Accept => "accept()",
        Operation::Connect => "connect()",
        Operation::Recv => "recv()",
        Operation::Send => "send()",
        Operation::SendFile => "sendfile()",
        Operation::ShutdownWrite => "shutdown(WR)",
        Operation::Close => "close()",
        Operation::GaveUp(_) => "deadline passed",
    }
}

/// The error's name in `errno.h`, as far as sockets have them.
pub(crate) fn error_name(errno: i32) -> String {
    let name = match errno {
        libc::EACCES => "EACCES",
        libc::EADDRNOTAVAIL => "EADDRNOTAVAIL",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        libc::EAGAIN => "EAGAIN",
        libc::EBADF => "EBADF",
        libc::ECANCELED => "ECANCELED",
        libc::ECONNABORTED => "ECONNABORTED",
        libc::ECONNREFUSED => "ECONNREFUSED",
        libc::ECONNRESET => "ECONNRESET",
        libc::EDESTADDRREQ => "EDESTADDRREQ",
        libc::EHOSTDOWN => "EHOSTDOWN",
        libc::EHOSTUNREACH => "EHOSTUNREACH",
        libc::EINPROGRESS => "EINPROGRESS",
        libc::EINTR => "EINTR",
        libc::EINVAL => "EINVAL",
        libc::EIO => "EIO",
        libc::EISCONN => "EISCONN",
        libc::EMSGSIZE => "EMSGSIZE",
        libc::ENETDOWN => "ENETDOWN",
        libc::ENETUNREACH => "ENETUNREACH",
        libc::ENOBUFS => "ENOBUFS",
        libc::ENODEV => "ENODEV",
        libc::ENOENT => "ENOENT",
        libc::ENOMEM => "ENOMEM",
        libc::ENOPROTOOPT => "ENOPROTOOPT",
        libc::ENOTCONN => "ENOTCONN",
        libc::EPERM => "EPERM",
        libc::EPIPE => "EPIPE",
        libc::EPROTO => "EPROTO",
        libc::EPROTOTYPE => "EPROTOTYPE",
        libc::ETIMEDOUT => "ETIMEDOUT",
        other => return format!("error {other}"),
    };
    name.to_owned()
}

/// Whether a segment tells of trouble: for its colour.
pub(super) fn is_alarming(flags: Flags, mark: Mark) -> bool {
    flags.rst() || matches!(mark, Mark::Retransmission | Mark::Gap)
}

fn interval(start: u64, end: u64) -> String {
    format!("[{start}..{end})")
}

fn probe(name: &str, width: usize) -> String {
    first_that_fits(width, [name.to_owned(), String::from("probe")])
}

/// A call's name without its brackets.
fn first_word(name: &str) -> String {
    name.split(['(', ' ']).next().unwrap_or(name).to_owned()
}

/// `what`, the first message that begins in it, how many more do, and `ack`; `None` if there is
/// no message or no room for a telling part of its label.
fn named(
    what: &str,
    message: Option<(&str, usize)>,
    width: usize,
    ack: &str,
    glyphs: &Glyphs,
) -> Option<String> {
    let (label, count) = message?;
    let more =
        if count > 1 { format!(" +{} more", grouped(count as u64 - 1)) } else { String::new() };
    let whole = escape::width(label);
    for ack in [ack, ""] {
        let room = width.checked_sub(what.len() + 1 + more.len() + ack.len());
        if let Some(room) = room
            && (room >= whole || (ack.is_empty() && room >= LABEL_MIN))
        {
            let label = escape::fit(label, room, glyphs.ellipsis);
            return Some(format!("{what} {label}{more}{ack}"));
        }
    }
    None
}

/// The first of these, all ASCII but for a sign or two, that fits; else the last, cut, if it holds
/// no number that could be taken for another one then.
fn first_that_fits<const N: usize>(width: usize, texts: [String; N]) -> String {
    let fits = |text: &String| text.width() <= width;
    let found = texts.iter().position(fits).unwrap_or(N - 1);
    let text = texts.into_iter().nth(found).unwrap_or_default();
    if !fits(&text) && text.contains(|letter: char| letter.is_ascii_digit()) {
        return String::new();
    }
    text.chars().take(width).collect()
}
