//! TCP as RFC 9293 has it: sequence numbers, flags, states, and the reading of a connection
//! from the segments that crossed the wire.

mod flags;
mod reassembly;
mod seq;
mod state;
mod tracker;

pub use flags::Flags;
pub use reassembly::{Piece, Reassembly};
pub use seq::Seq;
pub use state::State;
pub use tracker::{AckPoint, Change, Changes, End, Mark, Placed, Tracker};
