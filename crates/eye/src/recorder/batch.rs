//! What one thread has gathered for the eye and not handed over yet.
//!
//! If the eye is too slow, calls and messages are dropped and counted for their connection; the
//! beginnings and ends of connections are held back as long as that is bounded, because without
//! its end a connection would be watched for ever.

use std::fmt;
use std::ops::Range;

use sockeye_engine::probe::{ConnId, Direction, Stamp};

use super::handover::Sender;
use super::item::{Item, Records};

/// So many records a batch gathers before it is handed over unasked.
pub(super) const BATCH: usize = 256;

/// Fewer than these are not worth a hand-over of their own if they are calls and messages alone, and
/// nobody is shown anything of their connection before its end.
const FEW: usize = BATCH / 4;

/// At most so many beginnings and ends of connections, and tallies, are held back.
const HELD_BACK: usize = 16 * BATCH;

/// Records in the order in which they happened.
#[derive(Debug)]
pub(super) struct Batch {
    records: Records,
    /// How many it may hold before the next try to hand it over.
    limit: usize,
    /// The eye shall be woken for it.
    urgent: bool,
    /// A connection begins in it.
    begins: bool,
    wanted: Wanted,
    /// The end of the last call, or when the last connection began.
    latest: Stamp,
}

/// What the eye wants before a connection has ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    /// To be woken as soon as a connection begins.
    pub(super) begins: bool,
    /// All there is, however little, since somebody is shown it while the connection is open.
    pub(super) all: bool,
}

impl Batch {
    /// Nothing was gathered yet.
    pub(super) fn new(wanted: Wanted) -> Batch {
        Batch {
            records: Records::with_capacity(BATCH),
            limit: BATCH,
            urgent: false,
            begins: false,
            wanted,
            latest: Stamp(0),
        }
    }

    /// Adds one record.
    pub(super) fn push(&mut self, item: Item, sender: &Sender) {
        match &item {
            Item::Opened(opened) => {
                self.begins = true;
                self.latest = self.latest.max(opened.0.at);
            }
            Item::Datagrams(_) => self.begins = true,
            Item::Call(_, call) => self.latest = self.latest.max(call.end()),
            _ => {}
        }
        self.records.items.push(item);
        self.hand_over_if_full(sender);
    }

    /// Adds a message.
    pub(super) fn message(
        &mut self,
        conn: ConnId,
        direction: Direction,
        range: &Range<u64>,
        label: fmt::Arguments<'_>,
        sender: &Sender,
    ) {
        // The kernel's coarse clock costs no look at the hardware's; the last call's end is closer.
        let at = coarse_now().max(self.latest);
        self.records.message(conn, at, direction, range, label);
        self.hand_over_if_full(sender);
    }

    /// Adds the end of a connection, for which the eye is woken.
    pub(super) fn push_urgent(&mut self, item: Item, sender: &Sender) {
        self.urgent = true;
        self.records.items.push(item);
        self.hand_over(sender);
    }

    /// Hands over what the eye may need, since nothing may come for long.
    pub(super) fn flush(&mut self, sender: &Sender) {
        if self.records.len() < FEW && !self.urgent && !self.begins {
            // Where the eye has no room for them, it is awake and far behind: they wait for more.
            if self.wanted.all
                && !self.records.is_empty()
                && sender.hand_over_few(&mut self.records)
            {
                self.sent();
            }
            return;
        }
        self.urgent |= self.begins && (self.wanted.begins || self.wanted.all);
        if self.hand_over(sender) || !self.urgent {
            return;
        }
        // The end of a connection may not wait for the next record: the thread sleeps until then.
        sender.lose(thin_out(&mut self.records));
        if sender.hand_over_reserved(&mut self.records) {
            self.sent();
        }
    }

    /// Hands over what is left when its thread ends.
    pub(super) fn finish(&mut self, sender: &Sender) {
        self.urgent = true;
        self.flush(sender);
        sender.lose(self.records.len() as u64);
    }

