//! Whose work comes next.
//!
//! The most urgent class first; among those who have work in it, whoever has had the least time for their weight; among the
//! jobs of one, that whose deadline comes first. Time is charged as it is spent; until a job ends it counts as much as the
//! last ones of its owner took.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use spillway_types::Priority;

/// For whom a job is, and how urgent it is.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// Who shares the threads with the others: a namespace. The node's own work has the empty name.
    pub owner: Arc<str>,
    /// What part of the threads the owner has where others want them, too, in relation to theirs; 0 counts as 1.
    pub weight: u32,
    /// More urgent ones come first, whoever's they are.
    pub priority: Priority,
    /// When it must be done.
    pub deadline: Option<Instant>,
    /// Told of what the job took, before its result is there.
    pub meter: Option<Arc<dyn Meter>>,
    /// Has the memory that an engine takes.
    pub ledger: Option<Arc<dyn Ledger>>,
}

/// Who keeps account of memory.
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// Charges so many bytes, before they are taken, until what is returned is dropped.
    ///
    /// # Errors
    /// Why there is no room, and what to do about it.
    fn charge(&self, bytes: u64) -> Result<Box<dyn std::any::Any + Send>, String>;
}

/// Who keeps account of native work.
pub trait Meter: Send + Sync + std::fmt::Debug {
    /// A job waited for a thread, and then had one; whether it came to its end or not.
    fn note(&self, queued: Duration, computed: Duration);

    /// Whether nobody waits any more for what the work is for. It then ends as if its deadline had passed.
    fn is_over(&self) -> bool {
        false
    }
}

impl From<Option<Instant>> for Turn {
    /// Work of the node's own, until a deadline.
    fn from(deadline: Option<Instant>) -> Self {
        Self { deadline, ..Self::default() }
    }
}

impl Turn {
    pub(crate) fn has_passed(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
            || self.meter.as_ref().is_some_and(|meter| meter.is_over())
    }

    /// Tells the meter of work that did not wait.
    pub(crate) fn note(&self, queued: Duration, computed: Duration) {
        if let Some(meter) = &self.meter {
            meter.note(queued, computed);
        }
    }
}

/// Jobs that wait.
#[derive(Debug)]
pub(crate) struct Fair<T> {
    owners: HashMap<Arc<str>, Owner<T>>,
    /// What the owner had whose turn was last: who comes anew begins there, with no credit for the time before.
    now: u64,
    count: u64,
}

#[derive(Debug)]
struct Owner<T> {
    /// Nanoseconds had, over the weight.
    had: u64,
    weight: u32,
    waiting: BinaryHeap<Waiting<T>>,
    running: usize,
    /// Nanoseconds that the last jobs took.
    usual: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    key: Key,
    job: T,
}

/// Greater ones come first.
type Key = (Priority, Reverse<(bool, Option<Instant>)>, Reverse<u64>);

/// A job that has been given out; to be told of its end.
#[derive(Debug)]
pub(crate) struct Given {
    owner: Arc<str>,
    charged: u64,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self { owners: HashMap::new(), now: 0, count: 0 }
    }
}

impl<T> Fair<T> {
    pub(crate) fn push(&mut self, turn: Turn, job: T) {
        let Turn { owner, weight, priority, deadline, .. } = turn;
        self.count += 1;
        let now = self.now;
        let owner = self.owners.entry(owner).or_insert_with(|| Owner {
            had: now,
            weight: 1,
            waiting: BinaryHeap::new(),
            running: 0,
            usual: 0,
        });
        if owner.waiting.is_empty() && owner.running == 0 {
            owner.had = owner.had.max(now);
        }
        owner.weight = weight.max(1);
        // One without a deadline comes after those that have one.
        let key = (priority, Reverse((deadline.is_none(), deadline)), Reverse(self.count));
        owner.waiting.push(Waiting { key, job });
    }

    pub(crate) fn pop(&mut self) -> Option<(T, Given)> {
        let urgency = |owner: &Owner<T>| owner.waiting.peek().map(|first| first.key.0);
        let most = self.owners.values().filter_map(urgency).max()?;
        let next = self.owners.iter_mut().filter(|(_, owner)| urgency(owner) == Some(most));
        let (name, owner) =
            next.min_by_key(|(_, owner)| (owner.had, owner.waiting.peek().map(|first| first.key.2.0)))?;
        self.now = self.now.max(owner.had);
        let charged = owner.usual / u64::from(owner.weight);
        owner.had = owner.had.saturating_add(charged);
        owner.running += 1;
        let job = owner.waiting.pop()?.job;
        Some((job, Given { owner: name.clone(), charged }))
    }

