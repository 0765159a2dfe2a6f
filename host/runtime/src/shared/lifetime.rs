//! How long a sandbox may go on.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::shelf::Sandbox;

/// How long a sandbox without work is kept. Long enough to bridge the gaps of a function called every few seconds.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// What a sandbox is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Nothing.
    Idle,
    /// Somebody waits for an answer.
    Answering,
    /// All have been answered; responses stream, or the guest has something left to do.
    Finishing,
}

/// The status and since when; of `Answering`, since the last request came.
pub(super) struct Watch(Mutex<(Status, Instant)>);

impl Watch {
    pub(super) fn new() -> Self {
        Self(Mutex::new((Status::Idle, Instant::now())))
    }

    pub(super) fn get(&self) -> (Status, Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request came.
    pub(super) fn accept(&self) {
        self.set_at(Status::Answering, Instant::now());
    }

    /// Notes a change; the same again is none.
    pub(super) fn set(&self, status: Status) {
        if self.get().0 != status {
            self.set_at(status, Instant::now());
        }
    }

    fn set_at(&self, status: Status, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (status, at);
    }
}

/// Ends a sandbox that is idle, late or stalled.
pub(super) struct Lifetime {
    patience: Duration,
    until: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Lifetime {
    /// `patience` is the function's deadline.
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, until: Instant::now(), sleep: Box::pin(tokio::time::sleep(Duration::ZERO)) }
    }

    /// Ready when the sandbox has had its time, with what it was doing. `now` may be a moment ago.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        watch: &Watch,
        sandbox: &Sandbox,
        mut now: Instant,
    ) -> Poll<Status> {
        loop {
            let (status, since) = watch.get();
            let until = match status {
                // It may have been noticed late.
                Status::Idle => since.min(sandbox.activity.last()) + IDLE_MAX,
                // From the last request on: earlier ones are past their deadlines by then, too.
                Status::Answering => since + self.patience,
                // A response may take its time as long as bytes move.
                Status::Finishing => since.max(sandbox.activity.last()) + self.patience,
            };
            if until <= now {
                return Poll::Ready(status);
            }
            // A timer that is too early costs a look now and then; to set it anew, something at each call.
            if until < self.until {
                self.set(until);
            }
            ready!(self.sleep.as_mut().poll(cx));
            now = Instant::now();
            self.set(until);
        }
    }

    fn set(&mut self, until: Instant) {
        self.until = until;
        self.sleep.as_mut().reset(until.into());
    }
}
