//! What samples of an end's queues come to.

use sockeye_engine::probe::Stamp;

use crate::record::{QueuePeaks, QueueSample};

/// The last sample of each end, ours first.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: [Option<Found>; 2],
}

/// What the next sample is held against.
#[derive(Clone, Copy, Debug)]
struct Found {
    at: Stamp,
    unread: bool,
    waiting: bool,
    shut: bool,
}

impl Pace {
    /// Adds one more sample of this end.
    pub(super) fn add(&mut self, peaks: &mut QueuePeaks, whose: usize, sample: &QueueSample) {
        peaks.samples += 1;
        peaks.receive = peaks.receive.max(sample.receive);
        peaks.send = peaks.send.max(sample.send);
        peaks.unsent = peaks.unsent.max(sample.unsent.unwrap_or(0));
        let unread = sample.receive > 0;
        let shut = unread && sample.receive_window == Some(0);
        let now = Found { at: sample.at, unread, waiting: sample.send > 0, shut };
        if let Some(before) = self.last[whose].replace(now) {
            let passed = sample.at.0.saturating_sub(before.at.0);
            peaks.unread += if before.unread && unread { passed } else { 0 };
            peaks.waiting += if before.waiting && now.waiting { passed } else { 0 };
            peaks.shut += if before.shut && shut { passed } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use sockeye_engine::probe::Role;
    use sockeye_wire::tcp::State;

    use super::*;

    fn sample(at: u64, receive: u32, window: u32) -> QueueSample {
        QueueSample {
            at: Stamp(at),
            end: Role::Server,
            state: State::Established,
            receive,
            send: 7,
            unsent: Some(3),
            send_window: None,
            receive_window: Some(window),
            rtt_us: None,
            congestion_window: None,
            retransmits: None,
        }
    }

    #[test]
    fn time_counts_between_two_samples_that_agree() {
        let (mut pace, mut peaks) = (Pace::default(), QueuePeaks::default());
        for (at, receive, window) in
            [(10, 0, 9), (20, 5, 9), (30, 90, 0), (45, 90, 0), (50, 80, 9), (70, 0, 9)]
        {
            pace.add(&mut peaks, 0, &sample(at, receive, window));
        }
        let expected = QueuePeaks {
            samples: 6,
            receive: 90,
            send: 7,
            unsent: 3,
            shut: 15,
            waiting: 60,
            unread: 30,
        };
        assert_eq!(peaks, expected);
    }

    #[test]
    fn each_end_has_a_pace_of_its_own() {
        let (mut pace, mut peaks) = (Pace::default(), [QueuePeaks::default(); 2]);
        for (at, whose) in [(10, 0), (20, 1), (30, 0), (50, 1)] {
            pace.add(&mut peaks[whose], whose, &sample(at, 1, 9));
        }
        assert_eq!(peaks.map(|peaks| peaks.unread), [20, 30]);
    }
}
