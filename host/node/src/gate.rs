//! Which calls run now: as many at once as there are cores, those with the earliest deadline first.
//!
//! Calls that take little of a core pass: to line them up would cost more than they do. For the others a queue is what keeps
//! its promise: twice as many calls on a core take each twice as long, and none is finished sooner.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use spillway_placement::Time;
use spillway_placement::admission::{Backlog, Correction, Turn};
use spillway_types::Priority;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::estimates::Expected;
use crate::revision::Refusal;

/// Calls that are expected to take less of a core than this pass.
const LIGHT: Duration = Duration::from_millis(2);
/// So do those that wait for others most of their time, so many times as long as they work.
const IDLE: u32 = 10;
/// A call whose turn comes so late that this share of the time that it usually runs is not left has no hope.
pub(crate) const HOPE: f64 = 0.8;

/// The queue of a node. Clones are one.
#[derive(Clone)]
pub(crate) struct Gate {
    shared: Arc<Shared>,
}

struct Shared {
    started: Instant,
    state: Mutex<State>,
    /// Calls that wait, to be asked without the lock.
    waiting: AtomicUsize,
}

struct State {
    backlog: Backlog,
    /// How much longer calls take here than is expected of them: what nobody counts takes time, too.
    correction: Correction,
    callers: BTreeMap<Turn, Caller>,
}

/// A call that waits.
struct Caller {
    /// Its function's own limit of calls at once.
    permits: Arc<Semaphore>,
    admitted: oneshot::Sender<Admitted>,
}

/// A call that may run, until this is dropped.
pub(crate) struct Admitted {
    permit: Option<OwnedSemaphorePermit>,
    /// Its number in the backlog; calls that pass have none.
    number: Option<u64>,
    /// When it came, and after which time it was expected to be finished.
    expected: Option<(Instant, Duration)>,
    gate: Gate,
}

/// A call's place in the queue, given up when dropped.
struct Waiting<'a> {
    gate: &'a Gate,
    turn: Turn,
}

