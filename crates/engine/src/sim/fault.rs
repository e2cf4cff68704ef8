//! One thing that goes wrong in the simulated network, as a value and as a line of text.
//!
//! Connections, calls, segments and datagrams are counted from 1 in the order in which they happen.
//!
//! ```text
//! conn 3 refused
//! conn 3 reset at 1500us
//! conn 3 client segment 4 reset
//! conn 3 client segment 4 late 30000us
//! conn 3 server write 7 short 12
//! conn 3 server write 7 stalled 250000us
//! conn 3 server read 2 short 1
//! link 10.0.0.1 10.0.0.2 cut 20000us for 300000us
//! link 10.0.0.1 10.0.0.2 datagram 3 lost
//! link 10.0.0.1 10.0.0.2 datagram 3 twice
//! link 10.0.0.1 10.0.0.2 datagram 3 late 5000us
//! link 10.0.0.1 10.0.0.2 datagram 3 truncated 12
//! ```

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Who connected.
    Client,
    /// Who accepted.
    Server,
}

impl Side {
    /// The other end.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Client => "client",
            Side::Server => "server",
        })
    }
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The host answers the n-th connect with RST: `ECONNREFUSED`.
    Refused {
        /// Which connection.
        conn: u32,
    },
    /// Both ends get an RST out of nowhere, and what is on its way is lost.
    Reset {
        /// Which connection.
        conn: u32,
        /// Since the start; nothing happens if it is not open then.
        at: Duration,
    },
    /// A segment of a connection.
    Segment {
        /// Which connection.
        conn: u32,
        /// Who sent it.
        from: Side,
        /// Which one, FIN counted.
        number: u32,
        /// What becomes of it.
        what: SegmentFault,
    },
    /// A call at one end of a connection.
    Call {
        /// Which connection.
        conn: u32,
        /// Who calls.
        side: Side,
        /// What is called.
        what: CallFault,
        /// Which call of this kind; those that only say `EAGAIN` are not counted.
        number: u32,
    },
    /// Nothing gets from one host to the other, either way, for a time. What was sent meanwhile on a
    /// connection comes afterwards, as retransmission would bring it; datagrams are lost.
    Cut {
        /// The two hosts.
        between: (IpAddr, IpAddr),
        /// Since the start.
        from: Duration,
        /// For how long.
        lasting: Duration,
    },
    /// A datagram.
    Datagram {
        /// Who sent it.
        from: IpAddr,
        /// To whom.
        to: IpAddr,
        /// Which one on this way.
        number: u32,
        /// What becomes of it.
        what: DatagramFault,
    },
}

/// What becomes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SegmentFault {
    /// An RST comes to both ends in its place.
    Reset,
    /// It is lost and retransmitted: it, and all behind it, come so much later.
    Late(Duration),
}

/// What a call does other than it might.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallFault {
    /// `send(2)` takes at most so many bytes (at least 1) and then, for a round trip, none.
    ShortWrite(u32),
    /// `send(2)` finds no room for so long, whatever the peer reads.
    StalledWrite(Duration),
    /// `recv(2)` gives at most so many bytes (at least 1); the rest stays.
    ShortRead(u32),
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatagramFault {
    /// It never comes.
    Lost,
    /// It comes twice.
    Twice,
    /// It comes later, perhaps behind others.
    Late(Duration),
    /// The receiver has room for so many bytes only; the rest is cut off (`MSG_TRUNC`).
    Truncated(u32),
}

impl Fault {
    /// The connection it is about; None for a link's.
    #[must_use]
    pub fn connection(&self) -> Option<u32> {
        match *self {
            Fault::Refused { conn }
            | Fault::Reset { conn, .. }
            | Fault::Segment { conn, .. }
            | Fault::Call { conn, .. } => Some(conn),
            Fault::Cut { .. } | Fault::Datagram { .. } => None,
        }
    }

    /// Whether it ends a connection by itself, rather than only slowing it down.
    #[must_use]
    pub fn ends_connection(&self) -> bool {
        matches!(
            self,
            Fault::Refused { .. }
                | Fault::Reset { .. }
                | Fault::Segment { what: SegmentFault::Reset, .. }
        )
    }

