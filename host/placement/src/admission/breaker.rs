//! Keeps calls from a peer that fails.

use std::time::Duration;

use crate::Time;

/// After so many failures in a row nothing is sent for a while.
const FAILURES: u32 = 3;
/// How long, at first and at most; it doubles with each further failure.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Whether calls may be sent to a peer. After a pause one call is let through; what becomes of it decides.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    failures: u32,
    /// Until when nothing is sent.
    open_until: Option<Time>,
    /// Since when one call is under way that decides.
    trying: Option<Time>,
}

impl Breaker {
    /// Whether a call may be sent at `now`. One that may not run twice is lost if the peer fails again, so it leaves the trial to
    /// others, and makes it itself only where none has come for long.
    pub fn allows(&self, now: Time, may_run_again: bool) -> bool {
        let patience = if may_run_again { Duration::ZERO } else { PAUSE_MAX };
        match (self.open_until, self.trying) {
            (None, _) => true,
            (Some(until), None) => now >= until + patience,
            // One that never says what became of it holds nobody up for ever.
            (Some(_), Some(since)) => now.since(since) >= PAUSE_MAX,
        }
    }

    /// A call is sent.
    pub fn sent(&mut self, now: Time) {
        if self.open_until.is_some() {
            self.trying = Some(now);
        }
    }

    /// The peer answered; a refusal is an answer, too.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// There was no answer.
    pub fn failed(&mut self, now: Time) {
        self.failures = self.failures.saturating_add(1);
        self.trying = None;
        if let Some(beyond) = self.failures.checked_sub(FAILURES) {
            let pause = PAUSE_MIN.saturating_mul(1 << beyond.min(16)).min(PAUSE_MAX);
            self.open_until = Some(now + pause);
        }
    }

    /// Whether it keeps calls away, until one gets through.
    pub fn is_open(&self) -> bool {
        self.open_until.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_start(Duration::from_millis(ms))
    }

    #[test]
    fn three_failures_in_a_row_open_it_and_one_answer_closes_it() {
        let mut breaker = Breaker::default();
        breaker.failed(at(0));
        breaker.failed(at(0));
        breaker.succeeded();
        breaker.failed(at(0));
        breaker.failed(at(0));
        assert!(breaker.allows(at(0), true) && !breaker.is_open());
        breaker.failed(at(0));
        assert!(!breaker.allows(at(499), true) && breaker.allows(at(500), true) && breaker.is_open());
        breaker.sent(at(500));
        assert!(!breaker.allows(at(600), true), "one call decides");
        breaker.failed(at(700));
        assert!(!breaker.allows(at(1699), true) && breaker.allows(at(1700), true), "it doubles");
        breaker.sent(at(1700));
        breaker.succeeded();
        assert!(breaker.allows(at(1700), true) && !breaker.is_open());
    }

    #[test]
    fn a_call_without_an_end_does_not_keep_it_open_and_pauses_have_an_end() {
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            breaker.failed(at(0));
        }
        assert!(!breaker.allows(at(29_999), true) && breaker.allows(at(30_000), true));
        breaker.sent(at(30_000));
        assert!(!breaker.allows(at(59_999), true) && breaker.allows(at(60_000), true));
    }

    #[test]
    fn a_call_that_may_not_run_twice_is_no_trial_unless_no_other_comes() {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES {
            breaker.failed(at(0));
        }
        assert!(breaker.allows(at(500), true) && !breaker.allows(at(500), false));
        assert!(!breaker.allows(at(30_499), false) && breaker.allows(at(30_500), false));
        breaker.succeeded();
        assert!(breaker.allows(at(0), false));
    }
}
