//! One line on how a connection went: a code of three letters, and the same in words.

use std::fmt::{self, Display};

use sockeye_engine::probe::{Direction, Role};
use sockeye_wire::tcp::State;

use crate::record::{Aftermath, Event, History, Spent};
use crate::timeline::{index, other};
use crate::view::scale::{bytes, counted, grouped, shares, span};
use crate::view::text::error_name;

/// The verdict on one line, without a newline.
///
/// It begins with a [`Code`] and the peer's address. What is not known is not said; what the
/// eye itself missed always is.
#[must_use]
pub fn line(history: &History) -> String {
    let code = Code::of(history);
    let mut parts = vec![ending(history, code)];
    // Of a connection that was never accepted there are no calls, only segments.
    let [received, sent] = match history.conn {
        Some(_) => history.totals.bytes,
        None => history.course.reached,
    };
    if history.neutral {
        let (client, server) = match history.role {
            Role::Server => (received, sent),
            Role::Client => (sent, received),
        };
        parts.push(format!("{} from the client, {} from the server", bytes(client), bytes(server)));
    } else if received > 0 || sent > 0 {
        // What calls handed over may never have left: a reset throws the queue away.
        let left = history.course.reached[index(Direction::Sent)];
        let out = if history.captured && left < sent && history.conn.is_some() {
            format!("{} out of {} handed over", bytes(left), bytes(sent))
        } else {
            format!("{} out", bytes(sent))
        };
        parts.push(format!("{} in, {out}", bytes(received)));
    }
    parts.extend(handshake(history));
    parts.extend(time(history));
    let [again_in, again_out] = history.totals.retransmissions;
    if again_in + again_out > 0 {
        parts.push(format!("{} sent again", counted(again_in + again_out, "segment")));
    }
    if let Some(unread @ 1..) = history.kernel.as_ref().and_then(|facts| facts.unread) {
        parts.push(format!("{} never read", bytes(u64::from(unread))));
    }
    parts.extend(rest(history));
    parts.extend(missed(history));
    let who = match (history.neutral, history.role) {
        (false, _) => history.other_end().to_string(),
        (true, Role::Server) => format!("{} -> {}", history.peer, history.local),
        (true, Role::Client) => format!("{} -> {}", history.local, history.peer),
    };
    format!("{code}  {who}  {}", parts.join(" · "))
}

/// A connection's end in three letters, after the termination codes of haproxy's log.
///
/// ```text
/// first   who ended it       C  the client      S  the server      -  not known, or still open
/// second  in which phase     H  before the handshake was done
///                            N  no byte had been said
///                            Q  in a question: bytes had come that make no whole message yet
///                            A  in an answer: not all of it was sent, or arrived
///                            M  in a message, where neither end asks and answers
///                            D  in data that belongs to no message
///                            I  idle: every message was complete, both ways
/// third   how                F  gracefully, by FIN      R  by reset      T  a deadline of ours
///                            had passed, or a call failed                -  not known, or open
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Who ended it, if that is known.
    pub by: Option<Role>,
    /// In which phase.
    pub phase: Phase,
    /// How.
    pub how: How,
}

/// How far a connection had come when its end began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The handshake was not done.
    Handshake,
    /// No byte had been said.
    Nothing,
    /// Bytes had come that make no whole message yet.
    Question,
    /// An answer was not sent completely, or did not arrive completely.
    Answer,
    /// A message was not complete, of two who talk as they please.
    Message,
    /// Data had flowed that the program did not name as messages.
    Data,
    /// Every message was complete, both ways.
    Idle,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By FIN.
    Fin,
    /// By RST.
    Reset,
    /// We gave up: a deadline of ours had passed.
    GaveUp,
    /// A call failed, and no packet shows more.
    Failed,
    /// It has not, or nothing shows how.
    Unknown,
}

impl Code {
    /// Judges what is known.
    #[must_use]
    pub fn of(history: &History) -> Code {
        let (by, how) = end(history);
        Code { by, phase: phase(history), how }
    }
}

