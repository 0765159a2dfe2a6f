//! A piece of work on the kernel threads, from both its ends.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::fair::Meter;

/// A job on the kernel threads; a future of its result that needs no particular runtime.
#[must_use = "dropping a job cancels it; detach it to let it run on its own"]
#[derive(Debug)]
pub struct Job<T> {
    result: oneshot::Receiver<Result<T, String>>,
    /// Where the work waits, to take it back; `None` once detached.
    slot: Option<Arc<Slot>>,
}

impl<T: Send + 'static> Job<T> {
    /// The job of doing `work`, and the slot from which a thread may take it. `queued` counts such slots, and `meter` hears what
    /// it took.
    pub(crate) fn new<F>(work: F, queued: Arc<AtomicUsize>, meter: Option<Arc<dyn Meter>>) -> (Self, Arc<Slot>)
    where
        F: FnOnce(&Caller<'_>) -> T + Send + 'static,
    {
        let (sender, result) = oneshot::channel();
        let came = Instant::now();
        let slot = Slot::new(queued, move || {
            let started = Instant::now();
            let outcome = contain(|| work(&Caller { is_gone: &|| sender.is_closed() }));
            if let Some(meter) = meter {
                meter.note(started - came, started.elapsed());
            }
            // Nobody listens when the caller has gone meanwhile.
            let _ = sender.send(outcome);
        });
        (Self { result, slot: Some(slot.clone()) }, slot)
    }

    /// Lets the job run though nobody waits for it.
    pub fn detach(mut self) {
        self.slot = None;
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        if let Some(slot) = &self.slot {
            slot.take();
        }
    }
}

impl<T> Future for Job<T> {
    type Output = Result<T, JobError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.result).poll(context)) {
            Ok(outcome) => outcome.map_err(JobError::Panicked),
            // The work was dropped undone, and its sender with it.
            Err(_) => Err(JobError::Stopped),
        })
    }
}

/// Who waits for a job, as the job sees it.
pub struct Caller<'a> {
    is_gone: &'a dyn Fn() -> bool,
}

impl Caller<'_> {
    /// Whether nobody waits for the result any more, so that computing on is waste.
    pub fn is_gone(&self) -> bool {
        (self.is_gone)()
    }
}

/// Why a job has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The job panicked, with this message. Its thread lives on.
    #[error("native code panicked: {0}")]
    Panicked(String),
    /// The threads were shut down before the job started.
    #[error("the node is shutting down")]
    Stopped,
}

/// Holds work until a thread starts it or its caller loses interest, whichever is first: a cancelled job must not keep
/// its tensors until the queue gets to it.
pub(crate) struct Slot {
    work: Mutex<Option<Work>>,
    queued: Arc<AtomicUsize>,
}

type Work = Box<dyn FnOnce() + Send>;

impl Slot {
    fn new(queued: Arc<AtomicUsize>, work: impl FnOnce() + Send + 'static) -> Arc<Self> {
        queued.fetch_add(1, Relaxed);
        Arc::new(Self { work: Mutex::new(Some(Box::new(work))), queued })
    }

    /// The work, for the first who asks.
    pub(crate) fn take(&self) -> Option<Work> {
        let work = self.work.lock().expect("nothing panics while it holds the lock of a slot").take();
        if work.is_some() {
            self.queued.fetch_sub(1, Relaxed);
        }
        work
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

/// Runs `work`, and turns a panic in it into the panic's message.
pub(crate) fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // What the closure captured is either dropped with it or guards itself: nothing half-changed is seen afterwards.
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| message(payload.as_ref()))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}
