//! Many rows of a ladder in few: like ones counted, the rest said to be left out.

use sockeye_engine::probe::{Operation, Stamp};

use super::rows::Row;
use crate::record::{Fold, LeftOut};
use crate::timeline::{index, moved};

/// What a stretch of a connection consisted of; index 0 received, 1 sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    pub(super) calls: [Fold; 2],
    /// How many of them were `sendfile`.
    pub(super) sendfiles: u64,
    pub(super) data: [Fold; 2],
    /// Bare acknowledgments by the way they went; their range is in the opposite stream.
    pub(super) acks: [Fold; 2],
    /// Messages that began here.
    pub(super) messages: [u64; 2],
    /// Everything else: changes of state, handshakes, retransmissions, failed calls.
    pub(super) others: u64,
    pub(super) span: Option<(Stamp, Stamp)>,
}

impl Summary {
    pub(super) fn of_left_out(left_out: &LeftOut) -> Summary {
        Summary {
            calls: left_out.calls.clone(),
            sendfiles: left_out.sendfiles,
            data: left_out.data.clone(),
            acks: left_out.acks.clone(),
            messages: [0; 2],
            others: left_out.others,
            span: left_out.span,
        }
    }

    fn of_rows(rows: &[Row<'_>]) -> Summary {
        let mut summary = Summary::default();
        for row in rows {
            summary.add(row);
        }
        summary
    }

    fn add(&mut self, row: &Row<'_>) {
        self.reach(row.at);
        self.reach(row.until());
        if let Some(inner) = &row.summary {
            self.add_summary(inner);
            return;
        }
        if row.is_common() {
            if let Some((way, range)) = row.call.and_then(moved) {
                let file = row.call.is_some_and(|call| call.operation == Operation::SendFile);
                self.calls[index(way)].add(&range);
                self.sendfiles += u64::from(file);
            }
        } else {
            self.others += 1;
        }
        if let Some(segment) = row.segment.filter(|_| row.is_common()) {
            let way = index(segment.direction);
            if !segment.range.is_empty() {
                self.data[way].add(&segment.range);
            } else if let Some(ack) = segment.ack {
                self.acks[way].add(&(ack.offset..ack.offset));
            }
        }
        if let (Some(segment), Some((_, count))) = (row.segment, row.message) {
            self.messages[index(segment.direction)] += count as u64;
        } else if let (Some((way, _)), Some((_, count))) = (row.call.and_then(moved), row.message) {
            self.messages[index(way)] += count as u64;
        }
    }

    fn add_summary(&mut self, inner: &Summary) {
        for way in [0, 1] {
            add_fold(&mut self.calls[way], &inner.calls[way]);
            add_fold(&mut self.data[way], &inner.data[way]);
            add_fold(&mut self.acks[way], &inner.acks[way]);
            self.messages[way] += inner.messages[way];
        }
        self.sendfiles += inner.sendfiles;
        self.others += inner.others;
    }

    fn reach(&mut self, at: Stamp) {
        self.span = Some(self.span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
    }

    /// Lines it takes to draw.
    pub(super) fn height(&self) -> usize {
        let lines = [0, 1].map(|way| {
            usize::from(self.data[way].count > 0 || self.calls[way].count > 0)
                + usize::from(self.acks[way].count > 0)
        });
        lines[0] + lines[1] + usize::from(self.others > 0)
    }
}

fn add_fold(to: &mut Fold, from: &Fold) {
    if from.count > 0 {
        to.add(&from.range);
        to.count += from.count - 1;
    }
}

/// Of a run that has to be folded, so many rows show at both ends what it was like.
const KEPT_OF_A_RUN: usize = 8;

/// Shortens `rows` until they take `budget` lines at most.
///
/// Long runs of common rows lose their middles first, all to the same length; if that does not
/// do, whatever stands in the middle goes.
pub(super) fn fold<'a>(rows: Vec<Row<'a>>, budget: usize) -> Vec<Row<'a>> {
    if height(&rows) <= budget {
        return rows;
    }
    for keep in (1..=KEPT_OF_A_RUN).rev() {
        let folded = fold_runs(&rows, keep);
        if height(&folded) <= budget {
            return folded;
        }
    }
    let rows = fold_runs(&rows, 1);
    // A summary takes at most five lines.
    let first = (budget.saturating_sub(5) * 2 / 3).min(rows.len());
    let last = budget.saturating_sub(5 + first).min(rows.len() - first);
    let middle = first..rows.len() - last;
    let mut folded = rows[..middle.start].to_vec();
    folded.push(Row::of_summary(Summary::of_rows(&rows[middle.clone()])));
    folded.extend_from_slice(&rows[middle.end..]);
    folded
}

fn fold_runs<'a>(rows: &[Row<'a>], keep: usize) -> Vec<Row<'a>> {
    // A summary that stands for fewer rows than it has lines hides without saving.
    const WORTH: usize = 5;
    let mut folded = Vec::new();
    for run in rows.chunk_by(|a, b| a.is_common() == b.is_common()) {
        let long = run.len() > 2 * keep + WORTH && run[0].is_common();
        if !long {
            folded.extend_from_slice(run);
            continue;
        }
        let middle = keep..run.len() - keep;
        folded.extend_from_slice(&run[..middle.start]);
        folded.push(Row::of_summary(Summary::of_rows(&run[middle.clone()])));
        folded.extend_from_slice(&run[middle.end..]);
    }
    folded
}

fn height(rows: &[Row<'_>]) -> usize {
    let lines = |row: &Row<'_>| row.summary.as_ref().map_or(1, |summary| summary.height());
    rows.iter().map(lines).sum()
}