impl Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.by {
            Some(Role::Client) => 'C',
            Some(Role::Server) => 'S',
            None => '-',
        };
        let phase = match self.phase {
            Phase::Handshake => 'H',
            Phase::Nothing => 'N',
            Phase::Question => 'Q',
            Phase::Answer => 'A',
            Phase::Message => 'M',
            Phase::Data => 'D',
            Phase::Idle => 'I',
        };
        let how = match self.how {
            How::Fin => 'F',
            How::Reset => 'R',
            How::GaveUp | How::Failed => 'T',
            How::Unknown => '-',
        };
        write!(f, "{by}{phase}{how}")
    }
}

/// Who ended it and how: packets first, then calls.
fn end(history: &History) -> (Option<Role>, How) {
    let course = &history.course;
    let sender = |direction: Direction| match direction {
        Direction::Received => other(history.role),
        Direction::Sent => history.role,
    };
    let fins = [Direction::Received, Direction::Sent]
        .into_iter()
        .filter_map(|direction| Some((course.fin[index(direction)]?.1, direction)));
    let first_fin = fins.min_by_key(|(at, _)| *at);
    let ended = [first_fin.map(|(at, _)| at), course.reset.map(|(_, at)| at)];
    if let Some((_, late)) = course.gave_up
        && ended.into_iter().flatten().all(|at| at >= late)
    {
        return (Some(history.role), How::GaveUp);
    }
    if let Some((direction, _)) = course.reset {
        return (Some(sender(direction)), How::Reset);
    }
    if let Some((_, direction)) = first_fin {
        return (Some(sender(direction)), How::Fin);
    }
    if let Some(first) = first_to_close(history) {
        return (Some(first), How::Fin);
    }
    match (course.failed, course.end_of_stream, course.ended_by_us) {
        (Some((_, libc::ECONNRESET | libc::EPIPE)), _, _) => {
            (Some(other(history.role)), How::Reset)
        }
        (Some((_, libc::ECONNREFUSED)), _, _) => (Some(Role::Server), How::Reset),
        (Some(_), _, _) => (None, How::Failed),
        (None, Some(peer), ours) if ours.is_none_or(|ours| peer <= ours) => {
            (Some(other(history.role)), How::Fin)
        }
        (None, _, Some(_)) => {
            // Closed with bytes unread, the kernel resets instead of ending gracefully.
            let unread = history.kernel.as_ref().and_then(|facts| facts.unread).unwrap_or(0);
            (Some(history.role), if unread > 0 { How::Reset } else { How::Fin })
        }
        _ => (None, How::Unknown),
    }
}

/// Whom the states show to have closed first, of others of whom no packet was seen.
fn first_to_close(history: &History) -> Option<Role> {
    let changes = history.events.iter().filter_map(|event| match event {
        Event::State(change) if history.neutral && !history.captured => Some(change),
        _ => None,
    });
    let mut closers = changes.filter_map(|change| match change.to {
        State::FinWait1 | State::FinWait2 | State::Closing | State::TimeWait => Some(change.end),
        State::CloseWait | State::LastAck => Some(other(change.end)),
        _ => None,
    });
    let told = |end: Role, aftermath: Option<Aftermath>| {
        aftermath.filter(|told| told.state == State::TimeWait).map(|_| end)
    };
    let neutral = history.neutral && !history.captured;
    let left = told(history.role, history.aftermath)
        .or_else(|| told(other(history.role), history.peer_aftermath));
    closers.next().or(left.filter(|_| neutral))
}

