//! What is said of two ends that were recorded both, before it is said in a language.

use sockeye_engine::probe::Role;

use crate::pair::{Clocks, Fate};

/// A part of what stands around the picture of two ends.
pub(crate) enum Said<'a> {
    /// The title's beginning.
    BothEnds,
    /// Only the addresses tell that it is one connection.
    KnownByAddresses,
    /// Only the initial sequence numbers do; the addresses as the server has them.
    KnownByNumbers(&'a str),
    /// How far the clocks are apart: the server's from the client's, or that of this address from the
    /// other's. Without the words before it.
    Clocks(&'a Clocks, Option<&'a str>),
    /// What the next is about, to stand before it: the clocks, the way, an end's verdict.
    OfClocks,
    OfWay,
    OfEnd(Role),
    /// So long there and back, when it took least.
    ThereAndBack(&'a str),
    /// So long in flight to this end; as the longest alone.
    InFlight(&'a str, Role),
    UpToInFlight(&'a str, Role),
    /// So many segments met this fate; those that arrived are not told.
    Met(Fate, u64),
}
