//! The sandboxes of a revision, and which of them takes the next call.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;
use spillway_types::SandboxPolicy;
use tokio::sync::{mpsc, watch};

use super::Job;
use super::driver::Driver;
use crate::activity::{Activity, Keep};
use crate::fault::Fault;
use crate::invocation::Invocation;
use crate::long_calls::Habit;

/// Invocations after which even a healthy sandbox is replaced, so that a guest's slow leak stays bounded.
const REUSE_MAX: usize = 100_000;

/// A sandbox that has computed for longer may compute for long: calls go elsewhere. A choice: a few epochs.
const BUSY_MAX: Duration = Duration::from_millis(5);

/// Turns without much computing after which a sandbox that has computed for long belongs on the usual threads again, although
/// calls are still in it.
const RESTS: usize = 16;

/// All sandboxes of a revision that take calls.
pub(super) struct Shelf {
    /// Invocations that one sandbox takes at once.
    seats: usize,
    /// Invocations that one sandbox takes at all.
    served_max: usize,
    /// Sandboxes beyond which calls rather share one that computes than have another made: more could not run anyway.
    enough: usize,
    start: Instant,
    /// Held for a scan and a count, never across a wait. Seats are taken under it, so that none is taken in a sandbox
    /// that has just left.
    sandboxes: Mutex<Vec<Arc<Sandbox>>>,
}

/// A sandbox as those outside it see it.
pub(super) struct Sandbox {
    jobs: mpsc::UnboundedSender<Job>,
    /// Seats taken.
    taken: AtomicUsize,
    served: AtomicUsize,
    /// On the shelf. Once off, it only finishes what it has.
    open: AtomicBool,
    /// Milliseconds after the shelf's start, plus one, since when the guest computes; 0 while it waits.
    busy_since: AtomicU64,
    /// Its guest has computed for long.
    is_long: AtomicBool,
    /// Turns since then in which it has not.
    rests: AtomicUsize,
    /// It outlasted its patience: the guest is late, whatever else the error says.
    pub(super) late: AtomicBool,
    pub(super) activity: Activity,
    /// Wakes the worker when the sandbox is taken off the shelf, and when a seat of one that is off, or long, is free.
    pub(super) waker: AtomicWaker,
    /// Lets its worker run.
    pub(super) driver: Arc<Driver>,
    fate: watch::Sender<Option<Fate>>,
}

/// How a sandbox ended.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// It was idle, or had served its time.
    Retired,
    /// Something went wrong while it had this many invocations.
    Failed { fault: Fault, invocations: usize },
}

/// An invocation's place in a sandbox, free again when dropped.
pub(super) struct Seat(Arc<Sandbox>);

impl Shelf {
    pub(super) fn new(policy: SandboxPolicy) -> Self {
        Self {
            seats: if policy.reuse { policy.concurrency as usize } else { 1 },
            served_max: if policy.reuse { REUSE_MAX } else { 1 },
            enough: 2 * crate::workers::cores(),
            start: Instant::now(),
            sandboxes: Mutex::default(),
        }
    }

    /// Takes a seat: in a sandbox that waits; else in a new one, while there are few; else in one that has not computed
    /// for long; else in a new one. With a new one comes the end of its job queue, for its worker.
    pub(super) fn seat(&self) -> (Seat, Option<mpsc::UnboundedReceiver<Job>>) {
        let now = self.now();
        let mut sandboxes = self.lock();
        let free = || sandboxes.iter().filter(|sandbox| sandbox.taken.load(Relaxed) < self.seats);
        let waits = |sandbox: &&Arc<Sandbox>| sandbox.busy_since.load(Relaxed) == 0;
        let brief = |sandbox: &&Arc<Sandbox>| {
            now.saturating_sub(sandbox.busy_since.load(Relaxed)) <= BUSY_MAX.as_millis() as u64
        };
        let least = |sandbox: &&Arc<Sandbox>| sandbox.taken.load(Relaxed);
        let mut found = free().filter(waits).min_by_key(least).cloned();
        if found.is_none() && sandboxes.len() >= self.enough {
            found = free().filter(brief).min_by_key(least).cloned();
        }
        let mut new = None;
        let sandbox = found.unwrap_or_else(|| {
            let (jobs, received) = mpsc::unbounded_channel();
            new = Some(received);
            let sandbox = Arc::new(Sandbox::new(jobs));
            sandboxes.push(sandbox.clone());
            sandbox
        });
        sandbox.taken.fetch_add(1, SeqCst);
        let _ = sandbox.busy_since.compare_exchange(0, now, Relaxed, Relaxed);
        if sandbox.served.fetch_add(1, Relaxed) + 1 >= self.served_max {
            sandbox.open.store(false, Relaxed);
            sandboxes.retain(|other| !Arc::ptr_eq(other, &sandbox));
        }
        (Seat(sandbox), new)
    }

