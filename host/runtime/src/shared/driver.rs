//! Who lets a sandbox's worker run: its task, or a call that finds it at rest, in place.
//!
//! A call that goes to another task and back costs two wake-ups, of another core as often as not, which is more than a small
//! guest's own work. So who brings a job lets the worker take its turns at once, where nobody else does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

/// Turns that a call lets the worker take before it leaves the rest to the worker's task: a small guest answers in one, and
/// ends its body in the next.
const TURNS_MAX: usize = 4;

/// Nobody drives, or the task does: who wakes the worker wakes the task.
const BY_TASK: u8 = 0;
/// A call drives.
const BY_CALL: u8 = 1;
/// A call drives, and has something more to drive.
const BY_CALL_AGAIN: u8 = 2;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A worker, and whoever lets it run.
#[derive(Default)]
pub(super) struct Driver {
    /// Gone when it is done. Held for a turn of the guest, and only ever tried: who finds it taken has nothing to do.
    work: Mutex<Option<Work>>,
    state: AtomicU8,
    task: AtomicWaker,
}

impl Driver {
    /// Takes on a worker, and gives the future of its task.
    pub(super) fn drive(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) -> Task {
        *self.work.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(work));
        Task(self.clone())
    }

    /// Does something that wakes the worker, and lets it take its turns here, unless somebody else does. Once it computes for
    /// long its task goes on.
    pub(super) fn help<T>(self: &Arc<Self>, wake: impl FnOnce() -> T, is_long: impl Fn() -> bool) -> T {
        let Some(mut work) = self.try_take().filter(|work| work.is_some()) else { return wake() };
        self.state.store(BY_CALL, Release);
        let woken = wake();
        let waker = Waker::from(self.clone());
        let mut cx = Context::from_waker(&waker);
        let mut ended = None;
        for _ in 0..TURNS_MAX {
            self.state.store(BY_CALL, Release);
            if take_turn(&mut work, &mut cx) {
                ended = work.take();
                break;
            }
            if self.state.load(Acquire) == BY_CALL || is_long() {
                break;
            }
        }
        // Before others may drive, so that this is not taken for theirs.
        let again = self.state.swap(BY_TASK, AcqRel) == BY_CALL_AGAIN;
        drop(work);
        if again || ended.is_some() || is_long() {
            self.task.wake();
        }
        woken
    }

    /// The worker is about to look at all that it has once more in the same turn: what has woken it so far is seen to then.
    pub(super) fn looks_again(&self) {
        let _ = self.state.compare_exchange(BY_CALL_AGAIN, BY_CALL, AcqRel, Acquire);
    }

    fn try_take(&self) -> Option<MutexGuard<'_, Option<Work>>> {
        match self.work.try_lock() {
            Ok(work) => Some(work),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// Polls; says whether it is done, be it by a panic of ours.
fn take_turn(work: &mut Option<Work>, cx: &mut Context<'_>) -> bool {
    let Some(work) = work else { return true };
    catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx).is_ready())).unwrap_or(true)
}

impl Wake for Driver {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Whoever drives looks at the state once more when it leaves.
        let noted = self.state.compare_exchange(BY_CALL, BY_CALL_AGAIN, AcqRel, Acquire);
        if noted == Err(BY_TASK) {
            self.task.wake();
        }
    }
}

/// The task of a worker. Dropped, it ends the worker where it stands.
pub(super) struct Task(Arc<Driver>);

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.task.register(cx.waker());
        let Some(mut work) = self.0.try_take() else {
            // A call drives. It takes one more turn, or is about to leave, and this task comes back.
            self.0.wake_by_ref();
            return Poll::Pending;
        };
        let waker = Waker::from(self.0.clone());
        let is_done = take_turn(&mut work, &mut Context::from_waker(&waker));
        if !is_done {
            return Poll::Pending;
        }
        let ended = work.take();
        drop(work);
        drop(ended);
        Poll::Ready(())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let ended = self.0.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(ended);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
    use std::thread::{ThreadId, current};
    use std::time::Duration;

    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::*;

    /// A worker that counts what it is sent, and the thread that it did the last on.
    struct Counter {
        driver: Arc<Driver>,
        send: UnboundedSender<()>,
        count: Arc<AtomicUsize>,
        last: Arc<Mutex<Option<ThreadId>>>,
    }

    impl Counter {
        fn new() -> (Self, Task) {
            let (send, mut received) = unbounded_channel();
            let (driver, count, last) = (Arc::<Driver>::default(), Arc::<AtomicUsize>::default(), Arc::default());
            let counter = Self { driver: driver.clone(), send, count: count.clone(), last: Arc::clone(&last) };
            let task = driver.drive(async move {
                while received.recv().await.is_some() {
                    *last.lock().unwrap() = Some(current().id());
                    count.fetch_add(1, SeqCst);
                }
            });
            (counter, task)
        }

        fn help(&self, is_long: bool) {
            self.driver.help(|| self.send.send(()).unwrap(), || is_long);
        }

        async fn has_counted(&self, all: usize) {
            let counted = async {
                while self.count.load(SeqCst) < all {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), counted).await.expect("nothing is lost");
            assert_eq!(self.count.load(SeqCst), all);
        }
    }

    #[test]
    fn who_brings_something_has_it_done_in_place() {
        let (counter, _task) = Counter::new();
        for count in 1..=3 {
            counter.help(false);
            assert_eq!(counter.count.load(SeqCst), count);
        }
        assert_eq!(*counter.last.lock().unwrap(), Some(current().id()));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nothing_is_lost_where_calls_and_the_task_meet() {
        const EACH: usize = 20_000;
        let (counter, task) = Counter::new();
        tokio::spawn(task);
        let counter = Arc::new(counter);
        let bring = |counter: Arc<Counter>, helps: bool| {
            tokio::task::spawn_blocking(move || {
                for _ in 0..EACH {
                    if helps { counter.help(false) } else { counter.send.send(()).unwrap() }
                }
            })
        };
        for brought in [true, true, true, false].map(|helps| bring(counter.clone(), helps)) {
            brought.await.unwrap();
        }
        counter.has_counted(4 * EACH).await;
    }

    #[tokio::test]
    async fn what_takes_more_turns_than_a_call_gives_goes_on_in_the_task() {
        let turns = Arc::new(AtomicUsize::new(0));
        let driver = Arc::<Driver>::default();
        let counted = turns.clone();
        let task = driver.drive(poll_fn(move |cx| {
            if counted.fetch_add(1, SeqCst) + 1 == 3 * TURNS_MAX {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        driver.help(|| (), || false);
        assert_eq!(turns.load(SeqCst), TURNS_MAX);
        task.await;
        assert_eq!(turns.load(SeqCst), 3 * TURNS_MAX);
        assert!(driver.try_take().unwrap().is_none(), "it is done, and gone");
    }

    #[tokio::test]
    async fn a_panic_ends_the_worker_and_not_the_call() {
        struct Dropped(Arc<AtomicBool>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.store(true, SeqCst);
            }
        }
        let dropped = Arc::new(AtomicBool::new(false));
        let told = Dropped(dropped.clone());
        let driver = Arc::<Driver>::default();
        let task = driver.drive(async move {
            let _told = told;
            panic!("on purpose");
        });
        driver.help(|| (), || false);
        assert!(dropped.load(SeqCst));
        task.await;
    }

    #[test]
    fn a_task_that_goes_takes_the_worker_along() {
        let (counter, task) = Counter::new();
        drop(task);
        assert!(counter.send.is_closed());
    }
}
