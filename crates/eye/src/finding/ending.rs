//! Ends that are not graceful: resets and what caused them, writes that come too late, peers that are
//! gone, and ends that nobody closes.

use std::ops::Range;
use std::time::Duration;

use sockeye_engine::probe::{Call, Direction, Operation, Stamp};

use super::{Evidence, Finding, Found, Kind, Stretch, sender};
use crate::record::{Certainty, History, Mark, Segment};
use crate::timeline::{index, opposite, other};

/// A program that knows of its peer's FIN takes no longer to close, unless it has something to do still.
const CLOSE_WAIT_LONG: Duration = Duration::from_secs(1);

/// So many segments of ours without a word of the peer, and it is taken to be gone.
const UNANSWERED: u64 = 3;

/// All that can be said of how a connection ended.
pub(super) fn find(history: &History, stretches: &[Stretch<'_>], now: Stamp, found: &mut Found) {
    let calls: Vec<&Call> = stretches.iter().flat_map(|stretch| &stretch.calls).copied().collect();
    let ending = Ending { history, stretches, calls, now };
    if history.is_tcp() {
        found.extend(ending.reset());
        found.extend(ending.half_open());
        found.extend(ending.close_wait());
    }
    found.extend(ending.late_write());
}

struct Ending<'a> {
    history: &'a History,
    stretches: &'a [Stretch<'a>],
    calls: Vec<&'a Call>,
    now: Stamp,
}

