//! The kernel's counters as they stand in a file, and as the eye has them.

use super::names::StateName;
use super::schema::{Both, Facts, Limited};
use crate::record::KernelFacts;

impl Facts {
    pub(super) fn of(facts: &KernelFacts) -> Facts {
        // The kernel tells what was sent first.
        let both = |(sent, received)| Both { received, sent };
        Facts {
            state: facts.state.map(StateName),
            rtt_us: facts.rtt_us,
            retransmits: facts.retransmits,
            bytes_acked: facts.bytes_acked,
            bytes_received: facts.bytes_received,
            segments: facts.segments.map(both),
            mss: facts.mss.map(both),
            unread: facts.unread,
            unacked: facts.unacked,
            resets: facts.resets,
            limited_us: facts.limited_us.map(|(window, buffer)| Limited { window, buffer }),
        }
    }

    pub(super) fn facts(&self) -> KernelFacts {
        let pair = |both: Both<u32>| (both.sent, both.received);
        KernelFacts {
            state: self.state.map(|state| state.0),
            rtt_us: self.rtt_us,
            retransmits: self.retransmits,
            bytes_acked: self.bytes_acked,
            bytes_received: self.bytes_received,
            segments: self.segments.map(pair),
            mss: self.mss.map(pair),
            unread: self.unread,
            unacked: self.unacked,
            resets: self.resets,
            limited_us: self.limited_us.map(|limited| (limited.window, limited.buffer)),
        }
    }
}
