//! One line on how a connection went: a code of three letters, and the same in words.

use std::fmt::{self, Display};

use sockeye_engine::probe::{Direction, Operation, Role};
use sockeye_wire::tcp::State;

use crate::record::{Aftermath, Event, History, KernelFacts, Loss, SocketEnd, Spent};
use crate::timeline::{index, other};
use crate::view::scale::shares;
use crate::words::verdict::{After, Ending, Held, Place, Rest, Share, Since, Who};
use crate::words::{Lang, Words};

/// The verdict on one line, without a newline, in English.
///
/// It begins with a [`Code`] and the peer's address. What is not known is not said; what the
/// eye itself missed always is.
#[must_use]
pub fn line(history: &History) -> String {
    line_in(Lang::En, history)
}

/// The verdict on one line, without a newline.
#[must_use]
pub fn line_in(lang: Lang, history: &History) -> String {
    line_of(lang, history, false)
}

/// The same of a recording, whose end is not that of a connection which is open in it still.
pub(crate) fn line_of_recording(lang: Lang, history: &History) -> String {
    line_of(lang, history, true)
}

fn line_of(lang: Lang, history: &History, recorded: bool) -> String {
    let words = lang.words();
    let code = Code::of(history);
    if history.is_of_one_socket() {
        let sent = history.totals.bytes.iter().chain(&history.course.reached).max();
        let mut parts = vec![words.itself(sent.copied().unwrap_or(0))];
        if history.lost != Loss::default() {
            parts.push(words.missed(&history.lost));
        }
        return format!("{code}  {}  {}", history.local, parts.join(" · "));
    }
    let ending = Ending { recorded, ..ending(history, code) };
    let mut parts = vec![words.ending(&ending)];
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
        parts.push(words.moved_between(client, server));
    } else if received > 0 || sent > 0 {
        // What calls handed over may never have left: a reset throws the queue away.
        let left = history.course.reached[index(Direction::Sent)];
        let part = history.captured && left < sent && history.conn.is_some();
        parts.push(words.moved(received, sent, part.then_some(left)));
    }
    parts.extend(handshake(history).map(|nanos| words.handshake(nanos)));
    parts.extend(time(history, words));
    let [came, sent] = again(history);
    if sent > 0 {
        parts.push(words.sent_again(sent));
    }
    if came > 0 {
        parts.push(words.came_again(came));
    }
    if let Some(unread @ 1..) = history.kernel.as_ref().and_then(|facts| facts.unread) {
        parts.push(words.never_read(unread.into()));
    }
    parts.extend(rest(history).map(|rest| words.rest(&rest)));
    let lost = history.lost;
    if lost != Loss::default() {
        parts.push(words.missed(&lost));
    }
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
        if history.is_of_one_socket() {
            // It is neither the client nor the server, and its handshake is with itself.
            let mut bytes = history.totals.bytes.iter().chain(&history.course.reached);
            let phase = if bytes.any(|bytes| *bytes > 0) { Phase::Data } else { Phase::Nothing };
            return Code { by: None, phase, how };
        }
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
            let resets = history.kernel.as_ref().is_some_and(KernelFacts::close_resets);
            (Some(history.role), if resets { How::Reset } else { How::Fin })
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
    let begun = history.opened.is_none() && course.syn.is_some() && course.established.is_none();
    if begun || matches!(course.failed, Some((Operation::Connect, _))) {
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
    // Who asks and answers has taken no question out of what came.
    let asked = !history.talk
        && !history.neutral
        && history.role == Role::Server
        && history.conn.is_some()
        && totals.bytes[1] == 0;
    if totals.messages == [0, 0] {
        if asked { Phase::Question } else { Phase::Data }
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

fn ending(history: &History, code: Code) -> Ending {
    let [received, sent] = history.totals.messages;
    let (questions, answers) = match history.role {
        Role::Server => (received, sent),
        Role::Client => (sent, received),
    };
    Ending {
        who: code.by.map(|role| match role {
            _ if role == history.role && !history.neutral => Who::We,
            Role::Client => Who::Client,
            Role::Server => Who::Server,
        }),
        how: code.how,
        phase: code.phase,
        after: match (questions, answers) {
            (0, 0) => After::Nothing,
            (_, 0) | (0, _) => After::Messages(questions + answers),
            _ if questions.abs_diff(answers) <= 1 && !history.talk => After::Requests(questions),
            _ => After::Both { received, sent },
        },
        gave_up: history.course.gave_up.map(|(way, _)| way),
        failed: history.course.failed,
        open: history.closed.is_none(),
        cut_short: history.cut_short,
        recorded: false,
        server: code.by == Some(Role::Server),
    }
}

fn handshake(history: &History) -> Option<u64> {
    let (syn, established) = (history.course.syn?, history.course.established?);
    established.since(syn).as_nanos().try_into().ok()
}

/// The whole time and whose it was. Whose it was is not said if calls are missing.
fn time(history: &History, words: &dyn Words) -> Option<String> {
    if history.neutral {
        let (first, last) = history.course.span?;
        let cut = history.captured && history.course.syn.is_none();
        return Some(words.lasted(last.0.saturating_sub(first.0), cut, !history.captured));
    }
    let (opened, closed) = (history.opened?, history.closed?);
    let Spent { backlog, peer, window, reading, nagle, repair, sending, program } = history.spent;
    let total = closed.0.saturating_sub(opened.0).saturating_add(backlog);
    let since = match history.role {
        Role::Server if backlog > 0 => Since::Handshake,
        Role::Server => Since::Accept,
        Role::Client => Since::Connect,
    };
    if history.lost.calls > 0 {
        return Some(words.spent(total, since, &[]));
    }
    // Short, both are part of our own program's work.
    let mut program = program;
    let [sending, reading] = [sending, reading].map(|part| {
        let long = part >= total / 10;
        program += if long { 0 } else { part };
        if long { part } else { 0 }
    });
    let names = [
        Share::Backlog,
        Share::Peer,
        Share::Window,
        Share::Reading,
        Share::Nagle,
        Share::Repair,
        Share::Sending,
        Share::Program,
    ];
    let parts = [backlog, peer, window, reading, nagle, repair, sending, program];
    let told = shares(parts, total).into_iter().zip(names);
    let told: Vec<(String, Share)> =
        told.filter_map(|(share, what)| Some((share?, what))).collect();
    Some(words.spent(total, since, &told))
}

/// Segments that came again, and those sent again; without packets those the kernel counted at the
/// ends it told of.
fn again(history: &History) -> [u64; 2] {
    if history.captured {
        let [received, sent] = history.totals.retransmissions;
        return match history.is_from_afar(Direction::Received) && !history.neutral {
            // They may have been sent once, and doubled on the way.
            true => [received, sent],
            false => [0, received.saturating_add(sent)],
        };
    }
    let counted = |facts: &KernelFacts| facts.retransmits;
    let [ours, peers] = &history.ends;
    let last = |end: &Option<SocketEnd>| end.as_ref().and_then(|end| counted(&end.facts));
    let ours = last(ours).or_else(|| history.kernel.as_ref().and_then(counted));
    [0, [ours, last(peers)].into_iter().flatten().map(u64::from).sum()]
}

/// Which end still holds a state, and for how long: the kernel's word where it was asked, else
/// what the packets showed.
fn rest(history: &History) -> Option<Rest> {
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
    let (own, other_end) = match (history.neutral, history.role) {
        (false, _) => (Place::Here, Place::Peer),
        (true, Role::Server) => (Place::Server, Place::Client),
        (true, Role::Client) => (Place::Client, Place::Server),
    };
    let ours = told(history.role, history.aftermath);
    let theirs = told(other(history.role), history.peer_aftermath);
    let held = |(state, remaining_ms): (State, Option<u32>), place| Held {
        state,
        place,
        remaining: remaining_ms.map(|ms| u64::from(ms) * 1_000_000),
    };
    match (ours, theirs) {
        (Some((State::TimeWait, here)), Some((State::TimeWait, there))) => {
            Some(Rest::Both(held((State::TimeWait, here.max(there)), own)))
        }
        (Some((here, None)), Some((there, None))) if here == there => {
            Some(Rest::Both(held((here, None), own)))
        }
        (None, None) => None,
        (ours, theirs) => Some(Rest::Ends([
            ours.map(|told| held(told, own)),
            theirs.map(|told| held(told, other_end)),
        ])),
    }
}
