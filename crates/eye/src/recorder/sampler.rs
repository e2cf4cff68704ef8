//! When queues are sampled: often while few connections are open and something happens, never so that
//! it takes more than a hundredth of a core, and not at all while nothing is open.
//!
//! What a sample takes is what the eye's thread has had of the processor: where it was woken for the
//! sample alone, all from going to sleep to going to sleep again.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use sockeye_engine::probe::Stamp;

use super::tap::{Seen, Taps};
use super::tracks::Tracks;
use crate::kernel::{DiagError, Queues};

/// Samples are no closer than this.
const FASTEST: Duration = Duration::from_millis(5);

/// Where nothing changes they are so far apart.
const SLOWEST: Duration = Duration::from_millis(320);

/// What one sample may take of the time to the next one.
const SHARE: u32 = 100;

/// The most connections asked about in one sample; of more, others are in the next one.
const MOST: usize = 256;

/// Asks about the queues of all that is open.
#[derive(Debug)]
pub(super) struct Sampler {
    queues: Queues,
    pace: Pace,
    /// How many connections are skipped in the next one.
    skip: usize,
}

impl Sampler {
    pub(super) fn new(queues: Queues, now: Instant) -> Sampler {
        Sampler { queues, pace: Pace::new(now), skip: 0 }
    }

    /// Something happens: the next sample may come as soon as the cost permits.
    pub(super) fn busy(&mut self) {
        self.pace.busy();
    }

    /// The thread is about to sleep: when [`Sampler::sample`] has something to do next.
    pub(super) fn settled(&mut self) -> Option<Instant> {
        self.pace.settle(processor_time());
        self.pace.due
    }

    /// The thread was woken because a sample is due, and for nothing else.
    pub(super) fn woken(&mut self) {
        self.pace.alone = true;
    }

    /// Takes a sample if it is time to.
    ///
    /// # Errors
    /// If the kernel can't be asked any more.
    pub(super) fn sample(
        &mut self,
        now: Instant,
        tracks: &mut Tracks,
        taps: &mut Taps,
    ) -> Result<(), DiagError> {
        if self.pace.due.is_some_and(|due| due > now) {
            return Ok(());
        }
        if !tracks.has_open() {
            self.pace.due = None;
            return Ok(());
        }
        let began = processor_time();
        let ends = tracks.open_ends(self.skip, MOST);
        self.skip = if ends.len() < MOST { 0 } else { self.skip + MOST };
        let asked: Vec<_> = ends.iter().map(|end| end.addresses).collect();
        let mut changed = false;
        self.queues.ask(&asked, |place, socket| {
            let Some(end) = ends.get(place) else { return };
            let sample = socket.sample(Stamp::now(), end.role);
            if let Some((track, new)) = tracks.queue(end.name, sample) {
                changed |= new;
                taps.see(&Seen::Queue { track, sample: &sample });
            }
        })?;
        self.pace.taken(now, began, processor_time(), changed);
        Ok(())
    }
}

/// When the next sample is due, by what those before it took. Readings of the thread's processor time
/// are handed in.
#[derive(Debug)]
struct Pace {
    /// `None` while nothing is open.
    due: Option<Instant>,
    /// When the last one was taken.
    last: Instant,
    every: Duration,
    /// The least that what they cost permits.
    permitted: Duration,
    /// What the last one cost.
    cost: Duration,
    /// The reading when the thread last went to sleep.
    asleep: Duration,
    /// It was woken for a sample alone.
    alone: bool,
    /// The reading after a sample, where all that follows until the thread sleeps is for it.
    sampled: Option<Duration>,
}

impl Pace {
    fn new(now: Instant) -> Pace {
        Pace {
            due: None,
            last: now,
            every: FASTEST,
            permitted: FASTEST,
            cost: Duration::ZERO,
            asleep: Duration::ZERO,
            alone: false,
            sampled: None,
        }
    }

    /// Something happens, for which the thread would be awake anyhow.
    fn busy(&mut self) {
        self.alone = false;
        self.every = self.permitted;
        if let Some(due) = &mut self.due {
            *due = (*due).min(self.last + self.every);
        }
    }

