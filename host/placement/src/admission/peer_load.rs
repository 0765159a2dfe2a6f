//! How long a call would wait at a peer.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Breaker, Correction};
use crate::Time;

/// What is known of the work that a peer has: its own word, the calls that were sent there since, and how far its word was
/// from what was seen. A peer that calls itself idle and is not, or that lies, is found out by its answers.
#[derive(Clone, Debug)]
pub struct PeerLoad {
    /// Work that it said it has, and when.
    said: Duration,
    said_at: Time,
    /// Calls that have no answer yet: when they were sent, and their work.
    outstanding: BTreeMap<u64, (Time, Duration)>,
    number: u64,
    correction: Correction,
    /// Whether anything is sent at all.
    pub breaker: Breaker,
}

/// A call that was sent to a peer.
#[derive(Clone, Copy, Debug)]
pub struct Errand {
    number: u64,
    sent: Time,
    expected: Duration,
}

impl Default for PeerLoad {
    fn default() -> Self {
        Self {
            said: Duration::ZERO,
            said_at: Time::START,
            outstanding: BTreeMap::new(),
            number: 0,
            correction: Correction::default(),
            breaker: Breaker::default(),
        }
    }
}

impl PeerLoad {
    /// The peer says at `now` how much work it has.
    pub fn said(&mut self, work: Duration, now: Time) {
        (self.said, self.said_at) = (work, now);
    }

    /// How long a call would wait there that came at `now`, `cores` working at once. What it said it has had since is taken
    /// to be done as fast as that, and calls that were sent since come on top.
    pub fn wait(&self, cores: u32, now: Time) -> Duration {
        let cores = cores.max(1);
        let left = self.said.saturating_sub(now.since(self.said_at) * cores);
        let since = self.outstanding.values().filter(|(sent, _)| *sent >= self.said_at);
        let on_top: Duration = since.map(|(sent, work)| work.saturating_sub(now.since(*sent))).sum();
        // As many calls as there are cores wait for nobody.
        let running = u32::try_from(self.outstanding.len()).unwrap_or(u32::MAX);
        let behind = if running < cores && left.is_zero() { Duration::ZERO } else { on_top };
        ((left + behind) / cores).mul_f64(self.correction.factor(now))
    }

    /// What is believed of its word: 1 is all of it, 2 that everything takes twice as long.
    pub fn correction(&self, now: Time) -> f64 {
        self.correction.factor(now)
    }

    /// A call of `work` is sent, which is expected to be answered after `expected`.
    pub fn sent(&mut self, work: Duration, expected: Duration, now: Time) -> Errand {
        self.number += 1;
        self.outstanding.insert(self.number, (now, work));
        self.breaker.sent(now);
        Errand { number: self.number, sent: now, expected }
    }

    /// It was answered; by whom it was refused has worked nothing, so that `ran` says whether the time counts.
    pub fn answered(&mut self, errand: Errand, ran: bool, now: Time) {
        self.outstanding.remove(&errand.number);
        self.breaker.succeeded();
        if !ran {
            return;
        }
        self.correction.learn(errand.expected, now.since(errand.sent), now);
    }

    /// There was no answer.
    pub fn failed(&mut self, errand: Errand, now: Time) {
        self.outstanding.remove(&errand.number);
        self.breaker.failed(now);
    }

    /// Nobody waits for the answer any more: that says nothing of the peer.
    pub fn abandoned(&mut self, errand: Errand) {
        self.outstanding.remove(&errand.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn at(count: u64) -> Time {
        Time::from_start(ms(count))
    }

    #[test]
    fn what_a_peer_said_is_worked_off_and_what_was_sent_since_comes_on_top() {
        let mut load = PeerLoad::default();
        load.said(ms(400), at(1000));
        assert_eq!(load.wait(2, at(1000)), ms(200));
        assert_eq!(load.wait(2, at(1100)), ms(100));
        let errand = load.sent(ms(100), ms(150), at(1100));
        assert_eq!(load.wait(2, at(1100)), ms(150));
        load.answered(errand, true, at(1250));
        assert_eq!(load.wait(2, at(1250)), ms(0));
        // A new word includes all that was sent before it.
        load.sent(ms(100), ms(150), at(1300));
        load.said(ms(50), at(1310));
        assert_eq!(load.wait(1, at(1310)), ms(50));
    }

    #[test]
    fn a_peer_that_says_that_it_is_idle_and_is_not_is_believed_less_and_less() {
        let mut load = PeerLoad::default();
        for round in 0..20 {
            let now = at(1000 * round);
            load.said(ms(100), now);
            let errand = load.sent(ms(50), ms(100), now);
            load.answered(errand, true, now + ms(1000));
        }
        let correction = load.correction(at(20_000));
        assert!((4.0..10.0).contains(&correction), "{correction}");
        load.said(ms(100), at(20_000));
        assert!(load.wait(1, at(20_000)) > ms(400));
        // And it recovers.
        for round in 0..40 {
            let now = at(40_000 + 1000 * round);
            let errand = load.sent(ms(50), ms(100), now);
            load.answered(errand, true, now + ms(100));
        }
        assert!(load.correction(at(80_000)) < 1.1);
    }

    #[test]
    fn refusals_and_calls_that_nobody_waits_for_say_nothing_of_its_speed() {
        let mut load = PeerLoad::default();
        let refused = load.sent(ms(50), ms(100), at(0));
        load.answered(refused, false, at(1));
        let abandoned = load.sent(ms(50), ms(100), at(0));
        load.abandoned(abandoned);
        assert!((load.correction(at(1)) - 1.0).abs() < 1e-9);
        for _ in 0..3 {
            let lost = load.sent(ms(50), ms(100), at(0));
            load.failed(lost, at(5));
        }
        assert!(load.breaker.is_open());
        assert_eq!(load.wait(1, at(5)), ms(0), "nothing is outstanding");
    }
}