impl Ending<'_> {
    fn reset(&self) -> Option<Finding> {
        match self.history.course.reset {
            Some((way, at)) => Some(self.captured_reset(way, at)),
            None => self.reset_of_a_call(),
        }
    }

    /// The first RST, and why it was sent as far as the segments before it tell.
    fn captured_reset(&self, way: Direction, at: Stamp) -> Finding {
        let course = &self.history.course;
        let data_way = opposite(way);
        let (of, against) = (index(way), index(data_way));
        let reset = self.segments().find(|segment| segment.flags.rst() && segment.at == at);
        let offset = reset.map_or(course.reached[of], |reset| reset.range.start);
        let place = offset..offset;
        let fin_before = course.fin[of].filter(|(_, fin)| *fin <= at);
        let answered =
            self.segments().any(|segment| segment.direction == way && segment.flags.syn());
        if course.syn.is_some() && course.established.is_none() && !answered {
            return self.finding(Kind::Refused, way, 0..0, at, Certainty::Exact);
        }
        if let Some((_, closed)) = fin_before
            && let Some(reset) = reset
            && let Some(late) = self.answered_data(reset, closed)
        {
            let evidence = Evidence {
                bytes: late.end - late.start,
                nanos: at.0.saturating_sub(closed.0),
                ..Evidence::default()
            };
            let by = Some(sender(self.history, way));
            let kind = Kind::ResetAfterClose;
            return Finding {
                evidence,
                by,
                ..self.finding(kind, data_way, late, at, Certainty::Exact)
            };
        }
        let ours = way == Direction::Sent;
        if ours && (!self.history.neutral || course.reached[against] == 0) {
            return self.own_reset(at, place);
        }
        if let Some(unread) = self.unread_by_sample(way, at) {
            let evidence = Evidence { bytes: unread.end - unread.start, ..Evidence::default() };
            let kind = Kind::ResetUnread;
            let found = self.finding(kind, data_way, unread, at, Certainty::Inferred);
            return Finding { by: Some(sender(self.history, way)), evidence, ..found };
        }
        if ours {
            return self.own_reset(at, place);
        }
        let (kind, certainty) = match reset {
            // RFC 9293 §3.10.7.1: whoever knows of no connection answers without an ACK.
            Some(reset) if reset.ack.is_none() && self.answers(reset) => {
                (Kind::ResetUnknown, Certainty::Inferred)
            }
            // There was nothing it could have left unread.
            _ if course.reached[against] == 0 => (Kind::ResetByAbort, Certainty::Inferred),
            _ => (Kind::Reset, Certainty::Exact),
        };
        self.finding(kind, way, place, at, certainty)
    }

    /// Our own end sent it.
    fn own_reset(&self, at: Stamp, place: Range<u64>) -> Finding {
        let history = self.history;
        let told = history.kernel.as_ref().and_then(|facts| facts.unread);
        let (read, reached) = (history.totals.bytes[0], history.course.reached[0]);
        let closed = history.course.ended_by_us.is_some_and(|ours| ours <= at);
        // A reset discards what is unread, so that the kernel may be asked too late.
        let unread = u64::from(told.unwrap_or(0)).max(reached.saturating_sub(read));
        if closed && unread > 0 && history.lost.calls == 0 {
            let range = read..read.saturating_add(unread);
            let evidence = Evidence { bytes: unread, ..Evidence::default() };
            let found =
                self.finding(Kind::ResetUnread, Direction::Received, range, at, Certainty::Exact);
            return Finding { by: Some(history.role), evidence, ..found };
        }
        if closed && history.course.fin[1].is_none() {
            let certainty = if told.is_some() { Certainty::Exact } else { Certainty::Inferred };
            return self.finding(Kind::ResetByAbort, Direction::Sent, place, at, certainty);
        }
        self.finding(Kind::Reset, Direction::Sent, place, at, Certainty::Exact)
    }

    /// No segment shows it, but a call was told.
    fn reset_of_a_call(&self) -> Option<Finding> {
        let read = self.history.totals.bytes[0];
        self.calls.iter().find_map(|call| {
            let (kind, range) = match (call.operation, call.result) {
                (Operation::Connect, Err(libc::ECONNREFUSED)) => (Kind::Refused, 0..0),
                (_, Err(libc::ECONNRESET)) => (Kind::Reset, read..read),
                _ => return None,
            };
            Some(self.finding(kind, Direction::Received, range, call.end, Certainty::Exact))
        })
    }

    /// Writes after the peer had ended the connection, or after we had ended our own half.
    fn late_write(&self) -> Option<Finding> {
        let broken = |call: &&&Call| {
            let write = matches!(call.operation, Operation::Send | Operation::SendFile);
            match call.result {
                Err(libc::EPIPE) => write,
                Err(libc::ECONNRESET) => write || call.operation == Operation::Recv,
                _ => false,
            }
        };
        let failed: Vec<&Call> = self.calls.iter().filter(broken).copied().collect();
        let write = failed.iter().find(|call| call.operation != Operation::Recv)?;
        // A write that was under way when the reset came knew of no end.
        let course = &self.history.course;
        let ends = [course.fin[0].map(|(_, at)| at), course.end_of_stream];
        let known = ends.into_iter().flatten().any(|end| end <= write.start);
        let knew = known || failed.iter().any(|call| call.result == Err(libc::EPIPE));
        if !knew {
            return None;
        }
        let ours = self.calls.iter().find(|call| {
            call.operation == Operation::ShutdownWrite
                && call.result.is_ok()
                && call.start <= write.start
        });
        let reset = failed.iter().any(|call| call.result == Err(libc::ECONNRESET));
        let kind = match ours {
            Some(_) if !reset && self.history.course.reset.is_none() => Kind::WriteAfterShutdown,
            _ => Kind::WriteAfterClose,
        };
        let error = |place: usize| failed.get(place).and_then(|call| call.result.err());
        let evidence = Evidence {
            calls: failed.len() as u64,
            bytes: write.asked,
            errors: [error(0), error(1)],
            ..Evidence::default()
        };
        let range = write.offset..write.offset.saturating_add(write.asked);
        let found = self.finding(kind, Direction::Sent, range, write.start, Certainty::Exact);
        Some(Finding { evidence, ..found })
    }

    /// A peer that is gone without a word.
    fn half_open(&self) -> Option<Finding> {
        let history = self.history;
        let gone = self.calls.iter().find_map(|call| match (call.operation, call.result) {
            (Operation::Connect, _) => None,
            (_, Err(errno @ (libc::ETIMEDOUT | libc::EHOSTUNREACH))) => Some((call.end, errno)),
            _ => None,
        });
        let last = self.stretches.last().filter(|stretch| stretch.last)?;
        let heard = |segment: &&&Segment| segment.direction == Direction::Received;
        let heard = last.segments.iter().rev().find(heard).map(|segment| segment.at);
        let again = last
            .segments
            .iter()
            .rev()
            .take_while(|segment| segment.direction == Direction::Sent)
            .filter(|segment| !segment.flags.syn() && segment.mark != Mark::None)
            .filter(|segment| segment.mark != Mark::Gap)
            .count() as u64;
        let silent = heard.is_some() && again >= UNANSWERED && history.lost.packets == 0;
        if gone.is_none() && !silent {
            return None;
        }
        let until = gone.map_or(self.now, |(at, _)| at);
        let heard = heard.or(history.course.last_moved[0]).or(history.opened).unwrap_or(until);
        let at = heard;
        let evidence = Evidence {
            nanos: until.0.saturating_sub(heard.0),
            again,
            errors: [gone.map(|(_, errno)| errno), None],
            ..Evidence::default()
        };
        let certainty = if gone.is_some() { Certainty::Exact } else { Certainty::Inferred };
        let offset = history.course.reached[0].max(history.totals.bytes[0]);
        let place = offset..offset;
        let found = self.finding(Kind::HalfOpen, Direction::Received, place, at, certainty);
        Some(Finding { by: Some(other(history.role)), evidence, ..found })
    }

    /// The peer has closed long ago, and our program has not.
    fn close_wait(&self) -> Option<Finding> {
        let course = &self.history.course;
        if course.reset.is_some() || course.failed.is_some() {
            return None;
        }
        let captured = course.fin[0].map(|(_, at)| at);
        let ended = captured.or(course.end_of_stream)?;
        // It may go on sending for as long as it likes.
        let since = course.last_moved[1].map_or(ended, |moved| moved.max(ended));
        let ours = course.fin[1].map(|(_, at)| at);
        let until = [ours, course.ended_by_us].into_iter().flatten().min().unwrap_or(self.now);
        if until.since(since) < CLOSE_WAIT_LONG {
            return None;
        }
        let evidence = Evidence { nanos: until.0.saturating_sub(since.0), ..Evidence::default() };
        let offset = course.fin[0].map_or(self.history.totals.bytes[0], |(offset, _)| offset);
        let place = offset..offset;
        let found =
            self.finding(Kind::CloseWait, Direction::Received, place, since, Certainty::Exact);
        Some(Finding { by: Some(self.history.role), evidence, ..found })
    }

    /// Data that came after `closed` to the end that sent this reset, and that the reset answers: that
    /// end never acknowledged it, and no call of a program sends a RST without an ACK (RFC 9293
    /// §3.10.7.1, §3.5.2).
    fn answered_data(&self, reset: &Segment, closed: Stamp) -> Option<Range<u64>> {
        if reset.ack.is_some() {
            return None;
        }
        let data_way = opposite(reset.direction);
        let before = || self.segments().take_while(|segment| !std::ptr::eq(*segment, reset));
        let acknowledged = before()
            .filter(|segment| segment.direction == reset.direction)
            .filter_map(|segment| segment.ack)
            .map(|ack| ack.offset)
            .max()
            .unwrap_or(0);
        // Behind a FIN nothing has a place: both numbers stand at the stream's end then.
        let late = |segment: &&Segment| {
            segment.direction == data_way
                && segment.range.end > acknowledged
                && segment.at >= closed
                && segment.ack.is_some_and(|ack| ack.offset == reset.range.start)
        };
        let last = before().last()?;
        if last.direction != data_way {
            return None;
        }
        let late = before().find(late)?;
        Some(late.range.start.max(acknowledged)..late.range.end)
    }

    /// Bytes that lay unread at the end that reset, when its queues were looked at the last time before.
    fn unread_by_sample(&self, way: Direction, at: Stamp) -> Option<Range<u64>> {
        let end = sender(self.history, way);
        let samples = self.history.queues.iter();
        let sample = samples.filter(|sample| sample.end == end && sample.at <= at);
        let unread = sample.max_by_key(|sample| sample.at)?.receive;
        let heard = self.segments().filter(|segment| segment.direction == way && segment.at <= at);
        let taken = heard.filter_map(|segment| segment.ack).map(|ack| ack.offset).max()?;
        (unread > 0).then(|| taken.saturating_sub(unread.into())..taken)
    }

    /// Whether a reset of the peer answers what we sent just before.
    fn answers(&self, reset: &Segment) -> bool {
        let before = self.segments().take_while(|segment| !std::ptr::eq(*segment, reset)).last();
        before.is_some_and(|before| {
            before.direction == Direction::Sent
                && before.ack.is_some_and(|ack| ack.offset == reset.range.start)
        })
    }

    fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.stretches.iter().flat_map(|stretch| &stretch.segments).copied()
    }

    /// Done by the end that the bytes of this direction come from.
    fn finding(
        &self,
        kind: Kind,
        direction: Direction,
        range: Range<u64>,
        at: Stamp,
        certainty: Certainty,
    ) -> Finding {
        let reference = match kind {
            Kind::Refused | Kind::Reset => "RFC 9293 §3.5.2",
            Kind::ResetByAbort => "RFC 9293 §3.10.5, socket(7) SO_LINGER",
            Kind::ResetUnread => "RFC 9293 §3.6.1, RFC 2525 §2.17",
            Kind::ResetAfterClose => "RFC 9293 §3.6.1",
            Kind::ResetUnknown | Kind::HalfOpen => "RFC 9293 §3.5.1",
            Kind::CloseWait => "RFC 9293 §3.3.2",
            // Of one that was reset, and of one whose own end sends no more.
            Kind::WriteAfterClose if self.history.is_tcp() => "send(2), RFC 9293 §3.5.3",
            Kind::WriteAfterShutdown if self.history.is_tcp() => "send(2), RFC 9293 §3.10.2",
            _ => "send(2)",
        };
        let by = Some(sender(self.history, direction));
        let evidence = Evidence::default();
        Finding { kind, by, direction, range, at, count: 1, evidence, certainty, reference }
    }
}
