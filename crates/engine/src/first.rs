//! Waiting for one of two things.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Which of two futures was done first, and what it gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first one.
    One(A),
    /// The second one.
    Other(B),
}

/// Whichever of the two is done first; the first one if both are. The other one is dropped, unless it
/// was lent.
///
/// ```
/// use std::future::{pending, ready};
/// use std::time::Duration;
/// use sockeye_engine::{DriverKind, Either, Engine, first, sleep};
///
/// # fn main() -> std::io::Result<()> {
/// Engine::new(DriverKind::Poll)?.block_on(async {
///     assert_eq!(first(ready(1), ready(2)).await, Either::One(1));
///     let late = first(pending::<()>(), sleep(Duration::from_millis(1))).await;
///     assert_eq!(late, Either::Other(()));
/// });
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
///
/// That of both futures.
pub async fn first<A: Future, B: Future>(one: A, other: B) -> Either<A::Output, B::Output> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Either::One(done)),
        Poll::Pending => other.as_mut().poll(cx).map(Either::Other),
    })
    .await
}