    /// A sample was taken between these two readings.
    fn taken(&mut self, now: Instant, began: Duration, ended: Duration, changed: bool) {
        let since = if self.alone { self.asleep } else { began };
        self.sampled = self.alone.then_some(ended);
        self.cost = ended.saturating_sub(since);
        // A sample that was held up once is no reason to be slow for long.
        self.permitted = (self.permitted / 2).max(self.cost * SHARE).max(FASTEST);
        self.every = match changed {
            true => self.permitted,
            false => (self.every * 2).min(SLOWEST).max(self.permitted),
        };
        self.last = now;
        self.due = Some(now + self.every);
    }

    /// The thread goes to sleep.
    fn settle(&mut self, reading: Duration) {
        self.alone = false;
        self.asleep = reading;
        if let Some(sampled) = self.sampled.take() {
            self.cost += reading.saturating_sub(sampled);
            self.permitted = self.permitted.max(self.cost * SHARE);
            self.every = self.every.max(self.permitted);
            self.due = Some(self.last + self.every);
        }
    }
}

/// What this thread has had of the processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread whose every step costs what the test says.
    struct Thread {
        pace: Pace,
        now: Instant,
        reading: Duration,
    }

    impl Thread {
        fn new() -> Thread {
            let now = Instant::now();
            Thread { pace: Pace::new(now), now, reading: Duration::ZERO }
        }

        fn works(&mut self, cost: Duration) -> Duration {
            self.reading += cost;
            self.now += cost;
            self.reading
        }

        /// Sleeps until a sample is due, wakes up for it, takes it and works on until it sleeps.
        fn samples(&mut self, wake: Duration, sample: Duration, rest: Duration, changed: bool) {
            self.now = self.pace.due.unwrap_or(self.now).max(self.now);
            self.pace.alone = true;
            let now = self.now;
            let began = self.works(wake);
            let ended = self.works(sample);
            self.pace.taken(now, began, ended, changed);
            let reading = self.works(rest);
            self.pace.settle(reading);
        }

        /// How far away the next one is from the last.
        fn wait(&self) -> Duration {
            self.pace.due.unwrap().duration_since(self.pace.last)
        }
    }

    #[test]
    fn samples_take_a_hundredth_of_the_time_whatever_they_and_their_wake_ups_cost() {
        let micros = Duration::from_micros;
        for (wake, sample, rest) in [(5, 10, 5), (90, 30, 20), (20, 30, 900), (4000, 9000, 100)] {
            for hurried in [false, true] {
                let mut thread = Thread::new();
                let start = thread.now;
                for turn in 0..200_u64 {
                    // Each costs something else.
                    let more = 1 + turn % 7;
                    let costs = [wake, sample, rest].map(|cost| micros(cost * more));
                    thread.samples(costs[0], costs[1], costs[2], turn % 3 > 0);
                    if hurried {
                        thread.pace.busy();
                    }
                }
                let elapsed = thread.pace.due.unwrap().duration_since(start);
                assert!(thread.reading * SHARE <= elapsed, "{:?} of {elapsed:?}", thread.reading);
                let most = micros(7 * (wake + sample + rest)) * SHARE;
                assert!(thread.wait() <= most.max(SLOWEST), "nor is it slower than it must be");
            }
        }
    }

    #[test]
    fn what_the_thread_does_for_others_is_no_cost_of_a_sample() {
        let mut thread = Thread::new();
        let second = Duration::from_secs(1);
        thread.pace.busy();
        let began = thread.works(second);
        let ended = thread.works(Duration::from_micros(30));
        thread.pace.taken(thread.now, began, ended, true);
        let reading = thread.works(second);
        thread.pace.settle(reading);
        assert_eq!(thread.wait(), FASTEST);
    }

    #[test]
    fn where_nothing_changes_samples_are_far_apart_until_something_happens() {
        let mut thread = Thread::new();
        let cheap = Duration::from_micros(10);
        thread.samples(cheap, cheap, cheap, true);
        let waits: Vec<_> = (0..8)
            .map(|_| {
                thread.samples(cheap, cheap, cheap, false);
                thread.wait().as_millis()
            })
            .collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 320, 320]);
        thread.pace.busy();
        assert_eq!(thread.wait(), FASTEST);
    }
}
