//! A guard against storms of datagrams: a state machine without socket or clock.
//!
//! Datagrams have no connection that holds a sender back. Who answers them can be made to answer
//! without end: by one who sends fast, by a thousand who send a little, or by another such service
//! that takes each answer for a question. So whoever sends because something came asks a
//! [`StormGuard`] first.

mod bucket;
mod memory;
mod senders;
mod turnstile;

use std::fmt;
use std::time::Duration;

use sockeye_engine::Address;

use bucket::{Buckets, Price};
use memory::Memory;
use senders::Senders;
pub use turnstile::Turnstile;

/// Between two reports.
const SECOND: Duration = Duration::from_secs(1);

/// What may go at a steady pace, and at once after silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Each second.
    pub per_second: u64,
    /// At once. What is longer than this never goes.
    pub burst: u64,
}

impl Rate {
    /// So much each second, or a second's worth at once.
    #[must_use]
    pub const fn of(per_second: u64) -> Rate {
        Rate { per_second, burst: per_second }
    }
}

/// What a [`StormGuard`] lets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StormLimits {
    /// Datagrams that go out. Default 2000 a second.
    pub datagrams: Rate,
    /// Bytes of them. Default 4 MiB a second and 16 MiB at once: the longest datagram, to 255 others.
    pub bytes: Rate,
    /// Datagrams of one sender that are answered or passed on. Default 500 a second.
    pub sender_datagrams: Rate,
    /// Bytes of these. Default 1 MiB a second.
    pub sender_bytes: Rate,
    /// How long the same bytes of the same sender are repeats. Default 1 s. A datagram that takes
    /// longer to come round a loop of such services than this goes round for ever.
    pub window: Duration,
    /// How often the same bytes of the same sender go within a window. Default 1.
    pub copies: u32,
    /// Senders that are told apart; those beyond share what one may send, and whoever is told apart
    /// later begins with what is left of that. Default 4096.
    pub senders: usize,
}

impl Default for StormLimits {
    fn default() -> StormLimits {
        StormLimits {
            datagrams: Rate::of(2000),
            bytes: Rate { per_second: 4 << 20, burst: 16 << 20 },
            sender_datagrams: Rate::of(500),
            sender_bytes: Rate::of(1 << 20),
            window: Duration::from_secs(1),
            copies: 1,
            senders: 4096,
        }
    }
}

impl StormLimits {
    /// For a service that answers the sender alone: somebody who tries it out may say the same ten
    /// times. Twenty copies within ten seconds, so that two such services answer each other twenty
    /// times and no more unless a round takes half a second; otherwise as by default.
    #[must_use]
    pub fn answers() -> StormLimits {
        StormLimits { window: Duration::from_secs(10), copies: 20, ..StormLimits::default() }
    }
}

/// What was held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Storm {
    /// Datagrams whose sender had sent the same before.
    pub repeated: u64,
    /// Datagrams of senders that were too fast.
    pub hasty: u64,
    /// Datagrams that were too many beside those of others.
    pub beyond: u64,
}

impl Storm {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.repeated.saturating_add(self.hasty).saturating_add(self.beyond)
    }

    fn add(&mut self, held: Held) {
        let count = match held {
            Held::Repeated => &mut self.repeated,
            Held::Hasty => &mut self.hasty,
            Held::Beyond => &mut self.beyond,
        };
        *count = count.saturating_add(1);
    }
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.all() == 1 { "" } else { "s" };
        write!(f, "storm guard: {} datagram{plural} dropped (", self.all())?;
        let causes = [
            (self.repeated, "the same as before"),
            (self.hasty, "of senders too fast"),
            (self.beyond, "too many at once"),
        ];
        let mut separator = "";
        for (count, cause) in causes.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{separator}{count} {cause}")?;
            separator = ", ";
        }
        f.write_str(")")
    }
}

/// Why a datagram does not go.
#[derive(Clone, Copy, Debug)]
enum Held {
    Repeated,
    Hasty,
    Beyond,
}