fn phase(history: &History) -> Phase {
    let totals = &history.totals;
    let course = &history.course;
    if history.opened.is_none() && course.syn.is_some() && course.established.is_none() {
        return Phase::Handshake;
    }
    if totals.bytes == [0, 0] && course.reached == [0, 0] {
        return Phase::Nothing;
    }
    let (question, answer) = match history.role {
        Role::Server => (Direction::Received, Direction::Sent),
        Role::Client => (Direction::Sent, Direction::Received),
    };
    let named = [question, answer].map(|way| named_until(history, way));
    let moved = [question, answer].map(|way| totals.bytes[index(way)]);
    let unanswered = totals.messages[index(answer)] < totals.messages[index(question)];
    let unsent = named[1] > moved[1];
    // Handed to the kernel is not arrived: after a reset what was on its way is gone.
    let unarrived = history.course.reset.is_some() && arrived(history, answer) < moved[1];
    if totals.messages == [0, 0] {
        Phase::Data
    } else if history.talk {
        let ours = usize::from(history.role == Role::Server);
        let unnamed = (0..2).any(|way| named[way] > 0 && moved[way] > named[way]);
        let unarrived = course.reset.is_some() && arrived(history, Direction::Sent) < moved[ours];
        let torn = unnamed || unarrived || named[ours] > moved[ours];
        if torn { Phase::Message } else { Phase::Idle }
    } else if unsent || unarrived || unanswered {
        Phase::Answer
    } else if moved[0] > named[0] {
        Phase::Question
    } else {
        Phase::Idle
    }
}

/// The end of the last byte the program named as part of a message.
fn named_until(history: &History, way: Direction) -> u64 {
    let messages = history.messages.iter().filter(|message| message.direction == way);
    let kept = messages.map(|message| message.range.end).max().unwrap_or(0);
    kept.max(history.left_out.messages[index(way)].range.end)
}

/// How many bytes are known to have arrived; all of them if nothing says otherwise.
fn arrived(history: &History, way: Direction) -> u64 {
    let acks = history.events.iter().filter_map(|event| match event {
        Event::Segment(segment) if segment.direction != way => segment.ack,
        _ => None,
    });
    acks.map(|ack| ack.offset).max().unwrap_or(u64::MAX)
}

fn ending(history: &History, code: Code) -> String {
    let who = match code.by {
        Some(role) if role == history.role && !history.neutral => "we",
        Some(Role::Client) => "the client",
        Some(Role::Server) => "the server",
        None => "",
    };
    let [received, sent] = history.totals.messages;
    let (questions, answers) = match history.role {
        Role::Server => (received, sent),
        Role::Client => (sent, received),
    };
    let after = match (questions, answers) {
        (0, 0) => String::new(),
        (_, 0) | (0, _) => format!(", after {}", counted(questions + answers, "message")),
        _ if questions.abs_diff(answers) <= 1 && !history.talk => {
            format!(", after {}", counted(questions, "request"))
        }
        _ => format!(", after {} in, {} out", counted(received, "message"), grouped(sent)),
    };
    let during = match code.phase {
        Phase::Handshake => ", before it was open",
        Phase::Nothing => ", and not a byte was said",
        Phase::Question => ", in the middle of a request",
        Phase::Answer => ", in the middle of an answer",
        Phase::Message => ", in the middle of a message",
        Phase::Data | Phase::Idle => "",
    };
    let failed = history.course.failed.map(|(call, errno)| {
        format!(": {} failed with {}", crate::view::text::operation(call), error_name(errno))
    });
    match code.how {
        How::Fin => format!("{who} closed first, gracefully{after}{during}"),
        How::Reset if code.phase == Phase::Handshake && code.by == Some(Role::Server) => {
            String::from("the server refused it")
        }
        How::Reset => format!("{who} reset it{after}{during}"),
        How::GaveUp => {
            let waited = match history.course.gave_up {
                Some((Direction::Sent, _)) => "the peer took nothing more",
                _ => "the peer said nothing more",
            };
            format!("we ended it at our deadline, {waited}{after}{during}")
        }
        How::Failed => format!("it broke off{after}{during}{}", failed.unwrap_or_default()),
        How::Unknown if history.closed.is_none() => format!("is still open{after}"),
        How::Unknown => format!("it ended{after}{during}, nobody saw how"),
    }
}

fn handshake(history: &History) -> Option<String> {
    let (syn, established) = (history.course.syn?, history.course.established?);
    Some(format!("handshake {}", span(established.since(syn).as_nanos().try_into().ok()?)))
}

