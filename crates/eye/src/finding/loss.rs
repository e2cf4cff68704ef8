//! Segments that were sent again, and what made their sender do so.

use std::ops::Range;
use std::time::Duration;

use sockeye_engine::probe::{Direction, Role, Stamp};

use super::{Evidence, Finding, Found, Kind, Stretch, sender};
use crate::record::{Certainty, History, Mark, Segment};

/// No timer of Linux sends again sooner (tcp(7): `TCP_RTO_MIN`, 200 ms), less a tick of its clock; RFC
/// 6298 §2.4 asks for more.
const TIMEOUT_MIN: Duration = Duration::from_millis(190);

/// So many duplicate ACKs make a sender send again at once (RFC 5681 §3.2).
const DUPLICATE_ACKS: u64 = 3;

/// Data and FINs that were sent again.
pub(super) fn find(history: &History, stretch: &Stretch<'_>, found: &mut Found) {
    for way in [Direction::Received, Direction::Sent] {
        let mut sender_of = Sender::new(history);
        for segment in &stretch.segments {
            if segment.direction == way {
                sender_of.sends(segment);
            } else {
                sender_of.hears(segment);
            }
        }
        for repair in sender_of.repairs {
            found.add(repair.finding(history, way));
        }
    }
}

/// From a lost segment's first sending until its repair was acknowledged, of what we sent: sorted,
/// apart from one another.
pub(crate) fn repairs(history: &History) -> Vec<Range<Stamp>> {
    let mut spans = Vec::new();
    for stretch in super::stretches(history) {
        let mut sender_of = Sender::new(history);
        for segment in &stretch.segments {
            if segment.direction == Direction::Sent {
                sender_of.sends(segment);
            } else {
                sender_of.hears(segment);
            }
        }
        let of = |repair: &Repair| {
            let done =
                repair.acknowledged.filter(|_| repair.kind != Kind::SpuriousRetransmission)?;
            Some(repair.first?..done)
        };
        spans.extend(sender_of.repairs.iter().filter_map(of));
    }
    super::apart(spans)
}

/// What one end sent, and what it heard of it.
struct Sender {
    /// Packets are missing, and with them perhaps what made it send again.
    blind: bool,
    sent: Vec<Sent>,
    /// Behind the last byte it sent.
    reached: u64,
    acknowledged: Option<(u64, Stamp)>,
    fin_acknowledged: bool,
    /// The window the other end told last.
    window: Option<u32>,
    duplicate_acks: u64,
    /// Up to here something has arrived beyond what is acknowledged.
    sacked: u64,
    repairs: Vec<Repair>,
}

/// One sending of some bytes, or of a FIN behind the last of them.
struct Sent {
    range: Range<u64>,
    fin: bool,
    at: Stamp,
    again: bool,
}

/// Bytes that were sent again.
struct Repair {
    kind: Kind,
    certainty: Certainty,
    range: Range<u64>,
    at: Stamp,
    /// When they were sent first.
    first: Option<Stamp>,
    /// How long nothing had been heard of them.
    silence: Option<Duration>,
    duplicate_acks: u64,
    /// When all of them were acknowledged.
    acknowledged: Option<Stamp>,
}

impl Sender {
    fn new(history: &History) -> Sender {
        Sender {
            blind: history.lost.packets > 0,
            sent: Vec::new(),
            reached: 0,
            acknowledged: None,
            fin_acknowledged: false,
            window: None,
            duplicate_acks: 0,
            sacked: 0,
            repairs: Vec::new(),
        }
    }

    fn sends(&mut self, segment: &Segment) {
        let flags = segment.flags;
        let probe = matches!(segment.mark, Mark::KeepAlive | Mark::WindowProbe);
        if flags.syn() || flags.rst() || probe || (segment.range.is_empty() && !flags.fin()) {
            return;
        }
        let again = segment.mark == Mark::Retransmission;
        if again {
            let repair = self.judge(segment);
            self.repairs.push(repair);
        }
        self.reached = self.reached.max(segment.range.end);
        let (range, at) = (segment.range.clone(), segment.at);
        self.sent.push(Sent { range, fin: flags.fin(), at, again });
    }