/// Says of each datagram whether it may be answered or passed on.
///
/// - What goes out never exceeds the burst and the rate: from any moment on, at most `burst +
///   per_second × time` datagrams and bytes. Nor does what goes of one sender exceed its own, whether
///   it is told apart from others all the time or not.
/// - The same bytes of the same sender go once within a window (or as often as
///   [`StormLimits::copies`] says), so a datagram that comes back round a loop is stopped.
/// - The last quarter of the burst is for those who did not ask within the last second: a few who
///   send slowly are heard beside many who don't.
/// - It remembers one entry for each datagram that went within a window, which the rate bounds, and
///   one for each of [`StormLimits::senders`].
///
/// ```
/// use std::time::Duration;
/// use sockeye_engine::Address;
/// use sockeye_services::guard::{StormGuard, StormLimits};
///
/// let mut guard = StormGuard::new(StormLimits::default());
/// let peer = Address::from(([192, 0, 2, 1], 4000));
/// let mut now = Duration::ZERO;
/// // To be passed on to three others.
/// assert!(guard.allows(now, Some(&peer), b"hello", (3, 5)));
/// assert!(!guard.allows(now, Some(&peer), b"hello", (3, 5)), "a repeat");
/// now += Duration::from_secs(1);
/// let storm = guard.over(now).expect("something was held back");
/// assert_eq!(storm.to_string(), "storm guard: 1 datagram dropped (1 the same as before)");
/// assert!(guard.allows(now, Some(&peer), b"hello", (3, 5)), "said again");
/// ```
#[derive(Debug)]
pub struct StormGuard {
    limits: StormLimits,
    all: Buckets,
    senders: Senders,
    memory: Memory,
    held_back: Storm,
    /// Since the last report, or the first thing to report since it.
    since: Duration,
    totals: Storm,
}

impl StormGuard {
    /// A guard that has seen nothing.
    #[must_use]
    pub fn new(limits: StormLimits) -> StormGuard {
        StormGuard {
            limits,
            all: Buckets::new(limits.datagrams, limits.bytes),
            senders: Senders::new(limits.senders, limits.sender_datagrams, limits.sender_bytes),
            memory: Memory::new(limits.window, limits.copies),
            held_back: Storm::default(),
            since: Duration::ZERO,
            totals: Storm::default(),
        }
    }

    /// Whether `count` datagrams of `len` bytes each may be sent because of one from `from` with
    /// this payload; all of them or none. Nobody in the place of a sender is this program itself,
    /// which may say the same again and is held to the rate of all alone. `now` counts from
    /// anywhere, and never back.
    pub fn allows(
        &mut self,
        now: Duration,
        from: Option<&Address>,
        payload: &[u8],
        (count, len): (usize, usize),
    ) -> bool {
        match self.ask(now, from, payload, (count, len)) {
            Ok(()) => true,
            Err(held) => {
                if self.held_back == Storm::default() {
                    self.since = now;
                }
                self.held_back.add(held);
                self.totals.add(held);
                false
            }
        }
    }

    fn ask(
        &mut self,
        now: Duration,
        from: Option<&Address>,
        payload: &[u8],
        (count, len): (usize, usize),
    ) -> Result<(), Held> {
        self.all.refill(now);
        let price = Price::of(count, count.saturating_mul(len));
        let Some(from) = from else {
            return if self.all.take(price) { Ok(()) } else { Err(Held::Beyond) };
        };
        let (sender, quiet) = self.senders.find(now, from);
        let key = self.memory.key(from, payload);
        self.memory.forget(now);
        if self.memory.is_repeat(key) {
            return Err(Held::Repeated);
        }
        // What a sender is held to is what it sent, not how many there are to hear it.
        let own = Price::of(1, payload.len());
        if !sender.has(own) {
            return Err(Held::Hasty);
        }
        if !(if quiet { self.all.has(price) } else { self.all.has_beside_reserve(price) }) {
            return Err(Held::Beyond);
        }
        sender.take(own);
        self.all.take(price);
        self.memory.note(now, key);
        Ok(())
    }

    /// What was held back, once a second has passed since the first of it: told once, so at most
    /// one report a second.
    pub fn over(&mut self, now: Duration) -> Option<Storm> {
        let due = self.storms() && now.saturating_sub(self.since) >= SECOND;
        due.then(|| std::mem::take(&mut self.held_back))
    }

    /// What was held back and not told yet, whenever it was: for whoever makes an end.
    pub fn rest(&mut self) -> Option<Storm> {
        self.storms().then(|| std::mem::take(&mut self.held_back))
    }

    /// Whether there will be something to report within a second.
    #[must_use]
    pub fn storms(&self) -> bool {
        self.held_back != Storm::default()
    }

    /// All that was held back so far.
    #[must_use]
    pub fn totals(&self) -> Storm {
        self.totals
    }

    /// What it is held to.
    #[must_use]
    pub fn limits(&self) -> &StormLimits {
        &self.limits
    }
}

#[cfg(test)]
mod tests;
