//! How much may lie in the folder.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::refusal::Refusal;
use sockeye_http::StatusCode;

/// How often what others wrote or removed is counted anew, at most, when there seems to be no room.
const RECOUNT: Duration = Duration::from_secs(10);

/// Bytes of all files beneath the root, kept up to date with each write of ours. Others may write
/// there as well: before anybody is refused, all is counted anew.
pub(super) struct Quota {
    limit: u64,
    state: Mutex<State>,
}

struct State {
    used: u64,
    /// When it was counted, Unix seconds.
    counted: i64,
}

/// Bytes that somebody holds; given back when it is dropped.
pub(super) struct Share {
    quota: Option<Arc<Quota>>,
    bytes: u64,
}

impl Quota {
    pub(super) fn new(limit: u64, used: u64, now: i64) -> Quota {
        Quota { limit, state: Mutex::new(State { used, counted: now }) }
    }

    /// Whether so many more bytes have room; `count` counts what there is. May block.
    pub(super) fn check(&self, bytes: u64, count: impl FnOnce() -> u64) -> Result<(), Refusal> {
        self.with_room(bytes, count).map(drop)
    }

    fn with_room(
        &self,
        bytes: u64,
        count: impl FnOnce() -> u64,
    ) -> Result<MutexGuard<'_, State>, Refusal> {
        let fits =
            |state: &State| state.used.checked_add(bytes).is_some_and(|sum| sum <= self.limit);
        let mut state = self.lock();
        let now = sockeye_engine::unix_now();
        let age = now.saturating_sub(state.counted);
        if !fits(&state) && u64::try_from(age).is_ok_and(|age| age >= RECOUNT.as_secs()) {
            // Meanwhile others go on; what they take is on the disk, or comes to it, either way.
            drop(state);
            let used = count();
            state = self.lock();
            *state = State { used, counted: now };
        }
        if fits(&state) {
            return Ok(state);
        }
        let detail = "the folder has no room for it (--quota); nothing was changed";
        Err(Refusal::new(StatusCode::INSUFFICIENT_STORAGE, detail))
    }

    /// So many bytes less lie in the folder.
    pub(super) fn removed(&self, bytes: u64) {
        let mut state = self.lock();
        state.used = state.used.saturating_sub(bytes);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Nothing yet, of a quota if there is one.
    pub(super) fn new(quota: Option<Arc<Quota>>) -> Share {
        Share { quota, bytes: 0 }
    }

    /// Takes more. May block.
    pub(super) fn take(&mut self, bytes: u64, count: impl FnOnce() -> u64) -> Result<(), Refusal> {
        if let Some(quota) = &self.quota {
            let mut state = quota.with_room(bytes, count)?;
            state.used = state.used.saturating_add(bytes);
            self.bytes = self.bytes.saturating_add(bytes);
        }
        Ok(())
    }

    /// It stays in the folder.
    pub(super) fn keep(&mut self) {
        self.bytes = 0;
    }

    /// Some of what was taken is not needed.
    pub(super) fn give_back(&mut self, bytes: u64) {
        if let Some(quota) = &self.quota {
            quota.removed(bytes);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(quota) = &self.quota {
            quota.removed(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_and_not_kept_is_given_back() {
        let now = sockeye_engine::unix_now();
        let quota = Arc::new(Quota::new(100, 40, now));
        let counted = || panic!("it was counted just now");
        let mut share = Share::new(Some(Arc::clone(&quota)));
        assert!(share.take(60, counted).is_ok());
        assert!(share.take(1, counted).is_err());
        share.give_back(10);
        assert!(share.take(10, counted).is_ok());
        drop(share);
        let mut share = Share::new(Some(Arc::clone(&quota)));
        assert!(share.take(60, counted).is_ok());
        share.keep();
        drop(share);
        assert!(quota.check(1, counted).is_err());
        quota.removed(1);
        assert!(quota.check(1, counted).is_ok());
        assert!(quota.check(u64::MAX, counted).is_err());
    }

    #[test]
    fn before_anybody_is_refused_all_is_counted_anew() {
        let long_ago = sockeye_engine::unix_now() - 100;
        let quota = Quota::new(100, 100, long_ago);
        assert!(quota.check(30, || 70).is_ok());
        // Not every time.
        assert!(quota.check(31, || 0).is_err());
    }
}
