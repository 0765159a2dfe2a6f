//! One load for all who wait for it.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use tokio::sync::oneshot;

use super::OpenError;
use super::load::{Origin, load, screen};
use super::memory::Shared;
use super::usage::Usage;
use crate::model::{Form, Model};
use crate::{LoadedModel, RunError};

/// A model in memory. Whoever holds it runs it, or is about to: then it is not unloaded.
pub(crate) struct Loaded {
    pub(crate) form: Box<dyn LoadedModel>,
    pub(crate) usage: Arc<Usage>,
}

/// One who waits for a load. What is sent is his alone: a channel that all share would hold the model, and so keep it in
/// memory, for a moment longer than any of them.
pub(crate) type Waiter = oneshot::Sender<Result<Arc<Loaded>, OpenError>>;

/// A model on its way to whoever asked for it.
pub(crate) enum Boarding {
    /// It is in memory.
    Landed(Arc<Loaded>),
    /// It is being loaded, for this caller or another.
    Underway(oneshot::Receiver<Result<Arc<Loaded>, OpenError>>),
}

impl Boarding {
    /// The model, as soon as it is there.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the load running, for the others.
    pub(crate) async fn wait(self) -> Result<Arc<Loaded>, OpenError> {
        match self {
            Self::Landed(loaded) => Ok(loaded),
            // Nothing is sent if the load was dropped with the queue of the kernel threads.
            Self::Underway(outcome) => outcome.await.unwrap_or(Err(OpenError::Stopped)),
        }
    }

    /// As [`wait`](Self::wait), but blocks the thread, until `deadline` at the latest.
    pub(crate) fn wait_blocking(self, deadline: Option<Instant>) -> Result<Arc<Loaded>, RunError> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut arrival = pin!(self.wait());
        loop {
            if let Poll::Ready(arrived) = arrival.as_mut().poll(&mut Context::from_waker(&waker)) {
                return arrived.map_err(|error| RunError::LoadFailed(error.to_string()));
            }
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(left) if left.is_zero() => return Err(RunError::DeadlineExceeded),
                Some(left) => thread::park_timeout(left),
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A load under way.
pub(super) struct Flight {
    ticket: Ticket,
    origin: Origin,
}

/// What a load holds. Whatever becomes of it, it gives all back, and nobody keeps waiting for it.
struct Ticket {
    shared: Arc<Shared>,
    /// Held, so that a model whose openers have all gone is there for the next.
    model: Arc<Model>,
    /// What is set aside of the budget, in bytes.
    reserved_bytes: usize,
    has_landed: bool,
}

impl Flight {
    /// A flight for `model`, whose form is [`Form::Loading`] from now on.
    pub(super) fn new(shared: Arc<Shared>, model: Arc<Model>, origin: Origin) -> Self {
        Self { ticket: Ticket { shared, model, reserved_bytes: 0, has_landed: false }, origin }
    }

    /// Starts the load on a kernel thread, or on that of guests' models; before a model's first one, the screening is asked.
    ///
    /// That has a thread of its own: it waits, for a minute perhaps, and kernel threads are for those who compute. Nobody
    /// joins it; it ends with its flight, or with the process.
    pub(super) fn take_off(self) {
        let (shared, model) = (self.ticket.shared.clone(), self.ticket.model.clone());
        let is_new = model.usage().loaded_bytes() == 0;
        let Some(screening) = shared.screening.get().filter(|_| is_new).cloned() else {
            return self.queue();
        };
        let digest = model.digest();
        let work = move || match screen(
            &self.origin,
            digest,
            model.specialization(),
            shared.engine.as_ref(),
            screening.as_ref(),
        ) {
            Ok(()) => self.queue(),
            Err(error) => self.fail(error),
        };
        if let Err(error) = thread::Builder::new().name("model-check".into()).spawn(work) {
            // The flight went with the closure, and all who wait hear of it.
            tracing::error!(%digest, %error, "a thread for the check of a model cannot be started");
        }
    }

    fn queue(self) {
        let shared = self.ticket.shared.clone();
        shared.loaders(&self.origin).spawn(move |_| self.fly()).detach();
    }

    /// Ends before the load, and tells all who wait why.
    fn fail(self, error: OpenError) {
        let mut ticket = self.ticket;
        let waiters = ticket.refuse(&error);
        drop(ticket);
        for waiter in waiters {
            _ = waiter.send(Err(error.clone()));
        }
    }

    /// Loads on the calling thread, and tells all who wait.
    fn fly(self) {
        let Self { mut ticket, origin } = self;
        let (result, mut waiters) = match ticket.load(origin) {
            Ok((loaded, waiters)) => (Ok(loaded), waiters),
            Err(error) => {
                let waiters = ticket.refuse(&error);
                (Err(error), waiters)
            }
        };
        drop(ticket);
        // Nobody listens who has gone meanwhile. Nothing of the model is kept here while others may be done with it.
        let last = waiters.pop();
        for waiter in waiters {
            _ = waiter.send(result.clone());
        }
        if let Some(last) = last {
            _ = last.send(result);
        }
    }
}

impl Ticket {
    fn load(&mut self, origin: Origin) -> Result<(Arc<Loaded>, Vec<Waiter>), OpenError> {
        let started = Instant::now();
        let (digest, usage) = (self.model.digest(), self.model.usage().clone());
        // Its file is the least that it can be; where it was loaded before, more is known.
        let estimate = origin.byte_length(digest)?.max(usage.loaded_bytes());
        self.shared.reserve(digest, estimate)?;
        self.reserved_bytes = estimate;
        let form = load(origin, digest, self.model.specialization(), self.shared.engine.as_ref())?;
        let memory_bytes = form.memory_bytes();
        self.shared.check_size(digest, memory_bytes)?;
        let ended = Instant::now();
        usage.note_load(ended - started, memory_bytes, ended);
        tracing::info!(%digest, load_seconds = usage.load_time().as_secs_f64(), memory_bytes, "model loaded");
        let loaded = Arc::new(Loaded { form, usage });
        self.has_landed = true;
        let waiters = self.shared.admit(&self.model, &loaded, std::mem::take(&mut self.reserved_bytes));
        Ok((loaded, waiters))
    }

    /// Leaves the model unloaded: before anybody hears of it, so that one who tries again starts a new load.
    fn refuse(&mut self, error: &OpenError) -> Vec<Waiter> {
        self.shared.tally.note_failed_load();
        tracing::warn!(%error, "model not loaded");
        self.land(Form::Unloaded)
    }

    /// Leaves the model as `form` and gives back what was set aside.
    fn land(&mut self, form: Form) -> Vec<Waiter> {
        self.has_landed = true;
        self.shared.release(std::mem::take(&mut self.reserved_bytes));
        self.model.change_form(form)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.has_landed {
            // Those who wait hear it from the end of their channels.
            self.land(Form::Unloaded);
        }
    }
}