/// The whole time and whose it was. Whose it was is not said if calls are missing.
fn time(history: &History) -> Option<String> {
    if history.neutral {
        let (first, last) = history.course.span?;
        let lasted = span(last.0.saturating_sub(first.0));
        let cut = history.captured && history.course.syn.is_none();
        let begun = if cut { ", begun before the eye looked" } else { "" };
        let how = if history.captured { "" } else { ", without packets" };
        return Some(format!("seen for {lasted}{begun}{how}"));
    }
    let (opened, closed) = (history.opened?, history.closed?);
    let Spent { backlog, peer, window, sending, program } = history.spent;
    let total = closed.0.saturating_sub(opened.0).saturating_add(backlog);
    let beginning = match history.role {
        Role::Server if backlog > 0 => "handshake",
        Role::Server => "accept",
        Role::Client => "connect",
    };
    let whole = format!("{} from {beginning} to close", span(total));
    if history.lost.calls > 0 {
        return Some(whole);
    }
    // Short, it is part of our own program's work.
    let (sending, program) = match sending >= total / 10 {
        true => (sending, program),
        false => (0, program + sending),
    };
    let names = [
        "waiting to be accepted",
        "waiting for the peer",
        "for the peer's window",
        "inside send()",
        "in our own program",
    ];
    let parts = shares([backlog, peer, window, sending, program], total);
    let told = parts.into_iter().zip(names);
    let told: Vec<String> =
        told.filter_map(|(share, what)| Some(format!("{} {what}", share?))).collect();
    let colon = if told.is_empty() { "" } else { ": " };
    Some(format!("{whole}{colon}{}", told.join(", ")))
}

/// Which end still holds a state, and for how long: the kernel's word where it was asked, else
/// what the packets showed.
fn rest(history: &History) -> Option<String> {
    let last = |end: Role| {
        let changes = history.events.iter().filter_map(|event| match event {
            Event::State(change) if change.end == end => Some(change.to),
            _ => None,
        });
        changes.last().filter(|state| *state == State::TimeWait).map(|state| (state, None))
    };
    let told = |end: Role, aftermath: Option<Aftermath>| match aftermath {
        Some(Aftermath { state: State::Closed, .. }) => None,
        Some(Aftermath { state, remaining_ms, .. }) => {
            Some((state, remaining_ms.filter(|_| state == State::TimeWait)))
        }
        None => last(end),
    };
    let left = |remaining: Option<u32>| {
        remaining.map_or(String::new(), |ms| format!(", {} left", span(u64::from(ms) * 1_000_000)))
    };
    let (own, other_end) = match (history.neutral, history.role) {
        (false, _) => ("here", "at the peer"),
        (true, Role::Server) => ("at the server", "at the client"),
        (true, Role::Client) => ("at the client", "at the server"),
    };
    let ours = told(history.role, history.aftermath);
    let theirs = told(other(history.role), history.peer_aftermath);
    match (ours, theirs) {
        (Some((State::TimeWait, here)), Some((State::TimeWait, there))) => {
            Some(format!("TIME-WAIT at both ends{}", left(here.max(there))))
        }
        (Some((here, ours)), Some((there, theirs))) => {
            Some(format!("{here} {own}{}, {there} {other_end}{}", left(ours), left(theirs)))
        }
        (Some((here, ours)), None) => Some(format!("{here} {own}{}", left(ours))),
        (None, Some((there, theirs))) => Some(format!("{there} {other_end}{}", left(theirs))),
        (None, None) => None,
    }
}

fn missed(history: &History) -> Option<String> {
    let lost = history.lost;
    let packets = (lost.packets > 0).then(|| counted(lost.packets, "packet"));
    let records = (lost.calls > 0).then(|| counted(lost.calls, "record"));
    let what: Vec<String> = packets.into_iter().chain(records).collect();
    (!what.is_empty()).then(|| format!("the eye missed {}", what.join(" and ")))
}
