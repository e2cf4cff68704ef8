//! A broker of datagrams: what one sender sends goes to all others that were heard of lately.

use std::io;
use std::time::Duration;

use sockeye_engine::{Address, Datagram, elapsed};

use crate::guard::{Storm, StormGuard, StormLimits};

/// Senders known at once; a new one takes the place of the one silent longest.
const SENDERS: usize = 256;

/// How long a sender is known after its last datagram.
const KNOWN: Duration = Duration::from_secs(300);

/// Passes on what comes until the thread is asked to stop: the number of datagrams that came. A
/// datagram goes to every other address that has sent one within five minutes, 256 at most, as far
/// as the limits allow, if `lets_in` lets its sender in; `told` hears of what they held back. What can't be sent at once is lost, as
/// datagrams are.
///
/// # Errors
///
/// What [`Datagram::recv`] says, but for news that an earlier datagram did not arrive.
///
/// # Cancel safety
///
/// Dropping the future closes the socket.
pub async fn broker_datagrams(
    socket: Datagram,
    limits: StormLimits,
    lets_in: impl Fn(&Address) -> bool,
    mut told: impl FnMut(Storm),
) -> io::Result<u64> {
    let mut guard = StormGuard::new(limits);
    let mut known: Vec<(Address, Duration)> = Vec::new();
    let mut received = 0;
    loop {
        socket.set_deadline(guard.storms().then_some(Duration::from_secs(1)));
        let message = match socket.recv_idle().await {
            Ok(Some(message)) => Some(message),
            Ok(None) => {
                guard.rest().into_iter().for_each(&mut told);
                return Ok(received);
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => None,
            // An ICMP message about somebody who is gone.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => None,
            Err(error) => return Err(error),
        };
        let now = elapsed();
        guard.over(now).into_iter().for_each(&mut told);
        let Some(message) = message else { continue };
        let Some(from) = message.from.filter(&lets_in) else { continue };
        received += 1;
        known.retain(|(known, at)| *known != from && now.saturating_sub(*at) < KNOWN);
        if known.len() >= SENDERS {
            known.remove(0);
        }
        if guard.allows(now, Some(&from), &message.bytes, (known.len(), message.bytes.len())) {
            for (other, _) in &known {
                let _ = socket.try_send_to(&message.bytes, Some(other));
            }
        }
        // In the order of when they were last heard of.
        known.push((from, now));
    }
}
