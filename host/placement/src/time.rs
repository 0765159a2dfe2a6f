//! Moments, given from outside.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment on a clock that never goes back, counted from a start that the caller chooses.
///
/// `std::time::Instant` cannot be made up, so neither a simulator nor a test could say what time it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(Duration);

impl Time {
    /// The start of the clock.
    pub const START: Self = Self(Duration::ZERO);

    /// The moment that lies `elapsed` after the start.
    pub fn from_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after `earlier` it is; zero if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// How long after `other` it is in seconds; negative if it is before.
    pub(crate) fn seconds_after(self, other: Self) -> f64 {
        self.0.as_secs_f64() - other.0.as_secs_f64()
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    /// Stops at the start.
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}
