//! Who looks at what is open now: the live faces.
//!
//! Only while somebody looks does the eye's thread hand out anything, and never more often than it
//! is asked: a face asks some five to ten times a second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sockeye_engine::Address;
use sockeye_engine::probe::{Role, Stamp};
use sockeye_wire::tcp::State;

use crate::finding::findings;
use crate::record::{Event, History};
use crate::timeline::Timeline;
use crate::verdict::Code;

/// So often the eye looks whether it was asked, while somebody looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The most rows that are handed out: those in which something happened last.
pub const ROWS_MAX: usize = 500;

/// What is open now, as one face asked for it. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Viewer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    looking: AtomicBool,
    state: Mutex<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    /// Nothing was handed out since the face asked.
    waiting: bool,
    selected: Option<u64>,
    answer: Option<Snapshot>,
}

/// What was open at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// When.
    pub at: Option<Stamp>,
    /// The connections, in the order in which they were found; at most [`ROWS_MAX`].
    pub rows: Vec<Row>,
    /// How many more are open.
    pub more: u64,
    /// All that is known of the one that was asked for, if it is open still.
    pub selected: Option<Box<History>>,
    /// Packets the kernel had no room for so far.
    pub dropped: u64,
}

/// One connection in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// [`History::number`].
    pub number: u64,
    /// The client's address, and the server's.
    pub ends: [Address; 2],
    /// The state of each, as far as it is known.
    pub states: [Option<State>; 2],
    /// Bytes from each.
    pub bytes: [u64; 2],
    /// When the first and the last thing happened that is known of.
    pub span: Option<(Stamp, Stamp)>,
    /// How it ended, or how things stand.
    pub code: Code,
    /// How many findings there are.
    pub found: u32,
}

impl Viewer {
    /// Nobody looks yet.
    #[must_use]
    pub fn new() -> Viewer {
        Viewer::default()
    }

    /// Asks for what is open, and for all of the connection with this number; what was answered
    /// since this was last called, if anything was.
    pub fn look(&self, selected: Option<u64>) -> Option<Snapshot> {
        self.0.looking.store(true, Ordering::Relaxed);
        let mut asked = self.asked();
        asked.waiting = true;
        asked.selected = selected;
        asked.answer.take()
    }

    /// Says that nobody looks any more.
    pub fn look_away(&self) {
        self.0.looking.store(false, Ordering::Relaxed);
        *self.asked() = Asked::default();
    }

    pub(super) fn is_looking(&self) -> bool {
        self.0.looking.load(Ordering::Relaxed)
    }

    /// Answers if there is a question.
    pub(super) fn answer(&self, snapshot: impl FnOnce(Option<u64>) -> Snapshot) {
        let selected = {
            let mut asked = self.asked();
            if !std::mem::take(&mut asked.waiting) {
                return;
            }
            asked.selected
        };
        // Made while the face does not wait for the lock.
        let snapshot = snapshot(selected);
        self.asked().answer = Some(snapshot);
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Row {
    /// What is known of this connection so far.
    #[must_use]
    pub fn of(timeline: &Timeline, found: u32) -> Row {
        Row::new(timeline.history(), timeline.states(), timeline.bytes(), found)
    }

    /// What is known of one that has ended.
    #[must_use]
    pub fn of_ended(history: &History) -> Row {
        let last = |ours: bool| {
            let events = history.events.iter().filter_map(|event| match event {
                Event::State(change) if (change.end == history.role) == ours => Some(change.to),
                _ => None,
            });
            let told = if ours { history.aftermath } else { history.peer_aftermath };
            let inferred = history.inferred.last().filter(|_| ours).map(|change| change.to);
            told.map(|told| told.state).or(events.last()).or(inferred)
        };
        let found = u32::try_from(findings(history).len()).unwrap_or(u32::MAX);
        let bytes = [0, 1].map(|way| history.totals.bytes[way].max(history.course.reached[way]));
        Row::new(history, [last(true), last(false)], bytes, found)
    }

    /// `states` are those of `local` and of the peer, bytes received and sent.
    fn new(
        history: &History,
        states: [Option<State>; 2],
        [received, sent]: [u64; 2],
        found: u32,
    ) -> Row {
        let (local, peer) = (history.local.clone(), history.peer.clone());
        let [ours, theirs] = states;
        let (ends, states, bytes) = match history.role {
            Role::Server => ([peer, local], [theirs, ours], [received, sent]),
            Role::Client => ([local, peer], [ours, theirs], [sent, received]),
        };
        let span = history.course.span;
        Row { number: history.number, ends, states, bytes, span, code: Code::of(history), found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_asks_is_answered_and_each_question_once() {
        let viewer = Viewer::new();
        viewer.answer(|_| panic!("nobody asked"));
        assert!(!viewer.is_looking());
        assert!(viewer.look(Some(3)).is_none());
        assert!(viewer.is_looking());
        viewer.answer(|selected| {
            assert_eq!(selected, Some(3));
            Snapshot { more: 7, ..Snapshot::default() }
        });
        viewer.answer(|_| panic!("it was answered"));
        assert_eq!(viewer.look(None).map(|snapshot| snapshot.more), Some(7));
        viewer.look_away();
        assert!(!viewer.is_looking());
        viewer.answer(|_| panic!("nobody looks"));
    }
}
