//! Outboxes of many members, each bounded: a state machine without socket, clock or thread.

use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

/// Bytes a member is handed at once.
const BATCH: usize = 64 * 1024;

/// What all members together may hold is `members * bytes`, and each message once.
#[derive(Clone, Copy, Debug)]
pub struct HubLimits {
    /// Members at once.
    pub members: usize,
    /// Bytes that wait for one member, those included that it is just being sent.
    pub bytes: usize,
    /// Messages that wait for one member.
    pub messages: usize,
}

/// A member's number, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(u64);

impl MemberId {
    /// The first member of a hub is 0, the next one 1.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// The member of this number.
    #[must_use]
    pub fn of(number: u64) -> MemberId {
        MemberId(number)
    }
}

/// Members, and what waits for each of them. One message is held once, whoever it is for.
#[derive(Debug)]
pub struct Hub {
    limits: HubLimits,
    members: BTreeMap<MemberId, Outbox>,
    next: u64,
    /// Who waits for room in somebody's outbox.
    senders: BTreeMap<MemberId, Waker>,
}

#[derive(Debug, Default)]
struct Outbox {
    queue: VecDeque<Bytes>,
    /// Bytes in the queue.
    queued: usize,
    /// Bytes and messages that were handed out and not yet sent.
    flying: (usize, usize),
    /// Bytes sent so far.
    sent: u64,
    state: State,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Here,
    /// Gets what waits for it, and then the end.
    Leaving,
    /// Gets one last message, if its peer takes it.
    Expelled,
}

/// What a member is to send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// These messages.
    Messages,
    /// Nothing any more: it left.
    End,
}

impl Outbox {
    fn has_room(&self, len: usize, limits: &HubLimits) -> bool {
        self.queued + self.flying.0 + len <= limits.bytes
            && self.queue.len() + self.flying.1 < limits.messages
    }