    /// A job has ended that took so long.
    pub(crate) fn ended(&mut self, given: Given, took: Duration) {
        let Some(owner) = self.owners.get_mut(&given.owner) else { return };
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        owner.had = owner.had.saturating_sub(given.charged).saturating_add(took / u64::from(owner.weight));
        // One that was taken back says nothing of the others.
        if took > 0 {
            owner.usual = if owner.usual == 0 { took } else { owner.usual - owner.usual / 4 + took / 4 };
        }
        owner.running -= 1;
        if owner.running == 0 && owner.waiting.is_empty() && owner.had <= self.now {
            self.owners.remove(&given.owner);
        }
    }

    /// All that wait, for nobody.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        self.owners.drain().flat_map(|(_, owner)| owner.waiting).map(|waiting| waiting.job).collect()
    }
}

impl<T> PartialEq for Waiting<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T> Eq for Waiting<T> {}

impl<T> PartialOrd for Waiting<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Waiting<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(owner: &str) -> Turn {
        Turn { owner: owner.into(), ..Turn::default() }
    }

    /// Gives out `count` jobs one after the other, each of which takes as long as it says.
    fn run(fair: &mut Fair<(&'static str, u64)>, count: usize) -> Vec<&'static str> {
        (0..count)
            .map(|_| {
                let ((name, took), given) = fair.pop().unwrap();
                fair.ended(given, Duration::from_millis(took));
                name
            })
            .collect()
    }

    fn share(order: &[&str], name: &str) -> usize {
        order.iter().filter(|is| **is == name).count()
    }

    #[test]
    fn owners_have_equal_time_however_many_jobs_they_have_and_however_long() {
        let mut fair = Fair::default();
        for _ in 0..1000 {
            fair.push(turn("long"), ("long", 40));
            fair.push(turn("short"), ("short", 10));
        }
        let order = run(&mut fair, 500);
        let (long, short) = (share(&order, "long") * 40, share(&order, "short") * 10);
        assert!(long.abs_diff(short) <= 80, "{long} ms and {short} ms");
    }

    #[test]
    fn time_goes_by_weight() {
        let mut fair = Fair::default();
        for _ in 0..1000 {
            fair.push(Turn { weight: 3, ..turn("heavy") }, ("heavy", 10));
            fair.push(turn("light"), ("light", 10));
        }
        let heavy = share(&run(&mut fair, 400), "heavy");
        assert!((298..=302).contains(&heavy), "{heavy}");
    }

    #[test]
    fn who_comes_anew_has_no_credit_and_no_debt() {
        let mut fair = Fair::default();
        for _ in 0..1000 {
            fair.push(turn("old"), ("old", 10));
        }
        run(&mut fair, 500);
        for _ in 0..100 {
            fair.push(turn("new"), ("new", 10));
        }
        let order = run(&mut fair, 100);
        assert!((49..=51).contains(&share(&order, "new")), "{order:?}");
        // One who had a lot, and then nothing to do for long, is treated as if new.
        for _ in 0..50 {
            fair.push(turn("new"), ("new", 10));
        }
        run(&mut fair, 200);
        for _ in 0..100 {
            fair.push(turn("new"), ("new", 10));
        }
        let again = share(&run(&mut fair, 100), "new");
        assert!((49..=51).contains(&again), "{again}");
    }

    #[test]
    fn the_most_urgent_come_first_and_then_whose_deadline_is_next() {
        let mut fair = Fair::default();
        let soon = Instant::now();
        let at = |seconds| Some(soon + Duration::from_secs(seconds));
        fair.push(turn("a"), ("whenever", 1));
        fair.push(Turn { deadline: at(9), ..turn("a") }, ("late", 1));
        fair.push(Turn { deadline: at(3), ..turn("a") }, ("early", 1));
        fair.push(Turn { priority: Priority::LOW, deadline: at(1), ..turn("b") }, ("low", 1));
        fair.push(Turn { priority: Priority::HIGH, ..turn("c") }, ("high", 1));
        assert_eq!(run(&mut fair, 5), ["high", "early", "late", "whenever", "low"]);
        assert!(fair.pop().is_none());
    }

    #[test]
    fn of_owners_who_have_had_as_much_who_came_first_is_first() {
        let mut fair = Fair::default();
        for name in ["a", "b", "c", "d"] {
            fair.push(turn(name), (name, 10));
        }
        assert_eq!(run(&mut fair, 4), ["a", "b", "c", "d"]);
    }

    #[test]
    fn jobs_that_run_count_as_long_as_the_last_ones_took() {
        let mut fair = Fair::default();
        for _ in 0..4 {
            fair.push(turn("a"), ("a", 10));
            fair.push(turn("b"), ("b", 10));
        }
        run(&mut fair, 2);
        // Two threads that ask before either has ended.
        let mut first = [fair.pop().unwrap(), fair.pop().unwrap()].map(|((name, _), _)| name);
        first.sort_unstable();
        assert_eq!(first, ["a", "b"]);
    }
}
