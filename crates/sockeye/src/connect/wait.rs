//! Waiting for one of two things.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use sockeye_engine::sleep;

/// Which of two came first.
pub(super) enum Either<A, B> {
    One(A),
    Other(B),
}

/// The first of two futures that is done; the other one is dropped, unless it was lent.
pub(super) async fn first<A, B>(
    one: impl Future<Output = A>,
    other: impl Future<Output = B>,
) -> Either<A, B> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    std::future::poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Either::One(done)),
        Poll::Pending => other.as_mut().poll(cx).map(Either::Other),
    })
    .await
}

/// The same, waited for no longer than `patience`; None when that is over.
pub(super) async fn within<T>(
    patience: Option<Duration>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let Some(patience) = patience else { return Some(future.await) };
    match first(future, sleep(patience)).await {
        Either::One(done) => Some(done),
        Either::Other(()) => None,
    }
}
