//! The record of an invocation: one, whatever becomes of it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use spillway_runtime::{Body, BodyError, Invocation, Kept, Timing};
use spillway_types::{Bill, Outcome};

use super::body::{BodyEnd, Passage, Reported};
use crate::gate::Admitted;
use crate::logs::{Ended, Logs, What};
use crate::metrics::FunctionMetrics;
use crate::quotas::Counted;

/// Records an invocation once: at its end, or as cancelled if it is dropped before.
pub(super) struct Record {
    revision: u64,
    metrics: Arc<FunctionMetrics>,
    logs: Logs,
    invocation: Arc<Invocation>,
    pub(super) arrived: Instant,
    pub(super) what: What,
    /// Announced length of the body; calls of unlike size take unlike time.
    pub(super) body_bytes: u64,
    /// What became of the body.
    pub(super) passage: Option<Arc<Passage>>,
    /// Bytes of the response that went out.
    answered_bytes: u64,
    /// Whether the function ran here: what another node did says nothing of this one.
    pub(super) here: bool,
    /// Whether the answer goes to another node.
    pub(super) for_peer: bool,
    pub(super) queued: Duration,
    /// From its arrival to the head of the function's answer.
    headed: Option<Duration>,
    pub(super) status: u16,
    pub(super) admitted: Option<Admitted>,
    /// Its part of its namespace's quota.
    pub(super) counted: Option<Counted>,
    ended: bool,
}

impl Record {
    pub(super) fn new(
        revision: u64,
        metrics: Arc<FunctionMetrics>,
        logs: Logs,
        invocation: Arc<Invocation>,
        arrived: Instant,
        what: What,
    ) -> Self {
        let (body_bytes, here, queued, status) = (0, true, Duration::ZERO, 0);
        let (admitted, counted, ended) = (None, None, false);
        let (passage, answered_bytes, for_peer) = (None, 0, false);
        Self {
            revision,
            metrics,
            logs,
            invocation,
            arrived,
            what,
            body_bytes,
            passage,
            answered_bytes,
            here,
            for_peer,
            queued,
            headed: None,
            status,
            admitted,
            counted,
            ended,
        }
    }

    /// The head of the answer is there, and what of the body was ready with it.
    pub(super) fn answered(&mut self) {
        self.headed = Some(self.arrived.elapsed());
        if let Some(admitted) = &mut self.admitted {
            admitted.answered();
        }
    }

    /// Hands the record to the response's body: the invocation ends when the body does.
    pub(super) fn follow<B>(mut self, body: B, length: Option<u64>) -> Body
    where
        B: HttpBody<Data = Bytes, Error = BodyError> + Send + Unpin + 'static,
    {
        Reported::new(body, length, move |end, bytes| {
            self.answered_bytes = bytes;
            match end {
                BodyEnd::Complete => self.end(Outcome::Answered, self.status, String::new()),
                BodyEnd::Broken => self.end(Outcome::Trap, self.status, "the response broke off".to_owned()),
                BodyEnd::Dropped => self.end(Outcome::Cancelled, self.status, "the caller hung up".to_owned()),
            }
        })
        .boxed_unsync()
    }

    /// Records nothing: another record is made of the same invocation.
    pub(super) fn withdraw(mut self) {
        self.ended = true;
    }

    /// What the call has taken of this node so far.
    pub(super) fn bill(&self) -> Bill {
        let timing = self.invocation.timing();
        let request_bytes = self.passage.as_ref().map_or(0, |passage| passage.bytes());
        let response_bytes = self.answered_bytes;
        let transfer_bytes = if self.here { 0 } else { request_bytes } + if self.for_peer { response_bytes } else { 0 };
        Bill {
            cpu_seconds: timing.guest.as_secs_f64(),
            kernel_seconds: timing.infer.as_secs_f64(),
            memory_byte_seconds: timing.memory_byte_seconds,
            request_bytes,
            response_bytes,
            transfer_bytes,
            cost: self.metrics.tariff.cost(timing.work(), timing.memory_byte_seconds, transfer_bytes),
        }
    }

    pub(super) fn end(&mut self, outcome: Outcome, status: u16, cause: String) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let took = self.arrived.elapsed();
        let timing = self.invocation.timing();
        let cause = match outcome {
            Outcome::Deadline => format!("{cause}; {}", spent(took, self.queued, &timing)),
            _ => cause,
        };
        let bill = self.bill();
        self.metrics.record(outcome, took, self.queued, &timing, bill);
        if self.here && outcome == Outcome::Answered {
            // What the caller takes its time for says nothing of the function.
            let run = self.headed.unwrap_or(took).saturating_sub(self.queued);
            self.metrics.estimates.note(self.body_bytes, run, timing.work(), timing.memory_byte_seconds);
        }
        let ended = Ended {
            time: SystemTime::now(),
            revision: self.revision,
            invocation: self.invocation.id,
            outcome,
            status,
            took,
            bill,
            what: std::mem::take(&mut self.what),
            cause,
        };
        if ended.is_error() {
            let (function, outcome, cause) = (&self.metrics.id, outcome.as_str(), &ended.cause);
            tracing::warn!(%function, invocation = %self.invocation.id, outcome, cause, "call failed");
        }
        self.logs.ended(&self.metrics.id, ended);
        let taken = Taken { admitted: self.admitted.take(), counted: self.counted.take() };
        if self.here && self.headed.is_none() && matches!(outcome, Outcome::Cancelled | Outcome::Deadline) {
            // Its guest may be at work still, with its sandbox and the threads: others have no use of its place before.
            self.invocation.keep(Box::new(taken));
        } else {
            taken.give_back(&timing);
        }
    }
}

/// What a call has of its function's and its namespace's limits.
struct Taken {
    admitted: Option<Admitted>,
    counted: Option<Counted>,
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Taken")
    }
}

impl Kept for Taken {
    fn ended(self: Box<Self>, timing: &Timing) {
        self.give_back(timing);
    }
}

impl Taken {
    fn give_back(mut self, timing: &Timing) {
        if let Some(counted) = &mut self.counted {
            counted.kernel = timing.infer;
        }
        drop(self.admitted.take());
    }
}

/// Where the time of a late call went.
fn spent(took: Duration, queued: Duration, timing: &Timing) -> String {
    let Timing { init, guest, infer, kernel_queue, .. } = *timing;
    let parts = [
        ("in the queue", queued),
        ("making its sandbox", init),
        ("in the guest", guest),
        ("waiting for kernel threads", kernel_queue),
        ("in models and kernels", infer),
    ];
    let rest = parts.iter().fold(took, |rest, (_, part)| rest.saturating_sub(*part));
    let parts = parts.iter().filter(|(_, part)| !part.is_zero());
    let parts: String = parts.map(|(what, part)| format!("{:.1} {what}, ", part.as_secs_f64() * 1e3)).collect();
    let (took, rest) = (took.as_secs_f64() * 1e3, rest.as_secs_f64() * 1e3);
    format!("of {took:.1} ms {parts}{rest:.1} waiting for others or for native work that has not ended")
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Outcome::Cancelled, 0, "the caller hung up".to_owned());
        }
    }
}