    /// Why these bytes were sent again.
    fn judge(&self, segment: &Segment) -> Repair {
        let range = segment.range.clone();
        let fin = range.is_empty();
        let same = |sent: &&Sent| match fin {
            true => sent.fin,
            false => sent.range.start < range.end && range.start < sent.range.end,
        };
        let first = self.sent.iter().find(same).map(|sent| sent.at);
        let latest = self.sent.iter().rev().find(same);
        let arrived = match fin {
            true => self.fin_acknowledged,
            false => self.acknowledged.is_some_and(|(offset, _)| offset >= range.end),
        };
        let asked_for = !fin
            && (self.sacked >= range.end
                || (self.duplicate_acks >= DUPLICATE_ACKS
                    && self.acknowledged.is_some_and(|(offset, _)| offset == range.start)));
        let tail = fin || range.end >= self.reached;
        // An ACK of new data starts the timer anew (RFC 6298 §5.3).
        let heard = self.acknowledged.map(|(_, at)| at);
        let silence = latest
            .map(|latest| segment.at.since(heard.map_or(latest.at, |heard| heard.max(latest.at))));
        let (kind, certainty) = match (silence, latest) {
            _ if arrived => (Kind::SpuriousRetransmission, Certainty::Exact),
            (Some(silence), Some(latest)) => match silence >= TIMEOUT_MIN {
                _ if asked_for && !latest.again => (Kind::FastRetransmission, Certainty::Exact),
                _ if self.blind => (Kind::Retransmission, Certainty::Exact),
                true if tail && !latest.again => (Kind::TailRetransmission, Certainty::Inferred),
                true => (Kind::RetransmissionTimeout, Certainty::Inferred),
                false if tail && !latest.again && !asked_for => {
                    (Kind::TailRetransmission, Certainty::Inferred)
                }
                false => (Kind::Retransmission, Certainty::Exact),
            },
            _ => (Kind::Retransmission, Certainty::Exact),
        };
        let duplicate_acks = if asked_for { self.duplicate_acks } else { 0 };
        let at = segment.at;
        let acknowledged = None;
        Repair { kind, certainty, range, at, first, silence, duplicate_acks, acknowledged }
    }

    /// The other end says something.
    fn hears(&mut self, segment: &Segment) {
        let Some(ack) = segment.ack.filter(|_| !segment.flags.rst()) else { return };
        if let Some(sack) = segment.sack {
            let range = sack.range();
            if sack.duplicate {
                self.arrived_twice(&range);
            } else {
                self.sacked = self.sacked.max(range.end);
            }
        }
        let before = self.acknowledged.map_or(0, |(offset, _)| offset);
        if ack.offset > before || self.acknowledged.is_none() {
            self.acknowledged = Some((ack.offset, segment.at));
            self.duplicate_acks = 0;
        } else if ack.offset == before
            && segment.range.is_empty()
            && !segment.flags.syn()
            && !segment.flags.fin()
            && segment.mark == Mark::None
            && self.reached > before
            && (segment.sack.is_some() || self.window == Some(segment.window))
        {
            self.duplicate_acks += 1;
        }
        self.fin_acknowledged |= ack.fin;
        self.window = Some(segment.window);
        for repair in &mut self.repairs {
            let fin = repair.range.is_empty();
            if ack.offset >= repair.range.end && (!fin || ack.fin) {
                repair.acknowledged.get_or_insert(segment.at);
            }
        }
    }

    /// RFC 2883: the other end has these bytes a second time.
    fn arrived_twice(&mut self, range: &Range<u64>) {
        for repair in &mut self.repairs {
            let within = range.start <= repair.range.start && repair.range.end <= range.end;
            if within && !repair.range.is_empty() {
                repair.kind = Kind::SpuriousRetransmission;
                repair.certainty = Certainty::Exact;
            }
        }
    }
}

