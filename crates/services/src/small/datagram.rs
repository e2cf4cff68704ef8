//! Echo, discard, chargen and daytime over datagrams.
//!
//! Who sends datagrams can lie about where he is, so an answer may hit somebody who asked for
//! nothing. No answer of echo and chargen is longer than its question, none goes to a port at which
//! such a service answers again, and a [`StormGuard`] bounds them all.

use std::io;
use std::time::Duration;

use sockeye_engine::{Address, Datagram, elapsed};

use super::chargen::beginning;
use super::daytime::daytime_line;
use crate::guard::{Storm, StormGuard, StormLimits};

/// Ports of echo, discard, daytime, quote of the day, chargen and time (RFC 862 to 868).
const SMALL: [u16; 6] = [7, 9, 13, 17, 19, 37];

/// A service that answers each datagram, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Small {
    /// Sends it back (RFC 862).
    Echo,
    /// Does nothing (RFC 863).
    Discard,
    /// Sends characters, no more than came and at most 512 (RFC 864).
    Chargen,
    /// Sends the time (RFC 867).
    Daytime,
}

/// What whoever runs the service should know.
#[derive(Debug)]
pub enum SmallNotice<'a> {
    /// The guard held answers back.
    Storm(Storm),
    /// A datagram was longer than there was room for: its sender and its true length.
    Truncated(Option<&'a Address>, usize),
    /// An answer could not be sent.
    Unsent(&'a Address, io::Error),
}

/// Answers datagrams until the thread is asked to stop: the number of bytes that came. Senders that
/// `lets_in` does not let in are not heard.
///
/// # Errors
///
/// What [`Datagram::recv`] says, but for news that an earlier answer did not arrive.
///
/// # Cancel safety
///
/// Dropping the future closes the socket.
pub async fn answer_datagrams(
    socket: Datagram,
    small: Small,
    limits: StormLimits,
    lets_in: impl Fn(&Address) -> bool,
    mut told: impl FnMut(SmallNotice<'_>),
) -> io::Result<u64> {
    let mut guard = StormGuard::new(limits);
    let mut received = 0;
    let local = socket.local_addr().ok();
    loop {
        // Only a storm has to be told of when it is over.
        socket.set_deadline(guard.storms().then_some(Duration::from_secs(1)));
        let message = match socket.recv_idle().await {
            Ok(Some(message)) => Some(message),
            Ok(None) => {
                guard.rest().into_iter().for_each(|storm| told(SmallNotice::Storm(storm)));
                return Ok(received);
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => None,
            // An ICMP message about somebody who is gone.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => None,
            Err(error) => return Err(error),
        };
        let now = elapsed();
        guard.over(now).into_iter().for_each(|storm| told(SmallNotice::Storm(storm)));
        let Some(message) = message else { continue };
        if !message.from.as_ref().is_none_or(&lets_in) {
            continue;
        }
        received += u64::try_from(message.len).unwrap_or(u64::MAX);
        if message.truncated {
            told(SmallNotice::Truncated(message.from.as_ref(), message.len));
        }
        let Some(from) = message.from.as_ref().filter(|from| may_answer(from, local.as_ref()))
        else {
            continue;
        };
        let line;
        let answer = match small {
            Small::Discard => continue,
            Small::Echo => &message.bytes[..],
            Small::Chargen => beginning(message.bytes.len()),
            Small::Daytime => {
                line = daytime_line();
                line.as_bytes()
            }
        };
        if !guard.allows(now, Some(from), &message.bytes, (1, answer.len())) {
            continue;
        }
        // What the kernel has no room for is lost, as datagrams are.
        if let Err(error) = socket.try_send_to(answer, Some(from))
            && error.kind() != io::ErrorKind::WouldBlock
        {
            told(SmallNotice::Unsent(from, error));
        }
    }
}

/// Answers the packets of one connection (unix(7), `SOCK_SEQPACKET`) until the peer has sent all or
/// the thread is asked to stop: the number of bytes that came. Nobody can lie there about where he
/// is, and a peer that does not read is held back.
///
/// # Errors
///
/// What [`Datagram::recv`] and [`Datagram::send`] say.
///
/// # Cancel safety
///
/// Dropping the future closes the connection.
pub async fn answer_packets(socket: Datagram, small: Small, patience: Duration) -> io::Result<u64> {
    let mut received = 0;
    loop {
        socket.set_deadline(Some(patience));
        let Some(message) = socket.recv_idle().await?.filter(|message| message.len > 0) else {
            return Ok(received);
        };
        received += u64::try_from(message.len).unwrap_or(u64::MAX);
        match small {
            Small::Discard => {}
            Small::Echo => socket.send(&message.bytes).await?,
            Small::Chargen => socket.send(beginning(message.bytes.len())).await?,
            Small::Daytime => socket.send(daytime_line().as_bytes()).await?,
        }
    }
}

/// Not itself, not those that would answer again, and not somebody without a name.
fn may_answer(from: &Address, local: Option<&Address>) -> bool {
    match from {
        Address::Ip(ip) => ip.port() != 0 && !SMALL.contains(&ip.port()) && local != Some(from),
        Address::Unix(sockeye_engine::UnixAddress::Unnamed) => false,
        Address::Unix(_) => local != Some(from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_answered_who_would_answer_again() {
        let address = |port| Address::from(([127, 0, 0, 1], port));
        let local = address(5000);
        assert!(may_answer(&address(5001), Some(&local)));
        assert!(!may_answer(&local, Some(&local)));
        for port in SMALL.into_iter().chain([0]) {
            assert!(!may_answer(&address(port), Some(&local)), "{port}");
        }
        assert!(!may_answer(&Address::Unix(sockeye_engine::UnixAddress::Unnamed), None));
    }
}
