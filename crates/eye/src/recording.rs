//! What the eye saw, as a file: JSON Lines with a schema of its own, written while the eye looks on
//! and drawn again later.
//!
//! The first line is a [`Header`], each line after it one [`Record`]. The schema is published in
//! `docs/records.md`; [`VERSION`] counts what would make an older reader err. A reader passes over
//! kinds and fields it does not know, so that there may be more of them in the same version.
//!
//! ```text
//!  recorder (the eye) -> Writer -> FILE -> Reader -> Playback -> History -> view, as live
//! ```
//!
//! Which connection a record is of was found out while it was written, and stands in the file. Nothing
//! in the file is believed: numbers have bounds, lines have a length, and whoever writes a connection
//! that never ends finds that no more than [`Playback::MOST_OPEN`] are followed.

mod address;
mod epoch;
mod facts;
mod line;
mod names;
mod playback;
mod read;
mod schema;
mod write;

pub use epoch::Epoch;
pub use names::{Direction, FlagNames, Mark, Op, Point, Role, StateName};
pub use playback::{Ended, Ending, Playback};
pub use read::{ReadError, Reader};
pub use schema::{
    Acked, Aftermath, Both, Call, Close, Conn, Dgram, DgramDropped, DgramError, End, Facts, Finish,
    Header, Kernel, Limited, Listen, Loss, Msg, Open, Over, Queue, Record, Released, Sack, Seg,
    Socket, Stamp, State,
};
pub use write::Writer;

/// What the first line of every recording calls its format.
pub const FORMAT: &str = "sockeye-records";

/// The version of the schema that is written, and the newest one that is read.
pub const VERSION: u32 = 1;