    fn push(&mut self, message: Bytes) {
        self.queued += message.len();
        self.queue.push_back(message);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Hub {
    /// A hub that nobody is in.
    #[must_use]
    pub fn new(limits: HubLimits) -> Hub {
        Hub { limits, members: BTreeMap::new(), next: 0, senders: BTreeMap::new() }
    }

    /// One more member; None when there are as many as may be.
    pub fn join(&mut self) -> Option<MemberId> {
        if self.members.len() >= self.limits.members {
            return None;
        }
        let id = MemberId(self.next);
        self.next += 1;
        self.members.insert(id, Outbox::default());
        Some(id)
    }

    /// The member is no more, nor what waits for it.
    pub fn leave(&mut self, id: MemberId) {
        self.members.remove(&id);
        self.senders.remove(&id);
        self.wake_senders();
    }

    /// The member gets what waits for it already, and nothing new.
    pub fn close(&mut self, id: MemberId) {
        if let Some(outbox) = self.members.get_mut(&id)
            && outbox.state == State::Here
        {
            outbox.state = State::Leaving;
            outbox.wake();
        }
        self.wake_senders();
    }

    /// Takes from the member what waits for it, and leaves it a last message.
    pub fn expel(&mut self, id: MemberId, last: Bytes) {
        if let Some(outbox) = self.members.get_mut(&id)
            && outbox.state != State::Expelled
        {
            outbox.state = State::Expelled;
            outbox.queue.clear();
            outbox.queued = 0;
            outbox.push(last);
        }
        self.wake_senders();
    }

    /// A message for one member. False if it has no room for it, and then it is not changed.
    #[must_use]
    pub fn send(&mut self, to: MemberId, message: Bytes) -> bool {
        match self.members.get_mut(&to) {
            Some(outbox) if outbox.state == State::Here => {
                let room = outbox.has_room(message.len(), &self.limits);
                if room {
                    outbox.push(message);
                }
                room
            }
            _ => true,
        }
    }

    /// A message for all members that are `meant`; `slow` is called with each that had no room for
    /// it.
    pub fn send_to(
        &mut self,
        meant: impl Fn(MemberId) -> bool,
        message: &Bytes,
        mut slow: impl FnMut(MemberId),
    ) {
        for (id, outbox) in &mut self.members {
            if outbox.state != State::Here || !meant(*id) {
                continue;
            }
            if outbox.has_room(message.len(), &self.limits) {
                outbox.push(message.clone());
            } else {
                slow(*id);
            }
        }
    }

    /// A message for all members but its sender, which waits until all have room for it: for ever, if
    /// it is longer than an outbox.
    pub fn poll_send_to_others(
        &mut self,
        from: MemberId,
        message: &Bytes,
        cx: &Context<'_>,
    ) -> Poll<()> {
        if self.lacking(from, message.len()).next().is_some() {
            self.senders.insert(from, cx.waker().clone());
            return Poll::Pending;
        }
        self.senders.remove(&from);
        self.send_to(|id| id != from, message, |_| ());
        Poll::Ready(())
    }

    /// Those that `from` would have to wait for, and how many bytes each was sent so far.
    pub fn lacking(
        &self,
        from: MemberId,
        len: usize,
    ) -> impl Iterator<Item = (MemberId, u64)> + use<'_> {
        let lacks = move |(id, outbox): (&MemberId, &Outbox)| {
            let counts = *id != from && outbox.state == State::Here;
            (counts && !outbox.has_room(len, &self.limits)).then_some((*id, outbox.sent))
        };
        self.members.iter().filter_map(lacks)
    }

    /// What the member is to send next, appended to `batch`; what it was handed before counts as
    /// sent.
    pub fn poll_take(
        &mut self,
        id: MemberId,
        batch: &mut Vec<Bytes>,
        cx: &Context<'_>,
    ) -> Poll<Next> {
        let Some(outbox) = self.members.get_mut(&id) else {
            return Poll::Ready(Next::End);
        };
        let (bytes, _) = std::mem::take(&mut outbox.flying);
        outbox.sent += u64::try_from(bytes).unwrap_or(u64::MAX);
        let mut next = Poll::Ready(Next::Messages);
        while let Some(message) = outbox.queue.front()
            && (outbox.flying.1 == 0 || outbox.flying.0 + message.len() <= BATCH)
        {
            outbox.queued -= message.len();
            outbox.flying.0 += message.len();
            outbox.flying.1 += 1;
            batch.extend(outbox.queue.pop_front());
        }
        if outbox.flying.1 == 0 {
            next = match outbox.state {
                State::Here => {
                    outbox.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
                State::Leaving | State::Expelled => Poll::Ready(Next::End),
            };
        }
        if bytes > 0 {
            self.wake_senders();
        }
        next
    }

    /// Ready when the member was expelled, so that nobody waits for its peer any longer.
    pub fn poll_expelled(&mut self, id: MemberId, cx: &Context<'_>) -> Poll<()> {
        match self.members.get_mut(&id) {
            Some(outbox) if outbox.state != State::Expelled => {
                outbox.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// Whether the member was expelled.
    #[must_use]
    pub fn is_expelled(&self, id: MemberId) -> bool {
        self.members.get(&id).is_some_and(|outbox| outbox.state == State::Expelled)
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Bytes that were sent to a member.
    #[must_use]
    pub fn sent(&self, id: MemberId) -> u64 {
        self.members.get(&id).map_or(0, |outbox| outbox.sent)
    }

    /// Bytes that wait for a member, those included that it is just being sent.
    #[must_use]
    pub fn held(&self, id: MemberId) -> usize {
        self.members.get(&id).map_or(0, |outbox| outbox.queued + outbox.flying.0)
    }

    fn wake_senders(&mut self) {
        while let Some((_, waker)) = self.senders.pop_first() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: HubLimits = HubLimits { members: 5, bytes: 100, messages: 6 };

    /// What a member was sent, and what it has taken.
    #[derive(Default)]
    struct Seen {
        expected: Vec<Bytes>,
        taken: Vec<Bytes>,
        expelled: bool,
    }

    fn take(hub: &mut Hub, id: MemberId, seen: &mut Seen) -> Poll<Next> {
        hub.poll_take(id, &mut seen.taken, &Context::from_waker(Waker::noop()))
    }

    proptest! {
        /// Whatever is sent and however seldom members take: nobody holds more than its bound, and
        /// who was not expelled gets every message, in order.
        #[test]
        fn nobody_holds_more_than_its_bound_and_the_others_get_everything_in_order(
            steps in prop::collection::vec((0usize..4, 0usize..4, 0usize..60), 1..200),
        ) {
            let mut hub = Hub::new(LIMITS);
            let ids: Vec<_> = (0..4).map(|_| hub.join().expect("there is room")).collect();
            let mut seen: Vec<Seen> = ids.iter().map(|_| Seen::default()).collect();
            for (number, (what, who, len)) in steps.into_iter().enumerate() {
                if what == 0 {
                    let _ = take(&mut hub, ids[who], &mut seen[who]);
                    continue;
                }
                let fill = u8::try_from(number).unwrap_or(0);
                let message = Bytes::from(vec![fill; len]);
                let mut slow = Vec::new();
                hub.send_to(|id| id != ids[who], &message, |id| slow.push(id));
                for (other, id) in ids.iter().enumerate() {
                    if slow.contains(id) {
                        hub.expel(*id, Bytes::from_static(b"too slow"));
                        seen[other].expelled = true;
                    } else if other != who && !seen[other].expelled {
                        seen[other].expected.push(message.clone());
                    }
                    prop_assert!(hub.held(*id) <= LIMITS.bytes + 8);
                }
            }
            for (id, seen) in ids.into_iter().zip(&mut seen) {
                while take(&mut hub, id, seen) == Poll::Ready(Next::Messages) {}
                if seen.expelled {
                    prop_assert_eq!(seen.taken.pop(), Some(Bytes::from_static(b"too slow")));
                    prop_assert!(seen.expected.starts_with(&seen.taken));
                } else {
                    prop_assert_eq!(&seen.taken, &seen.expected);
                }
            }
        }

        /// Senders that wait for room lose nothing and expel nobody.
        #[test]
        fn who_waits_for_room_has_everything_delivered_in_order(
            takes in prop::collection::vec(0usize..3, 1..100), len in 1usize..100,
        ) {
            let mut hub = Hub::new(LIMITS);
            let ids: Vec<_> = (0..3).map(|_| hub.join().expect("there is room")).collect();
            let mut seen: Vec<Seen> = ids.iter().map(|_| Seen::default()).collect();
            let mut sent = Vec::new();
            for who in takes {
                let fill = u8::try_from(sent.len()).unwrap_or(0);
                let message = Bytes::from(vec![fill; len]);
                let cx = Context::from_waker(Waker::noop());
                if hub.poll_send_to_others(ids[0], &message, &cx).is_ready() {
                    sent.push(message);
                } else {
                    prop_assert!(hub.lacking(ids[0], len).next().is_some());
                }
                let _ = take(&mut hub, ids[who], &mut seen[who]);
                prop_assert!(ids.iter().all(|id| hub.held(*id) <= LIMITS.bytes));
            }
            for who in 1..3 {
                while take(&mut hub, ids[who], &mut seen[who]).is_ready() {}
                prop_assert_eq!(&seen[who].taken, &sent);
            }
        }
    }

    #[test]
    fn who_is_one_too_many_is_turned_away_until_another_leaves() {
        let mut hub = Hub::new(LIMITS);
        let ids: Vec<_> = (0..5).map(|_| hub.join().expect("there is room")).collect();
        assert_eq!(hub.join(), None);
        hub.leave(ids[2]);
        assert!(hub.join().is_some_and(|id| !ids.contains(&id)));
    }

    #[test]
    fn who_leaves_gets_what_waits_for_it_and_then_the_end() {
        let mut hub = Hub::new(LIMITS);
        let (one, two) = (hub.join().expect("room"), hub.join().expect("room"));
        assert!(hub.send(one, Bytes::from_static(b"first")));
        hub.close(one);
        hub.send_to(|id| id != two, &Bytes::from_static(b"late"), |_| panic!("not slow"));
        let mut seen = Seen::default();
        assert_eq!(take(&mut hub, one, &mut seen), Poll::Ready(Next::Messages));
        assert_eq!(take(&mut hub, one, &mut seen), Poll::Ready(Next::End));
        assert_eq!(seen.taken, [Bytes::from_static(b"first")]);
    }
}