    /// A seat in a new sandbox that never comes onto the shelf.
    pub(super) fn lone_seat(&self) -> (Seat, mpsc::UnboundedReceiver<Job>) {
        let (jobs, received) = mpsc::unbounded_channel();
        let sandbox = Arc::new(Sandbox::new(jobs));
        sandbox.open.store(false, Relaxed);
        sandbox.taken.store(1, SeqCst);
        sandbox.served.store(1, Relaxed);
        sandbox.busy_since.store(self.now(), Relaxed);
        (Seat(sandbox), received)
    }

    /// Whether nobody is in any of them.
    pub(super) fn is_at_rest(&self) -> bool {
        self.lock().iter().all(|sandbox| sandbox.taken() == 0)
    }

    /// Takes a sandbox off the shelf if nobody is in it. Says whether it is off.
    pub(super) fn take_off_if_empty(&self, sandbox: &Arc<Sandbox>) -> bool {
        let mut sandboxes = self.lock();
        if sandbox.taken.load(SeqCst) == 0 {
            sandbox.open.store(false, Relaxed);
            sandboxes.retain(|other| !Arc::ptr_eq(other, sandbox));
        }
        !sandbox.is_open()
    }

    /// Takes a sandbox off the shelf.
    pub(super) fn take_off(&self, sandbox: &Arc<Sandbox>) {
        sandbox.open.store(false, Relaxed);
        self.lock().retain(|other| !Arc::ptr_eq(other, sandbox));
    }

