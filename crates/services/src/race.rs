//! Waiting for one of two things.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// What came first.
pub(crate) enum First<A, B> {
    Left(A),
    Right(B),
}

/// Whichever of the two is done first; the left one if both are. The other one is dropped.
pub(crate) async fn race<A: Future, B: Future>(left: A, right: B) -> First<A::Output, B::Output> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| match left.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(First::Left(done)),
        Poll::Pending => right.as_mut().poll(cx).map(First::Right),
    })
    .await
}
