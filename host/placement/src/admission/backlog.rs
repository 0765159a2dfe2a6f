//! The work that a node has taken on.

use std::collections::BTreeMap;
use std::time::Duration;

use spillway_types::Priority;

use crate::Time;

/// A call's place among those that wait: by priority, then by deadline, then by arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    /// Greater ones first.
    priority: std::cmp::Reverse<Priority>,
    deadline: Time,
    number: u64,
}

/// Calls that run and calls that wait, each with the time that a core will work for it. Calls start in the order of their
/// [`Turn`]s, as many at once as there are places.
///
/// It knows neither clock nor calls: whoever holds it says what happens and when.
#[derive(Clone, Debug)]
pub struct Backlog {
    places: usize,
    number: u64,
    running: BTreeMap<u64, (Time, Duration)>,
    waiting: BTreeMap<Turn, Duration>,
}

impl Backlog {
    /// Nothing to do yet, and so many places: as many as there are cores.
    ///
    /// # Panics
    /// If there are none.
    pub fn new(places: usize) -> Self {
        assert!(places > 0, "a node has at least one core");
        Self { places, number: 0, running: BTreeMap::new(), waiting: BTreeMap::new() }
    }

    /// How long a call of this priority with this deadline would wait if it came now: until all work before it has been
    /// shared among the places.
    pub fn wait(&self, priority: Priority, deadline: Time, now: Time) -> Duration {
        if self.running.len() < self.places && self.waiting.is_empty() {
            return Duration::ZERO;
        }
        let turn = Turn { priority: std::cmp::Reverse(priority), deadline, number: self.number };
        let before: Duration = self.waiting.range(..turn).map(|(_, work)| *work).sum();
        (self.remaining(now) + before) / u32::try_from(self.places).unwrap_or(u32::MAX)
    }

    /// All work that is left, of those that run and those that wait.
    pub fn work(&self, now: Time) -> Duration {
        self.remaining(now) + self.waiting.values().sum::<Duration>()
    }

    /// What the running calls still have to do, as expected. One that takes longer than that may end at any moment.
    fn remaining(&self, now: Time) -> Duration {
        self.running.values().map(|(since, work)| work.saturating_sub(now.since(*since))).sum()
    }

    /// A call of `work` waits from now on.
    pub fn add(&mut self, priority: Priority, deadline: Time, work: Duration) -> Turn {
        self.number += 1;
        let turn = Turn { priority: std::cmp::Reverse(priority), deadline, number: self.number };
        self.waiting.insert(turn, work);
        turn
    }

    /// A call waits no longer and does not start either.
    pub fn remove(&mut self, turn: Turn) {
        self.waiting.remove(&turn);
    }

    /// Which calls could start now, in their order. Whoever starts one says so with [`start`](Self::start).
    pub fn next(&self) -> impl Iterator<Item = Turn> {
        let free = self.running.len() < self.places;
        self.waiting.keys().copied().filter(move |_| free)
    }

    /// A waiting call starts. Gives the number by which it [ends](Self::end).
    pub fn start(&mut self, turn: Turn, now: Time) -> u64 {
        let work = self.waiting.remove(&turn).unwrap_or_default();
        self.running.insert(turn.number, (now, work));
        turn.number
    }

    /// A running call has ended.
    pub fn end(&mut self, number: u64) {
        self.running.remove(&number);
    }

    /// Calls that run and calls that wait.
    pub fn counts(&self) -> (usize, usize) {
        (self.running.len(), self.waiting.len())
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

    const USUAL: Priority = Priority::USUAL;

    #[test]
    fn a_call_waits_for_the_work_before_it_shared_among_the_places() {
        let mut backlog = Backlog::new(2);
        assert_eq!(backlog.wait(USUAL, at(1000), at(0)), ms(0));
        for _ in 0..2 {
            let turn = backlog.add(USUAL, at(1000), ms(100));
            backlog.start(turn, at(0));
        }
        assert_eq!(backlog.wait(USUAL, at(1000), at(0)), ms(100));
        assert_eq!(backlog.wait(USUAL, at(1000), at(60)), ms(40), "they have come on");
        assert_eq!(backlog.wait(USUAL, at(1000), at(500)), ms(0), "and may end at any moment");
        backlog.add(USUAL, at(2000), ms(300));
        assert_eq!(backlog.wait(USUAL, at(3000), at(0)), ms(250));
        assert_eq!(backlog.wait(USUAL, at(1500), at(0)), ms(100), "before the one whose deadline is later");
        assert_eq!(backlog.work(at(0)), ms(500));
    }

    #[test]
    fn the_earliest_deadline_starts_first_and_priority_comes_before_it() {
        let mut backlog = Backlog::new(1);
        let late = backlog.add(USUAL, at(300), ms(1));
        let early = backlog.add(USUAL, at(100), ms(1));
        let urgent = backlog.add(Priority::new(9), at(900), ms(1));
        let second_early = backlog.add(USUAL, at(100), ms(1));
        assert_eq!(backlog.next().collect::<Vec<_>>(), [urgent, early, second_early, late]);
        let number = backlog.start(urgent, at(0));
        assert_eq!(backlog.next().count(), 0, "no place is free");
        backlog.remove(early);
        backlog.end(number);
        assert_eq!(backlog.next().collect::<Vec<_>>(), [second_early, late]);
        assert_eq!(backlog.counts(), (0, 2));
    }
}
