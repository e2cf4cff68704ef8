//! What the kernel told of a direction without packets: its stamps, and what waited in its queues.

use std::ops::Range;

use sockeye_engine::probe::Direction;

use super::super::bar::{Bar, Interval};
use super::super::scale::{bytes, counted, span};
use super::super::style::Ink;
use super::{Layers, Ruler};
use crate::record::Point;
use crate::timeline::index;

impl Ruler<'_> {
    /// A row for each point at which the kernel stamped what we sent.
    ///
    /// A stamp covers all bytes since the one before it, so each interval ends where a stamp is.
    pub(super) fn stamps(&mut self, layers: &Layers<'_>) {
        if self.way == Direction::Received {
            return;
        }
        for (point, name) in [(Point::Sent, "k.SND"), (Point::Acked, "k.ACK")] {
            self.stamps_at(point, name, layers);
        }
    }

    fn stamps_at(&mut self, point: Point, name: &str, layers: &Layers<'_>) {
        let stamps = &self.history.stamps;
        let ends = |kept: &mut dyn Iterator<Item = &crate::record::KernelStamp>| {
            let mut ends: Vec<u64> =
                kept.filter(|stamp| stamp.point == point).map(|stamp| stamp.end).collect();
            ends.sort_unstable();
            // What is sent again is stamped again.
            ends.dedup();
            ends
        };
        let (first, last) = (ends(&mut stamps.head()), ends(&mut stamps.tail()));
        if first.is_empty() && last.is_empty() {
            return;
        }
        let reached = first.last().copied().unwrap_or(0);
        let hole = match (stamps.left_out(), last.first()) {
            (0, _) => None,
            (_, Some(&end)) => Some(reached..end.max(reached)),
            (_, None) => Some(reached..layers.total),
        };
        let after = hole.as_ref().map_or(reached, |hole: &Range<u64>| hole.end);
        let mut intervals = between(0, &first);
        intervals.extend(between(after, &last));
        let count = (first.len() + last.len()) as u64;
        let calls = self.history.totals.calls[index(self.way)];
        let caption = match hole {
            // How many of the others were of this point is not known.
            Some(_) => self.count(stamps.total(), "stamp"),
            None => self.first_that_fits([
                format!("{} for {}", counted(count, "stamp"), counted(calls, "call")),
                counted(count, "stamp"),
                count.to_string(),
            ]),
        };
        let glyphs = self.style.glyphs();
        let mut bar = Bar::new(self.axis);
        bar.intervals(self.axis, &intervals, &glyphs.dotted, glyphs);
        self.crowded |= bar.is_crowded();
        if let Some(hole) = hole {
            bar.crowd(self.axis, &hole, glyphs);
            self.crowded = true;
        }
        self.line(name, Ink::Plain, bar, caption);
    }

    /// What waited in the queues of both ends, where it waited for as long as two samples are apart.
    pub(super) fn queues(&mut self) {
        let about = self.style.glyphs().about;
        let [ours, peers] = &self.history.peaks;
        let (sender, receiver) = match self.way {
            Direction::Sent => (ours, peers),
            Direction::Received => (peers, ours),
        };
        let whose = |sends: bool| match (self.way == Direction::Sent) == sends {
            true => self.history.role,
            false => crate::timeline::other(self.history.role),
        };
        let name = |role| match role {
            sockeye_engine::probe::Role::Client => "client",
            sockeye_engine::probe::Role::Server => "server",
        };
        let mut texts = Vec::new();
        if receiver.unread > 0 {
            let most = bytes(u64::from(receiver.receive));
            let shut = match receiver.shut {
                0 => String::new(),
                shut => format!(", window 0 for {about}{}", span(shut)),
            };
            texts.push([
                format!(
                    "up to {most} not read by the {}, for {about}{}{shut}",
                    name(whose(false)),
                    span(receiver.unread)
                ),
                format!("{most} not read{shut}"),
                format!("{most} not read"),
            ]);
        }
        if sender.waiting > 0 {
            let most = bytes(u64::from(sender.send));
            let unsent = match sender.unsent {
                0 => String::new(),
                unsent => format!(", {} not sent", bytes(u64::from(unsent))),
            };
            texts.push([
                format!("up to {most} of the {} not acknowledged{unsent}", name(whose(true))),
                format!("{most} not acknowledged"),
                format!("{most} not acked"),
            ]);
        }
        let room = self.style.columns() - self.left;
        let fits = |text: &String| text.chars().count() <= room;
        let texts = texts.into_iter().filter_map(|texts| texts.into_iter().find(fits));
        for (place, text) in texts.enumerate() {
            if place == 0 {
                self.paper.put_before(self.left - 1, Ink::Plain, "queue");
            }
            self.paper.go_to(self.left);
            self.paper.put(Ink::Dim, &text);
            self.paper.end_line();
        }
    }
}

/// The intervals that end at each of these offsets, the first from `start`.
fn between(start: u64, ends: &[u64]) -> Vec<Interval<'static>> {
    let mut from = start;
    let mut intervals = Vec::new();
    for &end in ends.iter().filter(|end| **end > start) {
        intervals.push(Interval { range: from..end, label: None });
        from = end;
    }
    intervals
}
