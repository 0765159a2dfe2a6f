//! Threads for guests that compute for long.
//!
//! A guest that computes for longer than the clock that interrupts guests allows goes on here. The kernel gives these threads less weight than those
//! that take calls and run guests that compute briefly, so that such calls find a core although others loop on all of them.
//! Compiling runs at the same low weight.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use wasmtime::Engine;

use crate::priority::{lower_priority, time_of_this_thread};

/// The threads, one per core; cloning is cheap.
#[derive(Clone)]
pub(crate) struct LongCalls(Arc<Threads>);

struct Threads {
    handle: Handle,
    /// Taken when it is dropped, which may be on an async thread, where nothing may wait for threads to end.
    runtime: Option<Runtime>,
}

/// Tells a guest that computes for long from one whose thread had to wait: the clock that interrupts guests goes on while the
/// kernel lets others run.
///
/// One that was interrupted once is watched: in its next turn counts what its thread has really had.
#[derive(Debug, Default)]
pub(crate) struct Suspicion {
    is_suspected: bool,
    is_measured: bool,
    /// Time of a core that the thread had had when the turn began, where it is measured.
    before: Duration,
}

/// A turn in which the thread had a core for so long is a long one. Half of the time between two interruptions, since a turn
/// begins anywhere between them.
const LONG: Duration = Duration::from_millis(1);

impl Suspicion {
    /// A turn of the guest begins on this thread.
    pub(crate) fn begin(&mut self, habit: &Habit) {
        self.is_measured = self.is_suspected || habit.is_long();
        if self.is_measured {
            self.before = time_of_this_thread();
        }
    }

    /// The turn is over, on the same thread. Says whether the guest computes for long.
    pub(crate) fn end(&mut self, was_interrupted: bool, habit: &Habit) -> bool {
        let was_suspected = std::mem::replace(&mut self.is_suspected, was_interrupted);
        let was_long = self.is_measured && time_of_this_thread().saturating_sub(self.before) >= LONG;
        habit.note(was_long);
        was_long && was_suspected && was_interrupted
    }
}

/// Whether the guests of a function compute for long, by their turns so far: then the next one begins where it is going to
/// end up.
#[derive(Debug, Default)]
pub(crate) struct Habit(AtomicU32);

/// A long turn is remembered for so many short ones.
const REMEMBERED: u32 = 16;

impl Habit {
    pub(crate) fn is_long(&self) -> bool {
        self.0.load(Relaxed) > 0
    }

    fn note(&self, was_long: bool) {
        match self.0.load(Relaxed) {
            0 if !was_long => {}
            _ if was_long => self.0.store(REMEMBERED, Relaxed),
            // Two threads that forget at once forget a little less.
            left => self.0.store(left - 1, Relaxed),
        }
    }
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

impl LongCalls {
    pub(crate) fn start() -> std::io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder
            .thread_name("long-calls")
            .enable_all()
            .on_thread_start(|| {
                lower_priority();
                // Else it is done at the first call, where the kernel may have no memory for it, and wasmtime would panic.
                Engine::tls_eager_initialize();
            })
            .build()?;
        Ok(Self(Arc::new(Threads { handle: runtime.handle().clone(), runtime: Some(runtime) })))
    }

    /// Runs something here.
    pub(crate) fn spawn(&self, work: Work) -> JoinHandle<()> {
        self.0.handle.spawn(work)
    }

    /// Runs something on the usual threads, and here while it computes for long.
    pub(crate) fn spawn_where_it_belongs(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
        is_long: impl Fn() -> bool + Send + Unpin + 'static,
    ) {
        let usual = Handle::current();
        let work = Some(Box::pin(work) as Work);
        let is_here = is_long();
        let to = if is_here { self.0.handle.clone() } else { usual.clone() };
        to.spawn(Moving { work, is_long: Some(is_long), is_here, usual, here: self.clone() });
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Work that changes its threads between two turns.
struct Moving<L> {
    /// Both are gone once it has moved on.
    work: Option<Work>,
    is_long: Option<L>,
    is_here: bool,
    usual: Handle,
    here: LongCalls,
}

impl<L: Fn() -> bool + Send + Unpin + 'static> Future for Moving<L> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.work.as_mut().map(|work| work.as_mut().poll(cx));
        if let Some(Poll::Pending) = polled {
            let is_long = self.is_long.as_ref().is_some_and(|is_long| is_long());
            if is_long == self.is_here {
                return Poll::Pending;
            }
            // It is polled anew over there, so nothing that wakes this task meanwhile is missed.
            let (usual, here) = (self.usual.clone(), self.here.clone());
            let moved = Moving { work: self.work.take(), is_long: self.is_long.take(), is_here: is_long, usual, here };
            let to = if is_long { &self.here.0.handle } else { &self.usual };
            to.spawn(moved);
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread::current;

    use super::*;

    fn turn(suspicion: &mut Suspicion, habit: &Habit, is_busy: bool, was_interrupted: bool) -> bool {
        suspicion.begin(habit);
        let before = time_of_this_thread();
        if !is_busy {
            std::thread::sleep(2 * LONG);
        }
        while is_busy && time_of_this_thread() - before < 2 * LONG {
            std::hint::spin_loop();
        }
        suspicion.end(was_interrupted, habit)
    }

    #[test]
    fn who_waits_for_a_core_does_not_compute_for_long_and_who_has_one_does() {
        let (mut suspicion, habit) = (Suspicion::default(), Habit::default());
        assert!(!turn(&mut suspicion, &habit, true, true), "once is no proof: the clock may have struck as it began");
        assert!(!turn(&mut suspicion, &habit, false, true));
        assert!(!habit.is_long());
        assert!(turn(&mut suspicion, &habit, true, true));
        suspicion.begin(&habit);
        assert!(!suspicion.end(false, &habit));
        assert!(!turn(&mut suspicion, &habit, true, true), "it is forgotten once it waits");
    }

    #[test]
    fn a_long_turn_is_remembered_for_some_short_ones() {
        let (mut suspicion, habit) = (Suspicion::default(), Habit::default());
        turn(&mut suspicion, &habit, true, true);
        turn(&mut suspicion, &habit, true, true);
        for _ in 0..REMEMBERED {
            assert!(habit.is_long());
            // Another sandbox of the same function, and its thread had to wait for a core.
            turn(&mut Suspicion::default(), &habit, false, false);
        }
        assert!(!habit.is_long());
        turn(&mut Suspicion::default(), &habit, true, false);
        assert!(!habit.is_long(), "it is not measured what nothing speaks against");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn work_moves_to_threads_of_lower_priority_while_it_is_long_and_back() {
        let long_calls = LongCalls::start().unwrap();
        let (told, mut names) = tokio::sync::mpsc::unbounded_channel();
        let is_long = Arc::new(AtomicBool::new(false));
        let work = {
            let is_long = is_long.clone();
            async move {
                for long in [true, false, false] {
                    let niceness = rustix::process::getpriority_process(None).unwrap();
                    told.send((current().name().unwrap_or_default().to_owned(), niceness)).unwrap();
                    is_long.store(long, Relaxed);
                    tokio::task::yield_now().await;
                }
            }
        };
        long_calls.spawn_where_it_belongs(work, move || is_long.load(Relaxed));
        let mut seen = Vec::new();
        while let Some(place) = names.recv().await {
            seen.push(place);
        }
        let here: Vec<_> = seen.iter().map(|(name, _)| name == "long-calls").collect();
        assert_eq!(here, [false, true, false], "{seen:?}");
        assert!(seen[1].1 >= seen[0].1 + crate::priority::NICENESS || seen[1].1 == 19, "{seen:?}");
    }
}
