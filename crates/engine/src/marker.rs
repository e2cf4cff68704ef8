//! Telling whoever looks on of the messages of a stream, without the stream.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use crate::probe::{ConnId, Direction};
use crate::reactor::Reactor;
use crate::stream::Stream;

/// Marks messages as [`Stream::mark`] does, for whoever decodes a stream that is another's.
///
/// What it marks after the stream is closed may be told to nobody.
#[derive(Clone)]
pub struct Marker {
    reactor: Rc<Reactor>,
    conn: ConnId,
}

impl Marker {
    /// As [`Stream::mark`].
    pub fn mark(&self, direction: Direction, range: Range<u64>, label: fmt::Arguments<'_>) {
        if let Some(probe) = &self.reactor.env.probe {
            probe.message(self.conn, direction, range, label);
        }
    }
}

impl fmt::Debug for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marker").field("conn", &self.conn).finish_non_exhaustive()
    }
}

impl Stream {
    /// A marker of this stream's messages; None where nobody looks on, so that labels need not be
    /// thought of.
    #[must_use]
    pub fn marker(&self) -> Option<Marker> {
        let reactor = Rc::clone(&self.reactor);
        reactor.env.probe.is_some().then_some(Marker { reactor, conn: self.id() })
    }
}
