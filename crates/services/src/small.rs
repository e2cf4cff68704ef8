//! The small services (RFC 862 to 867), for trying out everything around them.
//!
//! Echo and discard over streams are in [`echo`](crate::echo).

mod chargen;
pub mod datagram;
mod daytime;

pub use chargen::chargen;
pub use daytime::{daytime, daytime_line};
