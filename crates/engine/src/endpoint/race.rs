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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::sim::{Link, Net, Plan, Simulation};
    use crate::stream::Stream;

    const SLOW: &str = "[fd00::1]:7";
    const FAST: &str = "10.0.0.1:7";

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// Hosts a millisecond away, but for one whose answers take ten seconds.
    fn network() -> Simulation {
        let simulation = Simulation::new(1, Plan::default()).expect("a descriptor for the inbox");
        let slow = Link { delay: Duration::from_secs(5), ..Link::default() };
        simulation.net().set_link(host(address(SLOW)), address(SLOW).ip(), slow);
        simulation
    }

    /// Whom we connect from.
    fn host(peer: SocketAddr) -> IpAddr {
        let host = if peer.is_ipv6() { "fd00::99" } else { "10.0.0.99" };
        host.parse().expect("an address")
    }

    async fn raced(net: &Net, addresses: &[&str]) -> Result<Stream, Failures<SocketAddr>> {
        let addresses = addresses.iter().map(|text| address(text)).collect();
        race(interleave(addresses), |to| {
            let (net, to) = (net.clone(), *to);
            async move { net.connect(host(to), to, None).await }
        })
        .await
    }

    #[test]
    #[cfg_attr(miri, ignore = "needs sockets")]
    fn an_address_that_does_not_answer_holds_nobody_up_for_longer_than_the_stagger() {
        let simulation = network();
        let net = simulation.net();
        let done = simulation.run(async {
            let listeners = [SLOW, FAST].map(|at| net.listen(address(at), 16).expect("free"));
            let won = raced(&net, &[SLOW, FAST]).await.expect("one of them listens");
            assert_eq!(won.peer_addr().expect("connected"), address(FAST));
            let took = net.now();
            assert!(took >= STAGGER && took < STAGGER + Duration::from_millis(50), "{took:?}");
            drop((won, listeners));
        });
        done.expect("nobody waits for ever");
        assert_eq!(simulation.engine().usage().sockets, 0, "the loser is dropped");
    }

    #[test]
    #[cfg_attr(miri, ignore = "needs sockets")]
    fn the_preferred_address_wins_where_it_answers_in_time() {
        let simulation = network();
        let net = simulation.net();
        let done = simulation.run(async {
            let other = "[fd00::2]:7";
            let listeners = [other, FAST].map(|at| net.listen(address(at), 16).expect("free"));
            let won = raced(&net, &[other, FAST]).await.expect("both listen");
            assert_eq!(won.peer_addr().expect("connected"), address(other));
            assert!(net.now() < STAGGER, "{:?}", net.now());
            drop((won, listeners));
        });
        done.expect("nobody waits for ever");
    }

    #[test]
    #[cfg_attr(miri, ignore = "needs sockets")]
    fn a_slow_address_still_wins_when_the_others_have_refused() {
        let simulation = network();
        let net = simulation.net();
        let done = simulation.run(async {
            let listener = net.listen(address(SLOW), 16).expect("free");
            let won = raced(&net, &[SLOW, FAST, "10.0.0.2:7"]).await.expect("it listens");
            assert_eq!(won.peer_addr().expect("connected"), address(SLOW));
            drop((won, listener));
        });
        done.expect("nobody waits for ever");
    }

    #[test]
    #[cfg_attr(miri, ignore = "needs sockets")]
    fn a_refusal_starts_the_next_attempt_at_once_and_all_refusals_are_told_in_order() {
        let simulation = network();
        let net = simulation.net();
        let all = ["10.0.0.2:7", "[fd00::2]:7", "10.0.0.3:7"];
        let done = simulation.run(async {
            let failures = raced(&net, &all).await.expect_err("nobody listens");
            assert!(net.now() < STAGGER, "{:?}", net.now());
            let tried: Vec<String> = failures.iter().map(|(to, _)| to.to_string()).collect();
            assert_eq!(tried, all);
            for (_, error) in failures {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            }
        });
        done.expect("nobody waits for ever");
    }

    #[test]
    fn families_take_turns_beginning_with_the_preferred_one() {
        let order = |texts: &[&str]| {
            let addresses = texts.iter().map(|text| address(text)).collect();
            interleave(addresses).iter().map(SocketAddr::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            order(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"]),
            ["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"]
        );
        assert_eq!(order(&["1.1.1.1:1", "[::1]:1"]), ["1.1.1.1:1", "[::1]:1"]);
        assert!(order(&[]).is_empty());
    }
}
