//! Records on their way to the eye, as small as they can be: a busy thread writes hundreds of
//! thousands a second, and each of them goes through the processor's cache twice.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;

use sockeye_engine::Address;
use sockeye_engine::probe::{
    Call, ConnId, Datagram, Datagrams, Direction, Opened, Operation, Reported, Stamp,
};

use super::label;
use super::tracks::SmallSegment;
use crate::record::{KernelFacts, KernelStamp};

/// Records in the order in which they happened, and the labels of the messages among them.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) items: Vec<Item>,
    pub(super) labels: String,
}

/// One record.
#[derive(Debug)]
pub(super) enum Item {
    Listening(Box<SocketAddr>),
    Opened(Box<(Opened, Option<u32>)>),
    Call(ConnId, SmallCall),
    /// One that does not fit the small form.
    LargeCall(ConnId, Box<Call>),
    Message {
        conn: ConnId,
        at: Stamp,
        start: u64,
        length: u64,
        direction: Direction,
        /// Where its label stands among the labels.
        label: u32,
        label_length: u8,
    },
    /// A socket of datagrams.
    Datagrams(Box<Datagrams>),
    Datagram(ConnId, Box<OwnDatagram>),
    /// Something from its error queue.
    Reported(ConnId, Box<OwnReported>),
    /// So many datagrams the kernel dropped before they could be received.
    Dropped(ConnId, u32),
    /// One captured by the eye itself.
    Segment(SmallSegment),
    /// The kernel stamped bytes we sent.
    Stamp(ConnId, KernelStamp),
    Closing(ConnId, Box<KernelFacts>),
    Closed(ConnId, Stamp),
    /// So many calls and messages of this connection found no room.
    Lost(ConnId, u64),
}

/// A datagram with its own copy of the peer's address.
#[derive(Debug)]
pub(super) struct OwnDatagram {
    /// Without a peer.
    datagram: Datagram<'static>,
    peer: Option<Address>,
}

impl OwnDatagram {
    pub(super) fn new(datagram: &Datagram<'_>) -> OwnDatagram {
        let own = datagram.peer.cloned();
        OwnDatagram { datagram: Datagram { peer: None, ..*datagram }, peer: own }
    }

    pub(super) fn datagram(&self) -> Datagram<'_> {
        Datagram { peer: self.peer.as_ref(), ..self.datagram }
    }
}

/// What an error queue said, with its own copy of the peer's address.
#[derive(Debug)]
pub(super) struct OwnReported {
    /// Without a peer.
    reported: Reported<'static>,
    to: Option<Address>,
}

impl OwnReported {
    pub(super) fn new(reported: &Reported<'_>) -> OwnReported {
        let &Reported { at, errno, to, offender } = reported;
        let own = to.cloned();
        OwnReported { reported: Reported { at, errno, to: None, offender }, to: own }
    }

    pub(super) fn reported(&self) -> Reported<'_> {
        Reported { to: self.to.as_ref(), ..self.reported }
    }
}

/// A call that took less than four seconds and moved less than 4 GiB: every usual one.
#[derive(Clone, Copy, Debug)]
pub(super) struct SmallCall {
    start: Stamp,
    offset: u64,
    /// Nanoseconds.
    took: u32,
    asked: u32,
    /// Bytes, or the error number.
    result: u32,
    failed: bool,
    operation: Operation,
}

impl Item {
    /// The record of a call.
    pub(super) fn call(conn: ConnId, call: &Call) -> Item {
        match SmallCall::new(call) {
            Some(small) => Item::Call(conn, small),
            None => Item::LargeCall(conn, Box::new(*call)),
        }
    }
}

impl SmallCall {
    fn new(call: &Call) -> Option<SmallCall> {
        let (result, failed) = match call.result {
            Ok(count) => (u32::try_from(count).ok()?, false),
            Err(errno) => (u32::try_from(errno).ok()?, true),
        };
        Some(SmallCall {
            start: call.start,
            offset: call.offset,
            took: call.end.0.checked_sub(call.start.0)?.try_into().ok()?,
            asked: call.asked.try_into().ok()?,
            result,
            failed,
            operation: call.operation,
        })
    }

    /// When its result was known.
    pub(super) fn end(&self) -> Stamp {
        Stamp(self.start.0 + u64::from(self.took))
    }

    /// The call it was made of.
    pub(super) fn call(&self) -> Call {
        Call {
            operation: self.operation,
            start: self.start,
            end: self.end(),
            asked: self.asked.into(),
            result: if self.failed {
                Err(self.result.cast_signed())
            } else {
                Ok(self.result.into())
            },
            offset: self.offset,
        }
    }
}

impl Records {
    /// Room for so many without further allocation.
    pub(super) fn with_capacity(records: usize) -> Records {
        Records { items: Vec::with_capacity(records), labels: String::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.labels.clear();
    }

    /// Adds a message.
    pub(super) fn message(
        &mut self,
        conn: ConnId,
        at: Stamp,
        direction: Direction,
        range: &Range<u64>,
        text: fmt::Arguments<'_>,
    ) {
        // Batches are far smaller than 4 GiB.
        let label = u32::try_from(self.labels.len()).unwrap_or(u32::MAX);
        let label_length = label::append(&mut self.labels, text);
        let (start, length) = (range.start, range.end.saturating_sub(range.start));
        self.items.push(Item::Message { conn, at, start, length, direction, label, label_length });
    }

    /// Adds a message of others with its label.
    pub(super) fn copy_message(&mut self, message: &Item, others: &Records) {
        if let &Item::Message { conn, at, start, length, direction, label, label_length } = message
        {
            let text = others.label(label, label_length);
            let label = u32::try_from(self.labels.len()).unwrap_or(u32::MAX);
            self.labels.push_str(text);
            self.items.push(Item::Message {
                conn,
                at,
                start,
                length,
                direction,
                label,
                label_length,
            });
        }
    }

    /// A message's label.
    pub(super) fn label(&self, start: u32, length: u8) -> &str {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        self.labels.get(start..start.saturating_add(length.into())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_takes_less_than_a_line_of_the_cache() {
        assert!(size_of::<Item>() <= 48, "{}", size_of::<Item>());
    }

    #[test]
    fn labels_stand_behind_one_another() {
        let mut records = Records::default();
        for label in ["GET /", "", "200 OK"] {
            let (conn, at) = (ConnId(1), Stamp(2));
            records.message(conn, at, Direction::Sent, &(3..9), format_args!("{label}"));
        }
        let labels = records.items.iter().map(|item| match item {
            Item::Message { label, label_length, .. } => records.label(*label, *label_length),
            other => panic!("{other:?}"),
        });
        assert_eq!(labels.collect::<Vec<_>>(), ["GET /", "", "200 OK"]);
    }

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![0_u64..100, any::<u64>(), (1_u64 << 32) - 2..(1 << 32) + 2]
    }

    proptest! {
        #[test]
        fn a_call_comes_out_as_it_went_in(
            start in number(),
            end in number(),
            asked in number(),
            result in prop_oneof![number().prop_map(Ok), any::<i32>().prop_map(Err)],
            offset in number(),
        ) {
            let operation = Operation::SendFile;
            let (start, end) = (Stamp(start), Stamp(end));
            let call = Call { operation, start, end, asked, result, offset };
            let out = match Item::call(ConnId(1), &call) {
                Item::Call(_, small) => small.call(),
                Item::LargeCall(_, call) => *call,
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(format!("{call:?}"), format!("{out:?}"));
        }
    }
}