impl Gate {
    /// For so many cores.
    pub(crate) fn new(cores: usize) -> Self {
        let (backlog, correction) = (Backlog::new(cores.max(1)), Correction::default());
        let state = State { backlog, correction, callers: BTreeMap::new() };
        let shared = Shared { started: Instant::now(), state: Mutex::new(state), waiting: AtomicUsize::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// Whether a call passes of which this is expected. What was never seen does: the first calls of a function are how
    /// one learns.
    pub(crate) fn passes(expected: &Expected) -> bool {
        let Some(work) = expected.work else { return true };
        work < LIGHT || expected.run.is_some_and(|run| run.p50 > work * IDLE)
    }

    /// How long a call would wait that came now, and how many times longer than that it takes by what was seen.
    pub(crate) fn wait(&self, priority: Priority, deadline: Instant) -> (Duration, f64) {
        let (deadline, now) = (self.time(deadline), self.now());
        self.with(|state| (state.backlog.wait(priority, deadline, now), state.correction.factor(now)))
    }

    /// Work that is not done yet.
    pub(crate) fn work(&self) -> Duration {
        let now = self.now();
        self.with(|state| state.backlog.work(now))
    }

    /// A call that passes and has its function's permit.
    pub(crate) fn pass(&self, permit: OwnedSemaphorePermit) -> Admitted {
        Admitted { permit: Some(permit), number: None, expected: None, gate: self.clone() }
    }

    /// Waits for a call's turn.
    ///
    /// # Errors
    /// It does not come before the deadline, or comes too late to be of use: the call would only keep others waiting.
    ///
    /// # Cancel safety
    /// A call that is dropped leaves the queue.
    pub(crate) async fn enter(
        &self,
        permits: &Arc<Semaphore>,
        priority: Priority,
        deadline: Instant,
        expected: &Expected,
    ) -> Result<Admitted, Refusal> {
        let came = Instant::now();
        let run = expected.run.map(|run| run.p50).unwrap_or_default();
        let (wait, _) = self.wait(priority, deadline);
        let (_waiting, turn_came) = self.line_up(permits, priority, deadline, expected);
        let turn = tokio::time::timeout_at(deadline.into(), turn_came).await;
        let mut admitted = turn.ok().and_then(Result::ok).ok_or(Refusal::Deadline)?;
        admitted.expected = Some((came, wait + run));
        if Instant::now() + run.mul_f64(HOPE) > deadline {
            // What it has waited says how wrong the expectation was.
            admitted.finished();
            return Err(Refusal::Overloaded);
        }
        Ok(admitted)
    }

    /// As [`enter`](Self::enter), for a call that may not wait: its turn is now, or it has none.
    pub(crate) fn try_enter(
        &self,
        permits: &Arc<Semaphore>,
        priority: Priority,
        deadline: Instant,
        expected: &Expected,
    ) -> Option<Admitted> {
        let (_waiting, mut turn_came) = self.line_up(permits, priority, deadline, expected);
        turn_came.try_recv().ok()
    }

    fn line_up(
        &self,
        permits: &Arc<Semaphore>,
        priority: Priority,
        deadline: Instant,
        expected: &Expected,
    ) -> (Waiting<'_>, oneshot::Receiver<Admitted>) {
        let (admitted, turn_came) = oneshot::channel();
        let (ends, work) = (self.time(deadline), expected.work.unwrap_or_default());
        let turn = self.with(|state| {
            let turn = state.backlog.add(priority, ends, work);
            state.callers.insert(turn, Caller { permits: permits.clone(), admitted });
            turn
        });
        self.shared.waiting.fetch_add(1, Relaxed);
        let waiting = Waiting { gate: self, turn };
        self.start_next();
        (waiting, turn_came)
    }

    /// Starts all calls that may start now.
    fn start_next(&self) {
        if self.shared.waiting.load(Relaxed) == 0 {
            return;
        }
        let now = self.now();
        // Given away outside the lock: a caller that has gone gives its place back on the spot.
        let mut started = Vec::new();
        self.with(|state| {
            loop {
                let next = state.backlog.next().find_map(|turn| {
                    let permit = state.callers.get(&turn)?.permits.clone().try_acquire_owned().ok()?;
                    Some((turn, permit))
                });
                let Some((turn, permit)) = next else { return };
                let number = state.backlog.start(turn, now);
                let Some(caller) = state.callers.remove(&turn) else { continue };
                let number = Some(number);
                let admitted = Admitted { permit: Some(permit), number, expected: None, gate: self.clone() };
                started.push((caller.admitted, admitted));
            }
        });
        for (caller, admitted) in started {
            let _ = caller.send(admitted);
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.shared.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn now(&self) -> Time {
        Time::from_start(self.shared.started.elapsed())
    }

    fn time(&self, at: Instant) -> Time {
        Time::from_start(at.saturating_duration_since(self.shared.started))
    }
}

impl Admitted {
    /// The head of the answer is there: how long that took says something of the next calls, and none waits until the rest has
    /// been taken, which is for the caller to do.
    pub(crate) fn answered(&mut self) {
        self.finished();
        if let Some(number) = self.number.take() {
            self.gate.with(|state| state.backlog.end(number));
            self.gate.start_next();
        }
    }

    fn finished(&mut self) {
        if let Some((came, expected)) = self.expected.take() {
            let now = self.gate.now();
            self.gate.with(|state| state.correction.learn(expected, came.elapsed(), now));
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.gate.shared.waiting.fetch_sub(1, Relaxed);
        self.gate.with(|state| {
            if state.callers.remove(&self.turn).is_some() {
                state.backlog.remove(self.turn);
            }
        });
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.permit.take();
        if let Some(number) = self.number {
            self.gate.with(|state| state.backlog.end(number));
        }
        self.gate.start_next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Priority = Priority::USUAL;
    const WORK: Expected = Expected { run: None, work: Some(Duration::from_millis(50)), memory: 0.0 };

    fn soon(ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(ms)
    }

    #[tokio::test]
    async fn calls_start_by_their_deadlines_as_places_become_free() {
        let (gate, permits) = (Gate::new(1), Arc::new(Semaphore::new(9)));
        let first = gate.enter(&permits, USUAL, soon(10_000), &WORK).await.unwrap();
        assert!(gate.wait(USUAL, soon(10_000)).0 > Duration::ZERO);
        let order = Mutex::new(Vec::new());
        let call = async |name: &'static str, deadline: Instant| {
            let admitted = gate.enter(&permits, USUAL, deadline, &WORK).await.unwrap();
            order.lock().unwrap().push(name);
            tokio::task::yield_now().await;
            drop(admitted);
        };
        let (late, early) = (soon(9_000), soon(5_000));
        let free = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        tokio::join!(call("late", late), call("early", early), free);
        assert_eq!(*order.lock().unwrap(), ["early", "late"]);
        assert_eq!((gate.work(), permits.available_permits()), (Duration::ZERO, 9));
    }

    #[tokio::test]
    async fn a_call_whose_turn_does_not_come_or_whose_caller_goes_leaves_nothing_behind() {
        let (gate, permits) = (Gate::new(1), Arc::new(Semaphore::new(9)));
        let first = gate.enter(&permits, USUAL, soon(10_000), &WORK).await.unwrap();
        assert_eq!(gate.enter(&permits, USUAL, soon(20), &WORK).await.err(), Some(Refusal::Deadline));
        let gone = tokio::time::timeout(Duration::from_millis(20), gate.enter(&permits, USUAL, soon(10_000), &WORK));
        assert!(gone.await.is_err());
        drop(first);
        assert_eq!((gate.work(), permits.available_permits()), (Duration::ZERO, 9));
        assert!(gate.enter(&permits, USUAL, soon(1000), &WORK).await.is_ok());
    }

    #[tokio::test]
    async fn who_may_not_wait_begins_at_once_or_not_at_all() {
        let (gate, permits) = (Gate::new(1), Arc::new(Semaphore::new(9)));
        let mut first = gate.try_enter(&permits, USUAL, soon(10_000), &WORK).unwrap();
        assert!(gate.try_enter(&permits, USUAL, soon(10_000), &WORK).is_none());
        // A caller that takes its time with the answer keeps its own function's place, and nobody else's.
        first.answered();
        let second = gate.try_enter(&permits, USUAL, soon(10_000), &WORK).unwrap();
        assert_eq!(permits.available_permits(), 7);
        drop((first, second));
        assert_eq!((gate.work(), permits.available_permits()), (Duration::ZERO, 9));
    }

    #[tokio::test]
    async fn a_function_at_its_own_limit_holds_no_other_up() {
        let (gate, narrow, wide) = (Gate::new(2), Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(9)));
        let one = gate.enter(&narrow, USUAL, soon(10_000), &WORK).await.unwrap();
        let blocked = gate.enter(&narrow, USUAL, soon(5_000), &WORK);
        let mut blocked = std::pin::pin!(blocked);
        assert!(tokio::time::timeout(Duration::from_millis(10), &mut blocked).await.is_err());
        assert!(gate.enter(&wide, USUAL, soon(9_000), &WORK).await.is_ok());
        drop(one);
        assert!(blocked.await.is_ok());
    }
}
