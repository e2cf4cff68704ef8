//! What is open, for those who look on live.

use sockeye_engine::probe::Stamp;

use super::super::viewer::{ROWS_MAX, Row, Snapshot};
use super::Tracks;
use crate::finding::findings;

/// So many connections are looked through for findings in one look.
const FINDINGS_A_LOOK: usize = 16;

impl Tracks {
    /// What is open now, and all of the connection of this number.
    pub(in super::super) fn look(&mut self, selected: Option<u64>) -> Snapshot {
        let mut budget = FINDINGS_A_LOOK;
        let mut rows = Vec::new();
        let mut history = None;
        for (_, track) in self.tracks.iter_mut().filter(|(_, track)| !track.closed) {
            track.take_in();
            let timeline = track.timeline();
            // Looking for them again takes a walk through all that is kept, so only so many a look.
            let total = timeline.history().events.total();
            let news = track.found_in != total && budget > 0;
            if news {
                budget -= 1;
                track.found =
                    findings(track.timeline().history()).len().try_into().unwrap_or(u32::MAX);
                track.found_in = total;
            }
            let timeline = track.timeline();
            rows.push(Row::of(timeline, track.found));
            if selected == Some(timeline.history().number) {
                history = Some(Box::new(timeline.history().clone()));
            }
        }
        let more = rows.len().saturating_sub(ROWS_MAX);
        if more > 0 {
            rows.sort_by_key(|row| std::cmp::Reverse(row.span.map(|(_, last)| last)));
            rows.truncate(ROWS_MAX);
        }
        rows.sort_by_key(|row| row.number);
        let more = more.try_into().unwrap_or(u64::MAX);
        let (at, dropped) = (Some(Stamp::now()), self.dropped);
        Snapshot { at, rows, more, selected: history, dropped }
    }
}
