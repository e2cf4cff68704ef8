//! When queues are sampled: often while few connections are open and something happens, never so that
//! it takes more than about a hundredth of a core, and not at all while nothing is open.

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

/// What waking up for it costs, beyond what can be measured from inside.
const WAKE: Duration = Duration::from_micros(20);

/// The most connections asked about in one sample; of more, others are in the next one.
const MOST: usize = 256;

/// Asks about the queues of all that is open.
#[derive(Debug)]
pub(super) struct Sampler {
    queues: Queues,
    /// When the next sample is due; `None` while nothing is open.
    due: Option<Instant>,
    /// When the last one was taken.
    last: Instant,
    every: Duration,
    /// The least that what they cost permits.
    permitted: Duration,
    /// How many connections are skipped in the next one.
    skip: usize,
}

impl Sampler {
    pub(super) fn new(queues: Queues, now: Instant) -> Sampler {
        Sampler { queues, due: None, last: now, every: FASTEST, permitted: FASTEST, skip: 0 }
    }

    /// When [`Sampler::sample`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Something happens: the next sample may come as soon as the cost permits.
    pub(super) fn hurry(&mut self) {
        self.every = self.permitted;
        if let Some(due) = &mut self.due {
            *due = (*due).min(self.last + self.every);
        }
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
        if self.due.is_some_and(|due| due > now) {
            return Ok(());
        }
        if !tracks.has_open() {
            self.due = None;
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
        let took = processor_time().saturating_sub(began) + WAKE;
        self.pace(now, took, changed);
        Ok(())
    }

    /// Sets when the next one is due.
    fn pace(&mut self, now: Instant, took: Duration, changed: bool) {
        // A sample that was held up once is no reason to be slow for long.
        self.permitted = (self.permitted / 2).max(took * SHARE).max(FASTEST);
        self.every = match changed {
            true => self.permitted,
            false => (self.every * 2).min(SLOWEST).max(self.permitted),
        };
        self.last = now;
        self.due = Some(now + self.every);
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

    fn sampler(now: Instant) -> Sampler {
        Sampler::new(Queues::open().unwrap(), now)
    }

    #[test]
    fn samples_take_a_hundredth_of_the_time_whatever_they_cost() {
        let now = Instant::now();
        let mut sampler = sampler(now);
        sampler.pace(now, Duration::from_micros(30), true);
        assert_eq!(sampler.due(), Some(now + FASTEST));
        sampler.pace(now, Duration::from_millis(9), true);
        assert_eq!(sampler.due(), Some(now + Duration::from_millis(900)));
        sampler.pace(now, Duration::from_millis(9), false);
        sampler.hurry();
        assert_eq!(sampler.due(), Some(now + Duration::from_millis(900)), "not even in a hurry");
    }

    #[test]
    fn where_nothing_changes_samples_are_far_apart_until_something_happens() {
        let now = Instant::now();
        let mut sampler = sampler(now);
        let cheap = Duration::from_micros(30);
        sampler.pace(now, cheap, true);
        let waits: Vec<_> = (0..8)
            .map(|_| {
                sampler.pace(now, cheap, false);
                sampler.due().unwrap().duration_since(now).as_millis()
            })
            .collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 320, 320]);
        sampler.hurry();
        assert_eq!(sampler.due(), Some(now + FASTEST));
    }
}
