//! The simulated network: hosts, connections and datagrams inside one process, on a virtual clock.
//!
//! Everything that happens follows from a seed and a [`Plan`] of faults, so that a failure can be
//! run again, written down and shortened. The network itself is pure; the driver `sim` lets tasks
//! wait for it.

mod connection;
mod datagram;
mod fault;
mod link;
pub(crate) mod model;
mod network;
mod plan;
mod queue;
mod random;
mod simulation;
mod transcript;
mod trouble;

#[cfg(test)]
mod tests;

pub use fault::{BadFault, CallFault, DatagramFault, Fault, SegmentFault, Side};
pub use link::Link;
pub use plan::{Plan, Scope};
pub use random::{Purpose, Random};
pub use simulation::{Acceptor, Dial, Net, Simulation, Stuck};
