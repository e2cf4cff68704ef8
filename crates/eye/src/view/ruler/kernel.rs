//! What the kernel told of a direction without packets: its stamps, and what waited in its queues.

use std::ops::Range;

use sockeye_engine::probe::Direction;
use unicode_width::UnicodeWidthStr as _;

use super::super::bar::{Bar, Interval};
use super::super::scale::{bytes, grouped, span};
use super::super::style::Ink;
use super::{Layers, Ruler};
use crate::record::Point;
use crate::timeline::index;
use crate::words::note::{Note, Noun};

impl Ruler<'_> {
    /// A row for each point at which the kernel stamped what we sent.
    ///
    /// A stamp covers all bytes since the one before it, so each interval ends where a stamp is. What
    /// was sent without a stamp being asked for is left blank.
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
            let of_point = kept.filter(|stamp| stamp.point == point);
            let mut ends: Vec<_> = of_point.map(|stamp| (stamp.end, stamp.from)).collect();
            ends.sort_unstable();
            // What is sent again is stamped again.
            ends.dedup_by_key(|(end, _)| *end);
            ends
        };
        let (first, last) = (ends(&mut stamps.head()), ends(&mut stamps.tail()));
        if first.is_empty() && last.is_empty() {
            return;
        }
        let reached = first.last().map_or(0, |(end, _)| *end);
        let hole = match (stamps.left_out(), last.first()) {
            (0, _) => None,
            (_, Some(&(end, _))) => Some(reached..end.max(reached)),
            (_, None) => Some(reached..layers.total.max(reached)),
        };
        let after = hole.as_ref().map_or(reached, |hole: &Range<u64>| hole.end);
        let mut intervals = between(0, &first);
        intervals.extend(between(after, &last));
        let count = (first.len() + last.len()) as u64;
        let calls = self.history.totals.calls[index(self.way)];
        let caption = match hole {
            // How many of the others were of this point is not known.
            Some(_) => self.count(stamps.total(), Noun::Stamp),
            None => self.first_that_fits([
                self.style.note(Note::StampsFor(count, calls)),
                self.style.note(Note::Count(Noun::Stamp, &grouped(count), count == 1)),
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
        let [ours, peers] = &self.history.peaks;
        let (sender, receiver) = match self.way {
            Direction::Sent => (ours, peers),
            Direction::Received => (peers, ours),
        };
        let whose = |sends: bool| match (self.way == Direction::Sent) == sends {
            true => self.history.role,
            false => crate::timeline::other(self.history.role),
        };
        let mut texts = Vec::new();
        if receiver.unread > 0 {
            let most = bytes(u64::from(receiver.receive));
            // What two samples found is certain; how long it was so before and after them is not.
            let lasted = span(receiver.unread);
            let shut = match receiver.shut {
                0 => String::new(),
                // Packets tell exactly when it was closed.
                _ if self.history.captured => String::new(),
                shut => self.style.note(Note::WindowShut(&span(shut))),
            };
            texts.push([
                self.style.note(Note::Unread(&most, whose(false), &lasted)) + &shut,
                self.style.note(Note::UnreadInShort(&most)) + &shut,
                self.style.note(Note::UnreadInShort(&most)),
            ]);
        }
        if sender.waiting > 0 {
            let most = bytes(u64::from(sender.send));
            let unsent = match sender.unsent {
                0 => String::new(),
                unsent => self.style.note(Note::Unsent(&bytes(u64::from(unsent)))),
            };
            texts.push([
                self.style.note(Note::Unacknowledged(&most, whose(true))) + &unsent,
                self.style.note(Note::UnacknowledgedAlone(&most)),
                self.style.note(Note::UnacknowledgedInShort(&most)),
            ]);
        }
        let room = self.style.columns() - self.left;
        let fits = |text: &String| text.width() <= room;
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
fn between(start: u64, ends: &[(u64, u64)]) -> Vec<Interval<'static>> {
    let mut reached = start;
    let mut intervals = Vec::new();
    for &(end, from) in ends.iter().filter(|(end, _)| *end > start) {
        let range = reached.max(from)..end;
        if !range.is_empty() {
            intervals.push(Interval { range, label: None });
        }
        reached = end;
    }
    intervals
}
