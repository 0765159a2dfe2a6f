//! The threads that compute: bounded, shared fairly, and never the async ones.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::fair::{Fair, Given, Turn};
use crate::job::{Caller, Job, Slot};

/// Stack of a kernel thread. An overflow kills the node, and optimisers recurse over graphs from strangers; tract is
/// made and tested on main threads, which Linux gives 8 MiB (`ulimit -s`). Twice that, of which only what is used is
/// backed.
pub(crate) const STACK_BYTES: usize = 16 << 20;

/// A pool of operating system threads for native work: inference, model loading, long kernels.
///
/// Whose job starts next is what [`Turn`] says: the most urgent, whoever has had least, the nearest deadline. One thread per core is right for inference: tract gains little from a
/// second thread on one run, and more runs than cores only take time from each other.
#[derive(Debug)]
pub struct KernelThreads {
    shared: Arc<Shared>,
    /// Emptied by the shutdown that joins them.
    workers: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Signalled when a job comes or the queue closes.
    ready: Condvar,
    // Counted beside the queue, so that reading metrics takes no lock.
    queued: Arc<AtomicUsize>,
    running: AtomicUsize,
    threads: AtomicUsize,
    busy_nanoseconds: AtomicU64,
    at_rest: Option<AtRest>,
}

/// What a thread does once it has had nothing to do for a while.
#[derive(Debug, Clone, Copy)]
pub struct AtRest {
    /// How long.
    pub after: Duration,
    /// What: once each time that it comes to rest.
    pub then: fn(),
}

#[derive(Debug, Default)]
struct Queue {
    /// Those whose work was taken back stay, empty, until their turn.
    slots: Fair<Arc<Slot>>,
    is_closed: bool,
}

/// What the threads are doing, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadLoad {
    /// Jobs that wait for a thread.
    pub queued: usize,
    /// Jobs that compute now.
    pub running: usize,
    /// Time spent in jobs that have ended, summed over the threads.
    pub busy: Duration,
}

impl KernelThreads {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn new(count: NonZeroUsize) -> io::Result<Self> {
        Self::named("kernel", count, None)
    }

