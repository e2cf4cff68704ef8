//! Happy eyeballs (RFC 8305): addresses are tried one after another, the next one when the last
//! has failed or let itself be waited for; the first that succeeds is it, and the others are dropped.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use crate::engine::{Sleep, sleep};

/// How long an attempt goes on alone ("Connection Attempt Delay", RFC 8305 §5).
pub(super) const STAGGER: Duration = Duration::from_millis(250);

/// In turns one of each family, beginning with that of the first (RFC 8305 §4).
pub(super) fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut order = Vec::new();
    loop {
        let before = order.len();
        order.extend(one.next());
        order.extend(other.next());
        if order.len() == before {
            return order;
        }
    }
}

/// What came of each attempt that failed, in the order they were begun.
pub(super) type Failures<A> = Vec<(A, io::Error)>;

/// The first success of `attempt`, or why each one failed. Dropping the future drops all attempts.
pub(super) async fn race<A, T, F>(
    addresses: Vec<A>,
    attempt: impl Fn(&A) -> F,
) -> Result<T, Failures<A>>
where
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = VecDeque::from(addresses);
    let mut racing: Vec<Racing<A, F>> = Vec::new();
    let mut failures: Vec<(usize, A, io::Error)> = Vec::new();
    let mut pause: Option<Sleep> = None;
    let mut begun = 0;
    std::future::poll_fn(|cx| {
        loop {
            // What has been begun first is asked first.
            let mut at = 0;
            while let Some(one) = racing.get_mut(at) {
                match one.future.as_mut().poll(cx) {
                    Poll::Pending => at += 1,
                    Poll::Ready(Ok(won)) => return Poll::Ready(Some(won)),
                    Poll::Ready(Err(error)) => {
                        let one = racing.remove(at);
                        failures.push((one.number, one.address, error));
                        // Who comes next need not wait any longer.
                        pause = None;
                    }
                }
            }
            let over = pause.as_mut().is_none_or(|pause| Pin::new(pause).poll(cx).is_ready());
            if !over {
                return Poll::Pending;
            }
            pause = None;
            match waiting.pop_front() {
                Some(address) => {
                    let future = Box::pin(attempt(&address));
                    racing.push(Racing { number: begun, address, future });
                    begun += 1;
                    pause = (!waiting.is_empty()).then(|| sleep(STAGGER));
                }
                None if racing.is_empty() => return Poll::Ready(None),
                None => return Poll::Pending,
            }
        }
    })
    .await
    .ok_or_else(|| {
        failures.sort_by_key(|(number, ..)| *number);
        failures.into_iter().map(|(_, address, error)| (address, error)).collect()
    })
}

struct Racing<A, F> {
    number: usize,
    address: A,
    future: Pin<Box<F>>,
}
