//! What samples of both ends' queues, and the kernel's last words on them, come to.

use sockeye_engine::probe::{Role, Stamp};
use sockeye_wire::tcp::State;

use crate::record::{Certainty, Event, History, QueuePeaks, QueueSample, StateChange};

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

/// What can be said only when all is told.
pub(super) fn finish(history: &mut History) {
    uncount_fins(history);
    // Of others, the list of their sockets told of states as it was asked.
    let listed =
        history.neutral && history.events.head().any(|event| matches!(event, Event::State(_)));
    if !history.captured && !listed {
        put_in_states(history);
    }
}

/// The kernel's last counts have a FIN among them, where there was one; that is known by now.
fn uncount_fins(history: &mut History) {
    let course = &history.course;
    let [received, sent] = course.fin.map(|fin| fin.is_some());
    let received = received || course.end_of_stream.is_some();
    let ours_sent = history.totals.bytes[1];
    let minus = |count: &mut Option<u64>, fin: bool| {
        *count = count.map(|bytes| bytes.saturating_sub(u64::from(fin)));
    };
    let [ours, peers] = &mut history.ends;
    if let Some(ours) = ours {
        minus(&mut ours.facts.bytes_received, received);
        match history.captured {
            true => minus(&mut ours.facts.bytes_acked, sent),
            // No more was acknowledged than was sent.
            false => {
                let acked = &mut ours.facts.bytes_acked;
                *acked = acked.map(|bytes| bytes.min(ours_sent));
            }
        }
    }
    if let Some(peers) = peers {
        minus(&mut peers.facts.bytes_acked, received);
        match history.captured {
            true => minus(&mut peers.facts.bytes_received, sent),
            false => {
                let taken = &mut peers.facts.bytes_received;
                *taken = taken.map(|bytes| bytes.min(ours_sent));
            }
        }
    }
}

/// Puts the states that the kernel told among those concluded from calls, and takes out what they
/// show to be none. A state that only one sample found was gone before the next one, and calls may tell
/// of it better than the moment of a sample.
fn put_in_states(history: &mut History) {
    let ours = history.role;
    let mut samples: Vec<&QueueSample> = history.queues.iter().collect();
    samples.sort_by_key(|sample| sample.at);
    let mut told: Vec<&QueueSample> = Vec::new();
    let mut last = [None::<&QueueSample>; 2];
    for sample in samples {
        let before = last[usize::from(sample.end != ours)].replace(sample);
        told.extend(before.filter(|before| before.state == sample.state));
    }
    told.sort_by_key(|sample| sample.at);
    let mut concluded = std::mem::take(&mut history.inferred);
    concluded.sort_by_key(|change| change.at);
    let mut concluded = concluded.into_iter().peekable();
    let mut states = [None::<State>; 2];
    let mut all: Vec<StateChange> = Vec::new();
    let mut enter = |end: Role, from: Option<State>, to: State, at: Stamp, certainty: Certainty| {
        let state = &mut states[usize::from(end != ours)];
        if *state == Some(to) {
            return;
        }
        let from = state.replace(to).or(from).unwrap_or(to);
        all.push(StateChange { at, end, from, to, certainty });
    };
    for sample in told {
        while let Some(change) = concluded.next_if(|change| change.at <= sample.at) {
            enter(change.end, Some(change.from), change.to, change.at, change.certainty);
        }
        enter(sample.end, None, sample.state, sample.at, Certainty::Exact);
    }
    for change in concluded {
        enter(change.end, Some(change.from), change.to, change.at, change.certainty);
    }
    history.inferred = all;
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