    fn hand_over_if_full(&mut self, sender: &Sender) {
        if self.records.len() >= self.limit {
            self.hand_over(sender);
        }
    }

    /// False if there was no room.
    fn hand_over(&mut self, sender: &Sender) -> bool {
        if self.records.is_empty() || sender.hand_over(&mut self.records, self.urgent) {
            self.sent();
            return true;
        }
        if self.records.len() >= self.limit {
            sender.lose(thin_out(&mut self.records));
            self.limit = self.records.len() + BATCH;
        }
        false
    }

    fn sent(&mut self) {
        self.limit = BATCH;
        self.urgent = false;
        self.begins = false;
    }
}

/// This moment, to within a few milliseconds and never ahead of it (clock_gettime(2)).
fn coarse_now() -> Stamp {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    let [seconds, nanos] = [now.tv_sec, now.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    Stamp(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// Leaves what must not be lost and a tally of the rest for each connection.
///
/// Returns how many records are lost without a name.
fn thin_out(records: &mut Records) -> u64 {
    let mut unnamed = 0;
    let mut kept: Vec<Item> = Vec::with_capacity(2 * BATCH);
    for item in records.items.drain(..) {
        let (conn, lost) = match item {
            Item::Call(conn, _)
            | Item::LargeCall(conn, _)
            | Item::Datagram(conn, _)
            | Item::Reported(conn, _)
            | Item::Stamp(conn, _)
            | Item::Message { conn, .. } => (conn, 1),
            Item::Lost(conn, lost) => (conn, lost),
            item if kept.len() < HELD_BACK => {
                kept.push(item);
                continue;
            }
            _ => {
                unnamed += 1;
                continue;
            }
        };
        let room = kept.len() < HELD_BACK;
        // An older tally is not looked for: this runs when time is short.
        let recent = kept.iter_mut().rev().take(BATCH).find_map(|item| match item {
            Item::Lost(other, tally) if *other == conn => Some(tally),
            _ => None,
        });
        match recent {
            Some(tally) => *tally += lost,
            None if room => kept.push(Item::Lost(conn, lost)),
            None => unnamed += lost,
        }
    }
    records.items = kept;
    records.labels.clear();
    unnamed
}

#[cfg(test)]
mod tests {
    use sockeye_engine::Address;
    use sockeye_engine::probe::{Call, Opened, Operation, Role};

    use super::super::handover::channel;
    use super::*;

    fn call(conn: u64) -> Item {
        let call = Call {
            operation: Operation::Recv,
            start: Stamp(1),
            end: Stamp(2),
            asked: 10,
            result: Ok(10),
            offset: 0,
        };
        Item::call(ConnId(conn), &call)
    }

    fn opened(conn: u64) -> Item {
        let address = Address::from(([127, 0, 0, 1], 80));
        let (conn, at) = (ConnId(conn), Stamp(1));
        let opened = Opened { conn, role: Role::Server, local: address.clone(), peer: address, at };
        Item::Opened(Box::new((opened, None)))
    }

    fn closed(conn: u64) -> Item {
        Item::Closed(ConnId(conn), Stamp(3))
    }

    #[test]
    fn a_full_channel_costs_calls_but_not_the_ends_of_connections() {
        let (sender, inbox) = channel(1).unwrap();
        let mut batch = Batch::new(Wanted::default());
        batch.push_urgent(closed(1), &sender);
        // Nobody takes the first batch, yet each of these returns.
        for round in 0..1000 {
            batch.push(call(7 + round % 2), &sender);
        }
        batch.push_urgent(closed(7), &sender);
        for _ in 0..BATCH {
            batch.push(call(8), &sender);
        }

        assert_eq!(inbox.next().map(|items| items.len()), Some(1));
        batch.flush(&sender);
        let (mut seven, mut eight, mut ends) = (0, 0, 0);
        for item in inbox.next().unwrap().items {
            match item {
                Item::Lost(ConnId(7), records) => seven += records,
                Item::Lost(ConnId(8), records) => eight += records,
                Item::Call(ConnId(7), _) => seven += 1,
                Item::Call(ConnId(8), _) => eight += 1,
                Item::Closed(ConnId(7), _) => ends += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((seven, eight, ends), (500, 500 + BATCH as u64, 1));
        assert_eq!(inbox.lost(), 0);
    }

    #[test]
    fn the_end_of_a_connection_goes_ahead_though_the_channel_is_full() {
        let (sender, inbox) = channel(1).unwrap();
        let mut batch = Batch::new(Wanted::default());
        batch.push_urgent(closed(1), &sender);
        batch.push(call(2), &sender);
        batch.flush(&sender);
        assert_eq!(batch.records.len(), 1, "a call alone can wait");
        batch.push_urgent(closed(2), &sender);
        batch.flush(&sender);
        let taken: Vec<_> =
            std::iter::from_fn(|| inbox.next()).flat_map(|taken| taken.items).collect();
        assert_eq!(
            format!("{taken:?}"),
            "[Closed(ConnId(1), Stamp(3)), Lost(ConnId(2), 1), Closed(ConnId(2), Stamp(3))]"
        );
    }

    #[test]
    fn a_few_calls_wait_for_more_but_the_beginning_of_a_connection_does_not() {
        let (sender, inbox) = channel(8).unwrap();
        let mut batch = Batch::new(Wanted::default());
        batch.push(call(1), &sender);
        batch.flush(&sender);
        assert!(inbox.is_empty());
        batch.push(opened(2), &sender);
        batch.flush(&sender);
        assert_eq!(inbox.next().map(|taken| taken.len()), Some(2));
        for _ in 0..FEW {
            batch.push(call(1), &sender);
        }
        batch.flush(&sender);
        assert_eq!(inbox.next().map(|taken| taken.len()), Some(FEW));
        batch.push(call(1), &sender);
        batch.push_urgent(closed(1), &sender);
        assert_eq!(inbox.next().map(|taken| taken.len()), Some(2));
    }

    #[test]
    fn a_single_call_does_not_wait_where_somebody_is_shown_it() {
        let (sender, inbox) = channel(8).unwrap();
        let mut batch = Batch::new(Wanted { all: true, ..Wanted::default() });
        batch.flush(&sender);
        assert!(inbox.is_empty(), "there was none");
        batch.push(opened(1), &sender);
        batch.flush(&sender);
        batch.push(call(1), &sender);
        batch.flush(&sender);
        let taken: Vec<_> = std::iter::from_fn(|| inbox.next()).map(|taken| taken.len()).collect();
        assert_eq!(taken, [1, 1]);
    }

    #[test]
    fn a_thread_that_ends_hands_over_what_it_has() {
        let (sender, inbox) = channel(1).unwrap();
        let mut batch = Batch::new(Wanted::default());
        batch.push_urgent(closed(1), &sender);
        batch.push(call(2), &sender);
        batch.finish(&sender);
        let taken: Vec<_> =
            std::iter::from_fn(|| inbox.next()).flat_map(|taken| taken.items).collect();
        assert!(matches!(taken[..], [_, Item::Lost(ConnId(2), 1)]));
    }

    #[test]
    fn a_tally_stands_before_the_end_of_its_connection() {
        let items = vec![call(7), call(8), call(7), closed(7), call(8)];
        let mut records = Records { items, labels: String::new() };
        assert_eq!(thin_out(&mut records), 0);
        assert_eq!(
            format!("{:?}", records.items),
            "[Lost(ConnId(7), 2), Lost(ConnId(8), 2), Closed(ConnId(7), Stamp(3))]"
        );
    }

    #[test]
    fn what_is_held_back_is_bounded_and_what_goes_beyond_is_counted() {
        let (sender, inbox) = channel(1).unwrap();
        let mut batch = Batch::new(Wanted::default());
        for conn in 0..=10_000 {
            batch.push_urgent(closed(conn), &sender);
        }
        assert!(batch.records.len() <= HELD_BACK + BATCH);
        assert_eq!(batch.records.len() as u64 + inbox.lost(), 10_000);
        assert!(inbox.lost() > 0);
    }
}
