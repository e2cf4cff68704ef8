//! What is counted of exchanges. Plain numbers: whoever adds to them has the page to himself.

use std::time::Duration;

use sockeye_http::Method;

use super::Note;

/// Methods that are counted by name.
pub(super) const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "MKCOL", "other"];

/// The first digits of statuses, 1 to 5.
pub(super) const CLASSES: usize = 5;

/// Upper bounds of what is counted together as one duration, in microseconds.
pub(super) const BOUNDS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    5_000_000, 30_000_000,
];

/// Counts of exchanges that are over.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: [[u64; CLASSES]; METHODS.len()],
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) cut: u64,
    /// How many took no longer than each bound and longer than the one before; the last ones took
    /// longer than all of them.
    pub(super) durations: [u64; BOUNDS.len() + 1],
    pub(super) time: Duration,
}

impl Tally {
    pub(super) fn add(&mut self, note: &Note<'_>) {
        let facts = &note.facts;
        let class = usize::from(facts.status / 100).clamp(1, CLASSES) - 1;
        self.requests[note.method.map_or(METHODS.len() - 1, place)][class] += 1;
        self.sent = self.sent.wrapping_add(facts.sent);
        self.received = self.received.wrapping_add(facts.received);
        self.cut += u64::from(facts.cut);
        let micros = u64::try_from(facts.duration.as_micros()).unwrap_or(u64::MAX);
        self.durations[BOUNDS.partition_point(|bound| *bound < micros)] += 1;
        self.time = self.time.saturating_add(facts.duration);
    }

    /// Adds another thread's counts.
    pub(super) fn join(&mut self, other: &Tally) {
        for (ours, theirs) in
            self.requests.iter_mut().flatten().zip(other.requests.iter().flatten())
        {
            *ours += theirs;
        }
        for (ours, theirs) in self.durations.iter_mut().zip(&other.durations) {
            *ours += theirs;
        }
        self.sent = self.sent.wrapping_add(other.sent);
        self.received = self.received.wrapping_add(other.received);
        self.cut += other.cut;
        self.time = self.time.saturating_add(other.time);
    }
}

fn place(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        _ => {
            let known = METHODS.iter().position(|name| *name == method.as_str());
            known.unwrap_or(METHODS.len() - 1)
        }
    }
}

/// A bound that a client can run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// A head that did not come in time.
    Head,
    /// Content of a request that did not come in time.
    Body,
    /// A connection that asked for nothing for too long.
    Idle,
    /// A client that took nothing for too long.
    Write,
    /// A request that took too long as a whole.
    Total,
    /// More connections of one address than may be.
    Connections,
    /// More requests of one address than may be.
    Rate,
    /// As many connections as may be, of all together.
    Full,
}

impl Limit {
    /// Every limit.
    pub const ALL: [Limit; 8] = [
        Limit::Head,
        Limit::Body,
        Limit::Idle,
        Limit::Write,
        Limit::Total,
        Limit::Connections,
        Limit::Rate,
        Limit::Full,
    ];

    /// As it is called in the metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Limit::Head => "head",
            Limit::Body => "body",
            Limit::Idle => "idle",
            Limit::Write => "write",
            Limit::Total => "total",
            Limit::Connections => "connections",
            Limit::Rate => "rate",
            Limit::Full => "full",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_its_place_and_others_share_one() {
        for (at, name) in METHODS.iter().enumerate() {
            let method = Method::from_bytes(name.as_bytes()).expect("a token");
            assert_eq!(place(&method), at, "{name}");
        }
        assert_eq!(place(&Method::from_bytes(b"BREW").expect("a token")), METHODS.len() - 1);
    }

    #[test]
    fn limits_are_in_the_order_of_their_numbers() {
        for (at, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, at);
        }
    }
}