    /// Takes all off; each goes when its last invocation has gone.
    pub(super) fn clear(&self) {
        for sandbox in std::mem::take(&mut *self.lock()) {
            sandbox.open.store(false, Relaxed);
            sandbox.waker.wake();
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Sandbox>>> {
        self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sandbox {
    fn new(jobs: mpsc::UnboundedSender<Job>) -> Self {
        Self {
            jobs,
            taken: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            open: AtomicBool::new(true),
            busy_since: AtomicU64::new(0),
            is_long: AtomicBool::new(false),
            rests: AtomicUsize::new(0),
            late: AtomicBool::new(false),
            activity: Activity::new(),
            waker: AtomicWaker::new(),
            driver: Arc::default(),
            fate: watch::Sender::new(None),
        }
    }

    /// Hands a job over, or back if the sandbox has just failed. The guest runs at once, in here, where nobody else lets it run.
    pub(super) fn send(&self, job: Job, habit: &Habit) -> Result<(), Box<Job>> {
        let send = || self.jobs.send(job).map_err(|refused| Box::new(refused.0));
        let is_long = || self.is_long() || habit.is_long();
        if is_long() { send() } else { self.driver.help(send, is_long) }
    }

    /// The guest waits: it can take more.
    pub(super) fn rest(&self) {
        self.busy_since.store(0, Relaxed);
        if self.is_long() && (self.rests.fetch_add(1, Relaxed) >= RESTS || self.taken() == 0) {
            self.is_long.store(false, Relaxed);
        }
    }

    /// The guest computes for long.
    pub(super) fn interrupt(&self) {
        self.rests.store(0, Relaxed);
        self.is_long.store(true, Relaxed);
    }

    /// Whether it belongs on the threads for long calls.
    pub(super) fn is_long(&self) -> bool {
        self.is_long.load(Relaxed)
    }

    /// Whether more than one guest may be in it. A late one has no seat any more.
    pub(super) fn is_shared(&self) -> bool {
        self.taken() > 1 || self.late.load(Relaxed)
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(SeqCst)
    }

    /// Tells how it ended. Called before the store goes, and with it the ends of the bodies that it still writes.
    pub(super) fn end(&self, fate: Fate) {
        self.fate.send_replace(Some(fate));
    }

    /// Waits for its end.
    pub(super) async fn fate(&self) -> Option<Fate> {
        self.fate.subscribe().wait_for(Option::is_some).await.ok()?.clone()
    }
}

impl Seat {
    pub(super) fn sandbox(&self) -> &Arc<Sandbox> {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, SeqCst);
        // Else there is nothing to do before the next call comes, or its patience ends.
        if !self.0.is_open() || self.0.is_long() {
            self.0.waker.wake();
        }
    }
}

/// A response's body keeps the seat and the invocation.
impl Keep for (Arc<Seat>, Arc<Invocation>) {
    fn broke_off(&self) -> bool {
        matches!(&*self.0.0.fate.borrow(), Some(Fate::Failed { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(reuse: bool, concurrency: u32) -> Shelf {
        Shelf { enough: 2, ..Shelf::new(SandboxPolicy { reuse, concurrency }) }
    }

    #[test]
    fn a_sandbox_that_waits_takes_calls_up_to_its_seats() {
        let shelf = shelf(true, 2);
        let (first, new) = shelf.seat();
        assert!(new.is_some());
        first.sandbox().rest();
        let (second, new) = shelf.seat();
        assert!(new.is_none() && Arc::ptr_eq(first.sandbox(), second.sandbox()));
        second.sandbox().rest();
        let (third, new) = shelf.seat();
        assert!(new.is_some(), "both seats are taken");
        drop(first);
        third.sandbox().rest();
        assert!(shelf.seat().1.is_none(), "a seat is free again");
    }

    #[test]
    fn calls_avoid_a_sandbox_that_computes_while_there_are_few_and_one_that_computes_for_long_always() {
        let start = Instant::now().checked_sub(Duration::from_secs(10)).expect("this machine has been up for longer");
        let shelf = Shelf { start, ..shelf(true, 16) };
        let (a, _jobs_a) = shelf.seat();
        let (b, new) = shelf.seat();
        assert!(new.is_some(), "the first computes, and there are few");
        let (_c, new) = shelf.seat();
        assert!(new.is_none(), "there are enough, and one that has just begun will do");
        for seat in [&a, &b] {
            // Since the shelf's start, ten seconds ago.
            seat.sandbox().busy_since.store(1, Relaxed);
        }
        assert!(shelf.seat().1.is_some(), "both have computed for long");
    }

    #[test]
    fn without_reuse_each_call_has_a_sandbox_of_its_own() {
        let shelf = shelf(false, 16);
        let (seat, new) = shelf.seat();
        assert!(new.is_some() && !seat.sandbox().is_open());
        seat.sandbox().rest();
        drop(seat);
        assert!(shelf.seat().1.is_some());
    }

    #[test]
    fn nobody_joins_a_call_that_is_alone() {
        let shelf = shelf(true, 16);
        let (alone, _jobs) = shelf.lone_seat();
        alone.sandbox().rest();
        let (other, new) = shelf.seat();
        assert!(new.is_some() && !Arc::ptr_eq(alone.sandbox(), other.sandbox()));
        assert!(!alone.sandbox().is_open());
    }

    #[test]
    fn an_empty_sandbox_leaves_and_one_with_a_call_stays() {
        let shelf = shelf(true, 16);
        let (seat, _jobs) = shelf.seat();
        let sandbox = seat.sandbox().clone();
        assert!(!shelf.take_off_if_empty(&sandbox) && !shelf.is_at_rest());
        drop(seat);
        assert!(shelf.is_at_rest());
        assert!(shelf.take_off_if_empty(&sandbox));
        assert!(shelf.seat().1.is_some());
    }
}
