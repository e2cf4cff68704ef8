//! Many rows of a ladder in few: like ones counted, the rest said to be left out.

use sockeye_engine::probe::{Operation, Stamp};

use super::rows::Row;
use crate::pair::Pair;
use crate::record::{Fold, LeftOut, Mark};
use crate::timeline::{index, moved};

/// What a stretch of a connection consisted of; index 0 received, 1 sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    pub(super) calls: [Fold; 2],
    /// How many of them were `sendfile`.
    pub(super) sendfiles: u64,
    /// Those of the other end, by the way their bytes went as that end sees it.
    pub(super) far: [Fold; 2],
    pub(super) data: [Fold; 2],
    /// Bare acknowledgments by the way they went; their range is in the opposite stream.
    pub(super) acks: [Fold; 2],
    /// Segments sent again, by the way they went; they are not among `data`.
    pub(super) again: [u64; 2],
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
            far: Default::default(),
            data: left_out.data.clone(),
            acks: left_out.acks.clone(),
            again: [0; 2],
            messages: [0; 2],
            others: left_out.others,
            span: left_out.span,
        }
    }

    /// Of the other end's calls that were left out.
    pub(super) fn of_far(pair: &Pair) -> Summary {
        let LeftOut { calls, span, .. } = &pair.server.left_out;
        let at = |stamp| pair.clocks.at_client(stamp);
        let span = span.map(|(first, last)| (at(first), at(last)));
        Summary { far: calls.clone(), span, ..Summary::default() }
    }

    /// Whether it stands for nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.height() == 0
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
        if row.is_common_or_marked() {
            if let Some((way, range)) = row.call.and_then(moved) {
                let file = row.call.is_some_and(|call| call.operation == Operation::SendFile);
                self.calls[index(way)].add(&range);
                self.sendfiles += u64::from(file);
            }
            if let Some((way, range)) = row.far.and_then(moved) {
                self.far[index(way)].add(&range);
            }
        } else {
            self.others += 1;
        }
        if let Some(segment) = row.segment.filter(|_| row.is_common_or_marked()) {
            let way = index(segment.direction);
            if segment.mark == Mark::Retransmission {
                self.again[way] += 1;
            } else if !segment.range.is_empty() {
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
            add_fold(&mut self.far[way], &inner.far[way]);
            add_fold(&mut self.data[way], &inner.data[way]);
            add_fold(&mut self.acks[way], &inner.acks[way]);
            self.again[way] += inner.again[way];
            self.messages[way] += inner.messages[way];
        }
        self.sendfiles += inner.sendfiles;
        self.others += inner.others;
    }

    fn reach(&mut self, at: Stamp) {
        self.span = Some(self.span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
    }

    /// Whether segments with payload went this way, fresh or again.
    pub(super) fn has_data(&self, way: usize) -> bool {
        self.data[way].count > 0 || self.again[way] > 0
    }

    /// Whether bytes went this way, by whatever was seen.
    pub(super) fn has_line(&self, way: usize) -> bool {
        self.has_data(way) || self.calls[way].count > 0 || self.far[1 - way].count > 0
    }

    /// Lines it takes to draw.
    pub(super) fn height(&self) -> usize {
        let lines = [0, 1]
            .map(|way| usize::from(self.has_line(way)) + usize::from(self.acks[way].count > 0));
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

/// With less than this it can't be seen what a run was like.
const KEPT_AT_LEAST: usize = 3;

/// Shortens `rows` until they take `budget` lines at most.
///
/// Long runs of common rows lose their middles first, all to the same length; if that does not
/// do, whatever stands in the middle goes.
pub(super) fn fold<'a>(rows: Vec<Row<'a>>, budget: usize) -> Vec<Row<'a>> {
    if height(&rows) <= budget {
        return rows;
    }
    // Overtaking and retransmissions are worth their lines, until there are too many of them.
    let kinds: [fn(&Row<'a>) -> bool; 2] = [Row::is_common, Row::is_common_or_marked];
    for kind in kinds {
        for keep in (KEPT_AT_LEAST..=KEPT_OF_A_RUN).rev() {
            let folded = fold_runs(&rows, kind, keep);
            if height(&folded) <= budget {
                return folded;
            }
        }
    }
    let rows = fold_runs(&rows, Row::is_common_or_marked, KEPT_AT_LEAST);
    // A summary takes at most five lines.
    let first = (budget.saturating_sub(5) * 2 / 3).min(rows.len());
    let last = budget.saturating_sub(5 + first).min(rows.len() - first);
    let middle = first..rows.len() - last;
    let mut folded = rows[..middle.start].to_vec();
    folded.push(Row::of_summary(Summary::of_rows(&rows[middle.clone()])));
    folded.extend_from_slice(&rows[middle.end..]);
    folded
}

fn fold_runs<'a>(rows: &[Row<'a>], kind: fn(&Row<'a>) -> bool, keep: usize) -> Vec<Row<'a>> {
    // A summary that stands for fewer rows than it has lines hides without saving.
    const WORTH: usize = 5;
    let mut folded = Vec::new();
    for run in rows.chunk_by(|a, b| kind(a) == kind(b)) {
        let long = run.len() > 2 * keep + WORTH && kind(&run[0]);
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