impl Repair {
    fn finding(self, history: &History, way: Direction) -> Finding {
        let timer = matches!(self.kind, Kind::RetransmissionTimeout | Kind::TailRetransmission);
        let took = match self.silence.filter(|_| timer) {
            Some(silence) => silence,
            None => self.first.map_or(Duration::ZERO, |first| self.at.since(first)),
        };
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // What comes twice from another machine may have been sent once, and doubled on the way.
        let doubled = self.kind == Kind::SpuriousRetransmission && history.is_from_afar(way);
        let certainty = if doubled { Certainty::Inferred } else { self.certainty };
        let (bytes, duplicate_acks) = (self.range.end - self.range.start, self.duplicate_acks);
        Finding {
            kind: self.kind,
            by: Some(sender(history, way)),
            direction: way,
            range: self.range,
            at: self.at,
            count: 1,
            evidence: Evidence { bytes, nanos, duplicate_acks, again: 1, ..Evidence::default() },
            certainty,
            reference: match self.kind {
                Kind::FastRetransmission => "RFC 5681 §3.2, RFC 6675 §4",
                Kind::RetransmissionTimeout => "RFC 6298 §5",
                Kind::TailRetransmission => "RFC 8985 §7, RFC 6298 §5",
                Kind::SpuriousRetransmission => "RFC 2883 §4",
                _ => "RFC 9293 §3.8.1",
            },
        }
    }
}

/// SYNs that had to be repeated, and a backlog that was full.
pub(super) fn find_syns(history: &History, stretch: &Stretch<'_>, found: &mut Found) {
    let mut syns = Syns::default();
    for segment in &stretch.segments {
        syns.see(history, segment);
    }
    let Syns { first, again, latest, answered, .. } = syns;
    let client = match history.role {
        Role::Client => Direction::Sent,
        Role::Server => Direction::Received,
    };
    let evidence = |again: u64, nanos: u64| Evidence { again, nanos, ..Evidence::default() };
    let finding = |kind, by, direction, at, evidence, certainty, reference| Finding {
        kind,
        by: Some(by),
        direction,
        range: 0..0,
        at,
        count: 1,
        evidence,
        certainty,
        reference,
    };
    let listener = "listen(2), tcp(7)";
    if let (Some(first), Some(latest)) = (first, latest) {
        let nanos = latest.0.saturating_sub(first.0);
        let evidence = evidence(again, nanos);
        // Here is where the listener is: what it does not answer, it has dropped.
        if history.role == Role::Server && !answered && history.lost.packets == 0 {
            let (kind, certainty) = (Kind::BacklogOverflow, Certainty::Inferred);
            found.add(finding(kind, Role::Server, client, first, evidence, certainty, listener));
        } else {
            let (kind, certainty) = (Kind::SynRetried, Certainty::Exact);
            let reference = "RFC 6298 §5, RFC 9293 §3.8.3";
            found.add(finding(kind, Role::Client, client, first, evidence, certainty, reference));
        }
    }
    if let Some((acknowledged, again, latest)) = syns.ignored {
        let nanos = latest.0.saturating_sub(acknowledged.0);
        let (kind, certainty) = (Kind::BacklogOverflow, Certainty::Inferred);
        let evidence = evidence(again, nanos);
        let by = Role::Server;
        found.add(finding(kind, by, client, acknowledged, evidence, certainty, listener));
    }
}

/// The handshake as far as it was repeated.
#[derive(Default)]
struct Syns {
    first: Option<Stamp>,
    again: u64,
    latest: Option<Stamp>,
    /// A SYN+ACK came before the first SYN was repeated.
    answered: bool,
    /// When the client had acknowledged the SYN+ACK.
    acknowledged: Option<Stamp>,
    /// A SYN+ACK was repeated although it had been acknowledged: since when, how often, until when.
    ignored: Option<(Stamp, u64, Stamp)>,
}

impl Syns {
    fn see(&mut self, history: &History, segment: &Segment) {
        let flags = segment.flags;
        let from_client = sender(history, segment.direction) == Role::Client;
        match (flags.syn(), from_client) {
            (true, true) if !flags.ack() => {
                if segment.mark == Mark::Retransmission && self.first.is_some() {
                    self.again += 1;
                    self.latest = Some(segment.at);
                } else {
                    self.first.get_or_insert(segment.at);
                }
            }
            (true, false) if flags.ack() => {
                self.answered |= self.latest.is_none();
                if segment.mark == Mark::Retransmission
                    && let Some(acknowledged) = self.acknowledged
                    && segment.at > acknowledged
                {
                    let again = self.ignored.map_or(0, |(_, again, _)| again) + 1;
                    self.ignored = Some((acknowledged, again, segment.at));
                }
            }
            (false, true) if flags.ack() && !flags.rst() => {
                self.acknowledged.get_or_insert(segment.at);
            }
            _ => {}
        }
    }
}
