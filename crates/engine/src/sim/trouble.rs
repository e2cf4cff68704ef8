//! The plan while it is carried out: which fault strikes now, and which have struck.

use std::net::IpAddr;
use std::time::Duration;

use super::fault::{CallFault, DatagramFault, Fault, SegmentFault, Side};
use super::link::pair;
use super::plan::Plan;

#[derive(Debug)]
pub(crate) struct Troubles {
    plan: Plan,
    /// Which fault of the plan struck which connection.
    struck: Vec<(Option<u32>, usize)>,
}

/// Which call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallKind {
    Read,
    Write,
}

impl Troubles {
    pub(crate) fn new(plan: Plan) -> Troubles {
        Troubles { plan, struck: Vec::new() }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn refuses(&mut self, number: u32) -> bool {
        let found = self.find(|fault| match *fault {
            Fault::Refused { conn } if conn == number => Some(()),
            _ => None,
        });
        self.strike(Some(number), found).is_some()
    }

    pub(crate) fn segment(&mut self, number: u32, side: Side, nth: u32) -> Option<SegmentFault> {
        let found = self.find(|fault| match *fault {
            Fault::Segment { conn, from, number: n, what }
                if (conn, from, n) == (number, side, nth) =>
            {
                Some(what)
            }
            _ => None,
        });
        self.strike(Some(number), found)
    }

    pub(crate) fn call(
        &mut self,
        number: u32,
        at: Side,
        kind: CallKind,
        nth: u32,
    ) -> Option<CallFault> {
        let found = self.find(|fault| match *fault {
            Fault::Call { conn, side, what, number: n } if (conn, side, n) == (number, at, nth) => {
                let reads = matches!(what, CallFault::ShortRead(_));
                (reads == (kind == CallKind::Read)).then_some(what)
            }
            _ => None,
        });
        self.strike(Some(number), found)
    }

    pub(crate) fn datagram(
        &mut self,
        one: IpAddr,
        other: IpAddr,
        nth: u32,
    ) -> Option<DatagramFault> {
        let found = self.find(|fault| match *fault {
            Fault::Datagram { from, to, number, what }
                if (from, to, number) == (one, other, nth) =>
            {
                Some(what)
            }
            _ => None,
        });
        self.strike(None, found)
    }

    /// When the cut that keeps the two apart at `now` is over; the latest of several.
    pub(crate) fn cut(
        &mut self,
        conn: Option<u32>,
        one: IpAddr,
        other: IpAddr,
        now: Duration,
    ) -> Option<Duration> {
        let mut until = None;
        // The end of one may lie within the next.
        while let Some((index, end)) = self.find(|fault| match *fault {
            Fault::Cut { between: (a, b), from, lasting } if pair(a, b) == pair(one, other) => {
                let end = from.saturating_add(lasting);
                let at = until.unwrap_or(now);
                (from <= at && at < end).then_some(end)
            }
            _ => None,
        }) {
            self.strike(conn, Some((index, end)));
            until = Some(end);
        }
        until
    }

    /// Connections that are reset at a time of the plan's, with their faults' index.
    pub(crate) fn resets(&self) -> impl Iterator<Item = (Duration, u32, usize)> {
        self.plan.faults().iter().enumerate().filter_map(|(index, fault)| match *fault {
            Fault::Reset { conn, at } => Some((at, conn, index)),
            _ => None,
        })
    }

    pub(crate) fn struck_by(&mut self, conn: u32, index: usize) {
        self.strike(Some(conn), Some((index, ())));
    }

    /// The faults that struck a connection so far.
    pub(crate) fn of(&self, number: u32) -> Vec<Fault> {
        let of = self.struck.iter().filter(|(conn, _)| *conn == Some(number));
        of.map(|(_, index)| self.plan.faults()[*index]).collect()
    }

    /// The faults that struck datagrams between two hosts so far, either way, and the cuts that did.
    pub(crate) fn of_datagrams(&self, one: IpAddr, other: IpAddr) -> Vec<Fault> {
        let of = self.struck.iter().filter(|(conn, _)| conn.is_none());
        let of = of.map(|(_, index)| self.plan.faults()[*index]);
        of.filter(|fault| match fault {
            Fault::Datagram { from, to, .. } => pair(*from, *to) == pair(one, other),
            Fault::Cut { between: (a, b), .. } => pair(*a, *b) == pair(one, other),
            _ => false,
        })
        .collect()
    }

    fn find<T>(&self, matches: impl Fn(&Fault) -> Option<T>) -> Option<(usize, T)> {
        let mut faults = self.plan.faults().iter().enumerate();
        faults.find_map(|(index, fault)| Some((index, matches(fault)?)))
    }

    fn strike<T>(&mut self, conn: Option<u32>, found: Option<(usize, T)>) -> Option<T> {
        let (index, what) = found?;
        if !self.struck.contains(&(conn, index)) {
            self.struck.push((conn, index));
        }
        Some(what)
    }
}
