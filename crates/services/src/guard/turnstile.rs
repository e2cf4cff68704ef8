//! What one address may do at a steady pace: a state machine without clock.

use std::time::Duration;

use sockeye_engine::Address;

use super::Rate;
use super::bucket::Price;
use super::senders::Senders;

/// Says of each address whether it may do one thing more. It remembers a bounded number of addresses;
/// those beyond share what one may do.
///
/// ```
/// use std::time::Duration;
/// use sockeye_engine::Address;
/// use sockeye_services::guard::{Rate, Turnstile};
///
/// let mut turnstile = Turnstile::new(Rate::of(2), 4096);
/// let peer = Address::from(([192, 0, 2, 1], 0));
/// let now = Duration::ZERO;
/// assert!(turnstile.lets(now, &peer) && turnstile.lets(now, &peer));
/// assert!(!turnstile.lets(now, &peer), "two at once");
/// assert!(turnstile.lets(now + Duration::from_millis(500), &peer), "and two each second");
/// ```
#[derive(Debug)]
pub struct Turnstile {
    senders: Senders,
}

impl Turnstile {
    /// Lets each of `addresses` do so much.
    #[must_use]
    pub fn new(rate: Rate, addresses: usize) -> Turnstile {
        // Nothing is asked for bytes.
        Turnstile { senders: Senders::new(addresses, rate, Rate::of(1)) }
    }

    /// Whether this one may now; if so, it has. `now` counts from anywhere, and never back.
    pub fn lets(&mut self, now: Duration, from: &Address) -> bool {
        self.senders.find(now, from).0.take(Price::of(1, 0))
    }
}