    /// Starts `count` threads, or one per core that this process may use, that do something when they come to rest: give memory
    /// back that an allocator keeps for them, say.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_rest(count: Option<NonZeroUsize>, at_rest: AtRest) -> io::Result<Self> {
        Self::named("kernel", count.unwrap_or_else(cores), Some(at_rest))
    }

    /// Starts `count` threads whose names begin with `name`.
    pub(crate) fn named(name: &str, count: NonZeroUsize, at_rest: Option<AtRest>) -> io::Result<Self> {
        let shared = Arc::new(Shared { at_rest, ..Shared::default() });
        let pool = Self { shared, workers: Mutex::default() };
        pool.shared.threads.store(count.get(), Relaxed);
        for index in 0..count.get() {
            let shared = pool.shared.clone();
            let thread = thread::Builder::new().name(format!("{name}-{index}")).stack_size(STACK_BYTES);
            lock(&pool.workers).push(thread.spawn(move || shared.work())?);
        }
        Ok(pool)
    }

    /// Starts one thread per core that this process may use.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn one_per_core() -> io::Result<Self> {
        Self::new(cores())
    }

    /// Queues `work` of the node's own. It is told through [`Caller`] when nobody waits for it any more.
    ///
    /// # Cancel safety
    /// Dropping the job before it has started removes it from the queue, with all that it holds.
    pub fn spawn<T, F>(&self, work: F) -> Job<T>
    where
        T: Send + 'static,
        F: FnOnce(&Caller<'_>) -> T + Send + 'static,
    {
        self.spawn_in(Turn::default(), work)
    }

    /// As [`spawn`](Self::spawn), in the turn of somebody.
    ///
    /// # Cancel safety
    /// As [`spawn`](Self::spawn).
    pub fn spawn_in<T, F>(&self, turn: Turn, work: F) -> Job<T>
    where
        T: Send + 'static,
        F: FnOnce(&Caller<'_>) -> T + Send + 'static,
    {
        let (job, slot) = Job::new(work, self.shared.queued.clone(), turn.meter.clone());
        self.shared.push(turn, slot);
        job
    }

    /// How many threads there are; none after the shutdown.
    pub fn count(&self) -> usize {
        lock(&self.workers).len()
    }

    /// Whether a thread has nothing to do, so that nobody waits for one.
    pub(crate) fn has_idle(&self) -> bool {
        let Shared { queued, running, threads, .. } = &*self.shared;
        queued.load(Relaxed) == 0 && running.load(Relaxed) < threads.load(Relaxed)
    }

    /// What the threads are doing at this moment.
    pub fn load(&self) -> ThreadLoad {
        ThreadLoad {
            queued: self.shared.queued.load(Relaxed),
            running: self.shared.running.load(Relaxed),
            busy: Duration::from_nanos(self.shared.busy_nanoseconds.load(Relaxed)),
        }
    }

    /// Drops the jobs that have not started (their callers get [`JobError::Stopped`](crate::JobError)), lets the
    /// running ones end, and joins the threads. Blocks; not for async threads. Called again it does nothing. Dropping
    /// the pool does the same.
    pub fn shutdown(&self) {
        for slot in self.shared.close() {
            slot.take();
        }
        let workers = std::mem::take(&mut *lock(&self.workers));
        for worker in workers {
            // A job may hold the last handle to its own pool; a thread that joined itself would wait for ever.
            if worker.thread().id() != thread::current().id() && worker.join().is_err() {
                tracing::error!("a kernel thread died outside a job; this is a bug in Spillway");
            }
        }
    }
}

impl Drop for KernelThreads {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Shared {
    /// What each thread does until the queue closes.
    fn work(&self) {
        let mut ended = None;
        while let Some((slot, given)) = self.next(ended.take()) {
            let took = match slot.take() {
                None => Duration::ZERO,
                Some(work) => {
                    self.running.fetch_add(1, Relaxed);
                    let started = Instant::now();
                    work();
                    let took = started.elapsed();
                    let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
                    self.busy_nanoseconds.fetch_add(nanoseconds, Relaxed);
                    self.running.fetch_sub(1, Relaxed);
                    took
                }
            };
            ended = Some((given, took));
        }
    }

    /// The next job, told of the end of the one before.
    fn next(&self, ended: Option<(Given, Duration)>) -> Option<(Arc<Slot>, Given)> {
        let mut queue = lock(&self.queue);
        // None where it has done nothing since it came to rest.
        let mut at_rest = self.at_rest.filter(|_| ended.is_some());
        if let Some((given, took)) = ended {
            queue.slots.ended(given, took);
        }
        while !queue.is_closed {
            if let Some(next) = queue.slots.pop() {
                return Some(next);
            }
            let Some(AtRest { after, then }) = at_rest else {
                queue = self.ready.wait(queue).expect(UNPOISONED);
                continue;
            };
            let (waited, timeout) = self.ready.wait_timeout(queue, after).expect(UNPOISONED);
            queue = waited;
            if !timeout.timed_out() {
                continue;
            }
            if let Some(next) = queue.slots.pop() {
                return Some(next);
            }
            at_rest = None;
            drop(queue);
            then();
            queue = lock(&self.queue);
        }
        None
    }

    fn push(&self, turn: Turn, slot: Arc<Slot>) {
        let mut queue = lock(&self.queue);
        if queue.is_closed {
            // Not under the lock: what the work holds is dropped here, whatever that may be.
            drop(queue);
            slot.take();
        } else {
            queue.slots.push(turn, slot);
            drop(queue);
            self.ready.notify_one();
        }
    }

    fn close(&self) -> Vec<Arc<Slot>> {
        let mut queue = lock(&self.queue);
        queue.is_closed = true;
        self.ready.notify_all();
        queue.slots.drain()
    }
}

fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

const UNPOISONED: &str = "nothing panics while it holds a lock of the kernel threads";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect(UNPOISONED)
}
