//! Keys that one holder has for a while.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::{ControlKey, Version};

/// A key that is ours until it expires: renew it in good time, or release it.
///
/// Dropping a lease leaves it to expire.
#[derive(Debug)]
pub struct Lease {
    /// The key.
    key: ControlKey,
    /// Under which name it was acquired.
    holder: Bytes,
    /// For how long, from each renewal; whole seconds.
    ttl: Duration,
    /// Every renewal is a change of the key, and moves this.
    state: Mutex<LeaseState>,
}

/// Where a lease stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaseState {
    /// Our last change of the key.
    pub(crate) version: Version,
    /// A renewal got no answer: it may have moved the key beyond `version`.
    pub(crate) in_doubt: bool,
}

impl Lease {
    pub(crate) fn new(key: ControlKey, holder: Bytes, ttl: Duration, version: Version) -> Self {
        Self { key, holder, ttl, state: Mutex::new(LeaseState { version, in_doubt: false }) }
    }

    /// Which key it is.
    pub fn key(&self) -> &ControlKey {
        &self.key
    }

    /// Under which name it was acquired.
    pub fn holder(&self) -> &Bytes {
        &self.holder
    }

    /// How long it lasts from each renewal.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    pub(crate) fn state(&self) -> LeaseState {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_state(&self, state: LeaseState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// A time to live in the unit that NATS has for it: whole seconds, at least one.
pub(crate) fn whole_seconds(ttl: Duration) -> Duration {
    let up = u64::from(ttl.subsec_nanos() > 0);
    Duration::from_secs(ttl.as_secs().saturating_add(up).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_is_never_shortened() {
        for (asked, given) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (2000, 2)] {
            assert_eq!(whole_seconds(Duration::from_millis(asked)), Duration::from_secs(given), "{asked} ms");
        }
    }
}
