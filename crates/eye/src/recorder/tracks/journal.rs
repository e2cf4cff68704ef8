//! What is found out about which connection is which, for those who write down what the eye sees.

use std::mem;

use sockeye_engine::Address;
use sockeye_engine::probe::{ConnId, Direction, Role};

/// One thing found out. A connection has a number of its own here, because packets may tell of it
/// before the program does, or alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Fact {
    /// There is one that was not known.
    Found { track: u64, role: Role, neutral: bool, local: Address, peer: Address },
    /// It is the one that the program calls so.
    Joined { track: u64, conn: ConnId },
    /// The segment at hand is of it.
    Placed { track: u64, direction: Direction },
    /// Nothing more is waited for; it has ended, or was never accepted and is forgotten.
    Over { track: u64, forgotten: bool },
}

/// Facts in the order in which they were found out. Until it is begun nothing is noted.
#[derive(Debug, Default)]
pub(super) struct Journal(Option<Vec<Fact>>);

impl Journal {
    pub(super) fn begin(&mut self) {
        self.0.get_or_insert_default();
    }

    pub(super) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn take(&mut self) -> Vec<Fact> {
        self.0.as_mut().map(mem::take).unwrap_or_default()
    }

    pub(super) fn found(
        &mut self,
        track: u64,
        role: Role,
        neutral: bool,
        local: Address,
        peer: Address,
    ) {
        self.note(Fact::Found { track, role, neutral, local, peer });
    }

    pub(super) fn joined(&mut self, track: u64, conn: ConnId) {
        self.note(Fact::Joined { track, conn });
    }

    pub(super) fn placed(&mut self, track: u64, direction: Direction) {
        self.note(Fact::Placed { track, direction });
    }

    pub(super) fn over(&mut self, track: u64, forgotten: bool) {
        self.note(Fact::Over { track, forgotten });
    }

    fn note(&mut self, fact: Fact) {
        if let Some(facts) = &mut self.0 {
            facts.push(fact);
        }
    }
}