    /// For how long it holds a connection up.
    #[must_use]
    pub fn delay(&self) -> Duration {
        match *self {
            Fault::Segment { what: SegmentFault::Late(time), .. }
            | Fault::Call { what: CallFault::StalledWrite(time), .. }
            | Fault::Cut { lasting: time, .. } => time,
            _ => Duration::ZERO,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Fault::Refused { conn } => write!(f, "conn {conn} refused"),
            Fault::Reset { conn, at } => write!(f, "conn {conn} reset at {}", Micros(at)),
            Fault::Segment { conn, from, number, what } => {
                write!(f, "conn {conn} {from} segment {number} ")?;
                match what {
                    SegmentFault::Reset => f.write_str("reset"),
                    SegmentFault::Late(time) => write!(f, "late {}", Micros(time)),
                }
            }
            Fault::Call { conn, side, what, number } => {
                write!(f, "conn {conn} {side} ")?;
                match what {
                    CallFault::ShortWrite(len) => write!(f, "write {number} short {len}"),
                    CallFault::StalledWrite(time) => {
                        write!(f, "write {number} stalled {}", Micros(time))
                    }
                    CallFault::ShortRead(len) => write!(f, "read {number} short {len}"),
                }
            }
            Fault::Cut { between: (one, other), from, lasting } => {
                write!(f, "link {one} {other} cut {} for {}", Micros(from), Micros(lasting))
            }
            Fault::Datagram { from, to, number, what } => {
                write!(f, "link {from} {to} datagram {number} ")?;
                match what {
                    DatagramFault::Lost => f.write_str("lost"),
                    DatagramFault::Twice => f.write_str("twice"),
                    DatagramFault::Late(time) => write!(f, "late {}", Micros(time)),
                    DatagramFault::Truncated(len) => write!(f, "truncated {len}"),
                }
            }
        }
    }
}

/// A line that is no fault.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{text:?} is no fault of the simulated network; one looks like \"conn 3 client write 2 short 5\""
)]
pub struct BadFault {
    text: String,
}

impl FromStr for Fault {
    type Err = BadFault;

    fn from_str(text: &str) -> Result<Fault, BadFault> {
        let words: Vec<&str> = text.split_whitespace().collect();
        parse(&words).ok_or_else(|| BadFault { text: text.to_owned() })
    }
}

fn parse(words: &[&str]) -> Option<Fault> {
    Some(match *words {
        ["conn", conn, "refused"] => Fault::Refused { conn: conn.parse().ok()? },
        ["conn", conn, "reset", "at", at] => {
            Fault::Reset { conn: conn.parse().ok()?, at: micros(at)? }
        }
        ["conn", conn, from, "segment", number, ref what @ ..] => Fault::Segment {
            conn: conn.parse().ok()?,
            from: side(from)?,
            number: number.parse().ok()?,
            what: match *what {
                ["reset"] => SegmentFault::Reset,
                ["late", time] => SegmentFault::Late(micros(time)?),
                _ => return None,
            },
        },
        ["conn", conn, at, call, number, how, amount] => Fault::Call {
            conn: conn.parse().ok()?,
            side: side(at)?,
            number: number.parse().ok()?,
            what: match (call, how) {
                ("write", "short") => CallFault::ShortWrite(amount.parse().ok()?),
                ("write", "stalled") => CallFault::StalledWrite(micros(amount)?),
                ("read", "short") => CallFault::ShortRead(amount.parse().ok()?),
                _ => return None,
            },
        },
        ["link", one, other, "cut", from, "for", lasting] => Fault::Cut {
            between: (one.parse().ok()?, other.parse().ok()?),
            from: micros(from)?,
            lasting: micros(lasting)?,
        },
        ["link", from, to, "datagram", number, ref what @ ..] => Fault::Datagram {
            from: from.parse().ok()?,
            to: to.parse().ok()?,
            number: number.parse().ok()?,
            what: match *what {
                ["lost"] => DatagramFault::Lost,
                ["twice"] => DatagramFault::Twice,
                ["late", time] => DatagramFault::Late(micros(time)?),
                ["truncated", len] => DatagramFault::Truncated(len.parse().ok()?),
                _ => return None,
            },
        },
        _ => return None,
    })
}

fn side(word: &str) -> Option<Side> {
    [Side::Client, Side::Server].into_iter().find(|side| side.to_string() == word)
}

fn micros(word: &str) -> Option<Duration> {
    Some(Duration::from_micros(word.strip_suffix("us")?.parse().ok()?))
}

struct Micros(Duration);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.0.as_micros())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_line_of_the_description_is_read_and_written_the_same() {
        let lines = include_str!("fault.rs").lines().skip_while(|line| !line.contains("```text"));
        let lines = lines.skip(1).take_while(|line| !line.contains("```"));
        let lines: Vec<_> = lines.map(|line| line.trim_start_matches("//! ")).collect();
        assert_eq!(lines.len(), 12);
        for line in lines {
            assert_eq!(line.parse::<Fault>().expect(line).to_string(), line);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(conn|link|[a-z0-9.]{0,9}| ){0,12}\\PC*") {
            if let Ok(fault) = text.parse::<Fault>() {
                prop_assert_eq!(fault.to_string().parse(), Ok(fault));
            }
        }
    }
}
