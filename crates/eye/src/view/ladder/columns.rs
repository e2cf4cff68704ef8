//! Where the columns of a ladder lie, and how long names of states may be for them.

use sockeye_engine::probe::Role;
use sockeye_wire::tcp::State;

use crate::record::History;
use crate::view::style::{NARROW, Style};

/// Where the columns lie.
pub(super) struct Columns {
    /// The time ends before this.
    pub(super) time: usize,
    /// The left lifeline, and the right one.
    pub(super) left: usize,
    pub(super) right: usize,
    /// Behind the last column.
    pub(super) end: usize,
}

/// The widest state, with the sign of one that was inferred.
const STATE_WIDTH: usize = "~SYN-RECEIVED".len();

/// With fewer columns the two longest names of states are those of figure 5 in RFC 9293.
const SHORT_BELOW: usize = 70;

/// With fewer columns all names of states are cut short.
const SHORTER_BELOW: usize = 56;

impl Columns {
    /// With `both`, the calls of both ends stand outside.
    pub(super) fn new(history: &History, style: &Style, time: usize, both: bool) -> Columns {
        let end = style.columns();
        let ours = match end {
            0..80 => 10 + (end - Style::NARROWEST) / 4,
            80..90 => 24,
            90..110 => 30,
            110..140 => 34,
            _ => 44,
        };
        let (time, gap) = if end < NARROW { (time.max(4), 1) } else { (time.max(7) + 1, 2) };
        let state = match end {
            _ if !history.is_tcp() => 1,
            ..SHORTER_BELOW => "~SYN-RCVD".len(),
            SHORTER_BELOW..SHORT_BELOW => "~FIN-WAIT-1".len(),
            _ => STATE_WIDTH,
        };
        if !history.is_two_sided() {
            let left = time + gap + state + 1;
            return Columns { time, left, right: left, end };
        }
        let both_sides = match end {
            ..SHORTER_BELOW => "~SYN-RCVD".len(),
            SHORTER_BELOW..SHORT_BELOW => "~FIN-WAIT-1".len(),
            SHORT_BELOW..80 => STATE_WIDTH,
            80..90 => 20,
            90..110 => 24,
            110..140 => 30,
            _ => 40,
        };
        let (left, right) = match history.role {
            _ if both => (both_sides, both_sides),
            // Nobody's calls stand outside: both sides hold states, and times of TIME-WAIT.
            _ if history.neutral => (state, state),
            Role::Client => (ours, state),
            Role::Server => (state, ours),
        };
        Columns { time, left: time + gap + left + 1, right: end - right - 2, end }
    }

    /// Columns behind the time.
    pub(super) fn gap(&self) -> usize {
        if self.end < NARROW { 1 } else { 2 }
    }

    /// Columns for the words on an arrow: besides them there are two blanks, the head and dashes,
    /// three if there is room.
    pub(super) fn room(&self) -> usize {
        self.between().saturating_sub(if self.end < NARROW { 4 } else { 6 })
    }

    /// Columns between the lifelines.
    pub(super) fn between(&self) -> usize {
        self.right.saturating_sub(self.left + 1)
    }
}

/// A name for a state whose own has more than eight characters.
pub(in crate::view) fn shorter_name(state: State) -> Option<&'static str> {
    match state {
        State::FinWait1 => Some("FIN-1"),
        State::FinWait2 => Some("FIN-2"),
        State::CloseWait => Some("CLOSE-W"),
        State::TimeWait => Some("TIME-W"),
        _ => None,
    }
}

/// A state's name in a picture of so many columns, and whether it was cut short for want of them.
pub(in crate::view) fn name(state: State, columns: usize) -> (&'static str, bool) {
    let long = match state {
        State::SynReceived if columns < SHORT_BELOW => "SYN-RCVD",
        State::Established if columns < SHORT_BELOW => "ESTAB",
        state => state.name(),
    };
    match shorter_name(state) {
        Some(short) if columns < SHORTER_BELOW => (short, short != long),
        _ => (long, false),
    }
}
