//! What a namespace has taken of its quota.

use std::time::Duration;

use spillway_types::Quota;

use crate::Time;

/// How far back an average looks: so much may come at once after as long a pause.
const WINDOW: Duration = Duration::from_secs(1);

/// The account of one namespace. Time is an argument.
#[derive(Clone, Debug)]
pub struct Account {
    quota: Quota,
    /// Calls that may begin now.
    calls: Bucket,
    /// Seconds of native inference that may be taken now. Less than nothing once more has been taken than there was: it is
    /// known only afterwards.
    kernel: Bucket,
    running: u32,
}

/// Why a call may not begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Exceeded {
    /// Too many calls have begun; the next may after so long.
    CallsPerSecond(Duration),
    /// Too many calls are under way.
    Concurrent,
    /// The sandboxes hold too much.
    Memory,
    /// Too much native inference was taken; the next call may begin after so long.
    KernelTime(Duration),
}

/// A token bucket: what flows in by time and is taken by use.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Nothing is limited without one.
    per_second: Option<f64>,
    /// What fits in, and what is in it when it is new.
    most: f64,
    level: f64,
    at: Time,
}

impl Bucket {
    fn new(per_second: Option<f64>, least: f64, now: Time) -> Self {
        let most = (per_second.unwrap_or_default() * WINDOW.as_secs_f64()).max(least);
        Self { per_second, most, level: most, at: now }
    }

    fn fill(&mut self, now: Time) {
        let flowed = self.per_second.unwrap_or_default() * now.since(self.at).as_secs_f64();
        self.level = (self.level + flowed).min(self.most);
        self.at = self.at.max(now);
    }

    /// How long until there is `wanted`; zero if it is there.
    fn wait(&self, wanted: f64) -> Duration {
        let Some(per_second) = self.per_second else { return Duration::ZERO };
        let missing = (wanted - self.level).max(0.0);
        Duration::try_from_secs_f64(missing / per_second).unwrap_or(Duration::MAX)
    }
}

impl Account {
    /// One from which nothing was taken.
    pub fn new(quota: Quota, now: Time) -> Self {
        Self {
            quota,
            // One call at least, however few there may be in a second.
            calls: Bucket::new(quota.calls_per_second, 1.0, now),
            kernel: Bucket::new(quota.kernel_time, 0.0, now),
            running: 0,
        }
    }

    /// The limits.
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Other limits from now on; calls under way stay counted.
    pub fn set_quota(&mut self, quota: Quota, now: Time) {
        *self = Self { running: self.running, ..Self::new(quota, now) };
    }

    /// Calls under way.
    pub fn running(&self) -> u32 {
        self.running
    }

    /// Lets a call begin, whose namespace's sandboxes hold so many bytes. A call that is the only one may always use what its
    /// sandboxes hold already.
    ///
    /// # Errors
    /// Which limit it would exceed; nothing was taken.
    pub fn begin(&mut self, held_bytes: u64, now: Time) -> Result<(), Exceeded> {
        self.calls.fill(now);
        self.kernel.fill(now);
        if self.quota.concurrent.is_some_and(|most| self.running >= most) {
            return Err(Exceeded::Concurrent);
        }
        if self.running > 0 && self.quota.memory_bytes.is_some_and(|most| held_bytes >= most) {
            return Err(Exceeded::Memory);
        }
        let wait = self.kernel.wait(f64::EPSILON);
        if !wait.is_zero() {
            return Err(Exceeded::KernelTime(wait));
        }
        let wait = self.calls.wait(1.0);
        if !wait.is_zero() {
            return Err(Exceeded::CallsPerSecond(wait));
        }
        if self.calls.per_second.is_some() {
            self.calls.level -= 1.0;
        }
        self.running += 1;
        Ok(())
    }

    /// A call that began has ended and has taken so much native inference.
    pub fn end(&mut self, kernel: Duration, now: Time) {
        self.running = self.running.saturating_sub(1);
        if self.kernel.per_second.is_some() {
            self.kernel.fill(now);
            self.kernel.level -= kernel.as_secs_f64();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_start(Duration::from_millis(ms))
    }

    fn account(quota: Quota) -> Account {
        Account::new(quota, at(0))
    }

    #[test]
    fn calls_come_at_the_rate_that_is_allowed_and_a_second_of_them_at_once() {
        let mut account = account(Quota { calls_per_second: Some(10.0), ..Quota::default() });
        for _ in 0..10 {
            assert_eq!(account.begin(0, at(0)), Ok(()));
        }
        assert_eq!(account.begin(0, at(0)), Err(Exceeded::CallsPerSecond(Duration::from_millis(100))));
        assert_eq!(account.begin(0, at(100)), Ok(()));
        assert!(account.begin(0, at(150)).is_err());
        // A pause is worth a second of calls, however long it was.
        let begun = (0..100).filter(|_| account.begin(0, at(60_000)).is_ok()).count();
        assert_eq!(begun, 10);
    }

    #[test]
    fn less_than_one_call_in_a_second_is_one_now_and_then() {
        let mut account = account(Quota { calls_per_second: Some(0.1), ..Quota::default() });
        assert_eq!(account.begin(0, at(0)), Ok(()));
        let Err(Exceeded::CallsPerSecond(wait)) = account.begin(0, at(1000)) else { panic!("too early") };
        assert!((wait.as_secs_f64() - 9.0).abs() < 1e-6, "{wait:?}");
        assert_eq!(account.begin(0, at(10_001)), Ok(()));
    }

    #[test]
    fn calls_at_once_are_counted_until_they_end_whatever_becomes_of_the_quota() {
        let mut account = account(Quota { concurrent: Some(2), ..Quota::default() });
        assert_eq!((account.begin(0, at(0)), account.begin(0, at(0))), (Ok(()), Ok(())));
        assert_eq!(account.begin(0, at(0)), Err(Exceeded::Concurrent));
        account.set_quota(Quota { concurrent: Some(3), ..Quota::default() }, at(1));
        assert_eq!(account.begin(0, at(1)), Ok(()));
        assert_eq!(account.begin(0, at(1)), Err(Exceeded::Concurrent));
        account.end(Duration::ZERO, at(2));
        assert_eq!((account.begin(0, at(2)), account.running()), (Ok(()), 3));
    }

    #[test]
    fn kernel_time_is_known_afterwards_and_paid_back_before_the_next_call() {
        let mut account = account(Quota { kernel_time: Some(0.5), ..Quota::default() });
        assert_eq!(account.begin(0, at(0)), Ok(()));
        account.end(Duration::from_secs(2), at(0));
        // Half a second was there; one and a half are paid back at half a second a second.
        let Err(Exceeded::KernelTime(wait)) = account.begin(0, at(0)) else { panic!("it is not paid back") };
        assert!((wait.as_secs_f64() - 3.0).abs() < 1e-6, "{wait:?}");
        assert_eq!(account.begin(0, at(3001)), Ok(()));
    }

    #[test]
    fn what_is_held_refuses_all_calls_but_a_lone_one() {
        let mut account = account(Quota { memory_bytes: Some(100), ..Quota::default() });
        assert_eq!((account.begin(100, at(0)), account.begin(99, at(0))), (Ok(()), Ok(())));
        assert_eq!(account.begin(100, at(0)), Err(Exceeded::Memory));
    }

    #[test]
    fn without_limits_everything_begins() {
        let mut account = account(Quota::default());
        assert!((0..1000).all(|_| account.begin(u64::MAX, at(0)).is_ok()));
        account.end(Duration::from_secs(1000), at(0));
        assert_eq!(account.begin(0, at(0)), Ok(()));
    }
}
