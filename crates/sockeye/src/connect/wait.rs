//! Waiting no longer than one wants to.

use std::time::Duration;

use sockeye_engine::{Either, first, sleep};

/// What the future gives, waited for no longer than `patience`; None when that is over.
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
