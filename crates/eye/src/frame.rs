//! Units as they were captured, kept to be looked at layer by layer.

use sockeye_engine::probe::Stamp;
use sockeye_wire::packet::Link;

/// One captured unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When the kernel stamped it.
    pub at: Stamp,
    /// What it begins with.
    pub link: Link,
    /// Its first bytes, as many as were kept.
    pub bytes: Vec<u8>,
    /// How long it was on the wire, in bytes.
    pub length: usize,
}
