//! What is said of sockets of datagrams, before it is said in a language.

use sockeye_engine::probe::Direction;

use crate::datagram::Tally;
use crate::pair::DatagramWay;

/// A part of a picture of datagrams, or of their verdict.
pub(crate) enum Parcel<'a> {
    /// The title's beginning: the socket's number.
    Socket(u64),
    /// What stands in a cell.
    Cell,
    /// What leads a line.
    FirstInLine,
    /// The other end, where it has no name, and this one.
    ThePeer,
    Here,
    /// How many, and their bytes.
    Sum(&'a Tally),
    /// What went this way to peers that have no row.
    Others(Direction, &'a Tally),
    /// So many before those that are drawn.
    Earlier(u64),
    /// So many bytes of so many.
    Of(u64, u64),
    /// It arrived late.
    Late(&'a str),
    /// An error that was told later.
    Later(&'a str),
    /// All that went one way between two ends.
    Way(&'a DatagramWay),
    /// `x`, `x2`, late, and `?`.
    LegendOfLost,
    LegendOfTwice,
    LegendOfLate,
    LegendOfUnknown,
    /// What went this way.
    Moved(Direction, &'a Tally),
    NothingMoved,
    /// So many were truncated, and so many bytes lost.
    Truncated(u64, u64),
    /// The kernel dropped so many.
    Dropped(u64),
    /// So many calls failed with this error number, or were told of it later.
    Failed(i32, u64),
    Reported(i32, u64),
    /// So many with errors that are not told one by one.
    OtherReports(u64),
    OtherErrors(u64),
    /// Open for so many nanoseconds, or still.
    OpenFor(u64),
    StillOpen,
}
