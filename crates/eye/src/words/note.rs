//! What stands beside and below pictures, before it is said in a language.

use sockeye_engine::probe::Role;

/// A note: a legend, a caption, or what is not drawn.
#[derive(Clone, Copy)]
pub(crate) enum Note<'a> {
    /// A title's beginning: the number of a connection.
    Connection(u64),
    /// One end of a connection, and whether it is the one looked from.
    End(Role, bool),
    /// What stands with `~` is concluded from this.
    ConcludedFrom(Source),
    /// What is found with `~` is not shown by what was seen.
    OnlySuggested,
    /// States are what the kernel told.
    TheKernelsStates,
    /// Whose clock two ends are drawn by.
    TheClientsClock,
    /// `x`: it never came.
    Lost,
    /// `x2`: it came twice.
    Doubled,
    /// `?`: the other end never sent it.
    Foreign,
    /// `+n`: milliseconds on the way.
    InFlight,
    /// `[a..b)`: bytes.
    Interval,
    /// `@n`: a place between two bytes.
    AtOffset,
    /// So many reads that found nothing.
    ReadsNotDrawn(u64),
    /// So many calls that found no room to send still.
    SendsNotDrawn(u64),
    /// So many rows.
    RowsNotDrawn(&'a str),
    /// A state lasts for so long still.
    Remaining(&'a str),
    /// More borders than columns.
    SeveralBorders,
    /// So many messages were meant, or read.
    Written(&'a str),
    Decoded(&'a str),
    /// So many messages, of which so many bytes never came.
    Missing(&'a str, &'a str),
    /// So many of something, and whether it is one.
    Count(Noun, &'a str, bool),
    /// So many of the calls were this one.
    OfThemSendfile(&'a str),
    /// Bytes in each, on average.
    Each(&'a str),
    /// At so many milliseconds, or within so many.
    At(&'a str),
    Within(&'a str),
    /// Marks share columns, so many are used.
    InColumns(u64),
    /// Segments that were sent again, came again, were lost, or are drawn as they came.
    SentAgain(u64),
    CameAgain(u64),
    LostOnTheWay(u64),
    LostInShort(&'a str),
    AsTheyCame(u64),
    NoBytes,
    /// So many connections more ended than were drawn.
    MoreEnded(u64),
    /// So many connections are still open; the peers of the first, and how many others.
    StillOpen(u64, &'a str, u64),
    /// So many connections, or sockets of datagrams, were not watched: there were more than so many.
    Unwatched(u64, usize),
    SocketsUnwatched(u64, usize),
    /// Of those looked on at, none was seen; and whether their packets would have been.
    NoneSeen(bool),
    /// So many records were lost.
    RecordsLost(u64),
    /// So many connections were never accepted.
    NeverAccepted(u64),
    /// Stamps of the kernel for calls.
    StampsFor(u64, u64),
    /// At most so much lay unread at this end, for so long at least; and its window was closed for so
    /// long at least.
    Unread(&'a str, Role, &'a str),
    UnreadInShort(&'a str),
    WindowShut(&'a str),
    /// At most so much of this end's waited for an ACK; and how much of it had not left.
    Unacknowledged(&'a str, Role),
    UnacknowledgedAlone(&'a str),
    UnacknowledgedInShort(&'a str),
    Unsent(&'a str),
}

/// What is counted.
#[derive(Clone, Copy)]
pub(crate) enum Noun {
    Call,
    Segment,
    Ack,
    Stamp,
}

/// What states that nobody told are concluded from.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    Calls,
    OurCalls,
    LaterSegments,
}
