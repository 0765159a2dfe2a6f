//! WASI 0.3: sandboxes that serve several invocations at once.
//!
//! ```text
//! call ──> shelf: which sandbox? ──job──> driver: on whose thread? ──> worker: one per sandbox, owns its store ──> guest
//! ```
//!
//! A task of a shared sandbox cannot be cancelled, only the sandbox dropped. So a loop or a trap takes the sandbox and
//! every invocation in it along; the others' callers hear `sandbox-lost`, and those that had not started yet go to another.
//! An invocation past its deadline takes its sandbox off the shelf: the others in it finish, then it goes.
//!
//! wasmtime's own `ProxyHandler` does nearly this; `docs/decisions/0006-our-own-worker.md` says why it does not serve here.

mod answers;
mod driver;
mod lifetime;
mod shelf;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use spillway_types::SandboxPolicy;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use wasmtime::{Engine, Store};
use wasmtime_wasi_http::p3::bindings::{Service, ServicePre};

use crate::Body;
use crate::fault::Fault;
use crate::invocation::Invocation;
use crate::sandbox::{Grants, SandboxState};
use answers::AnswerSender;
use shelf::{Fate, Sandbox, Seat, Shelf};

/// The sandboxes of one revision.
pub(crate) struct Shared {
    pool: Arc<Pool>,
}

/// What every sandbox of a revision is made from, and those that there are.
struct Pool {
    engine: Engine,
    pre: ServicePre<SandboxState>,
    grants: Arc<Grants>,
    shelf: Shelf,
}

/// An invocation on its way into a sandbox.
struct Job {
    invocation: Arc<Invocation>,
    request: http::Request<Body>,
    answer: AnswerSender,
    /// Held until the guest's task has answered and the response has gone.
    seat: Arc<Seat>,
}

impl Shared {
    pub(crate) fn new(
        engine: &Engine,
        pre: ServicePre<SandboxState>,
        grants: Arc<Grants>,
        policy: SandboxPolicy,
    ) -> Self {
        Self { pool: Arc::new(Pool { engine: engine.clone(), pre, grants, shelf: Shelf::new(policy) }) }
    }

    /// Makes a sandbox and drops it, to see whether it can be made.
    pub(crate) async fn try_instantiate(&self) -> Result<(), Fault> {
        self.pool.instantiate().await.map(drop)
    }

    pub(crate) async fn call(
        &self,
        invocation: &Arc<Invocation>,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Fault> {
        self.pool.call(self.pool.seat(), invocation, request).await
    }

    /// In a sandbox of its own.
    pub(crate) async fn call_alone(
        &self,
        invocation: &Arc<Invocation>,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Fault> {
        self.pool.call(self.pool.lone_seat(), invocation, request).await
    }

    /// Whether no call is in a sandbox that takes further ones. Others look after themselves.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.pool.shelf.is_at_rest()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Sandboxes outlive the revision only for the calls that they still have.
        self.pool.shelf.clear();
    }
}

impl Pool {
    /// A seat in a sandbox that can take a call, or in a new one.
    fn seat(self: &Arc<Self>) -> Arc<Seat> {
        let (seat, new) = self.shelf.seat();
        if let Some(jobs) = new {
            self.start(&seat, jobs);
        }
        Arc::new(seat)
    }

    /// Calls the guest in the sandbox of this seat.
    async fn call(
        self: &Arc<Self>,
        seat: Arc<Seat>,
        invocation: &Arc<Invocation>,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Fault> {
        let (answer, answered) = oneshot::channel();
        let sandbox = self.send(Job { invocation: invocation.clone(), request, answer, seat });
        match tokio::time::timeout_at(invocation.deadline.into(), answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(fate_of(&sandbox, invocation).await),
            Err(_) => Err(Fault::Deadline),
        }
    }

    /// Has a job that never started in its sandbox started in another, whatever its effects. Its caller still asks for the
    /// fate of the first, so this one asks for that of the second.
    fn call_elsewhere(self: &Arc<Self>, job: Job) {
        let Job { invocation, request, mut answer, .. } = job;
        let pool = self.clone();
        tokio::spawn(async move {
            let seat = pool.seat();
            tokio::select! {
                answered = pool.call(seat, &invocation, request) => drop(answer.send(answered)),
                // The caller has hung up.
                () = answer.closed() => {}
            }
        });
    }

    /// Hands a job to the sandbox that it has a seat in. If that has failed since the seat was taken, the job has never started,
    /// so it goes to another, whatever its effects: what the sandbox failed of is not its doing.
    fn send(self: &Arc<Self>, mut job: Job) -> Arc<Sandbox> {
        loop {
            let sandbox = job.seat.sandbox().clone();
            match sandbox.send(job, &self.grants.habit) {
                Ok(()) => return sandbox,
                // One that has failed is off the shelf, so that this ends.
                Err(refused) => job = Job { seat: self.seat(), ..*refused },
            }
        }
    }

    /// A seat in a new sandbox that takes no other call.
    fn lone_seat(self: &Arc<Self>) -> Arc<Seat> {
        let (seat, jobs) = self.shelf.lone_seat();
        self.start(&seat, jobs);
        Arc::new(seat)
    }

    fn start(self: &Arc<Self>, seat: &Seat, jobs: UnboundedReceiver<Job>) {
        let sandbox = seat.sandbox().clone();
        let worker = sandbox.driver.drive(worker::run(self.clone(), sandbox.clone(), jobs));
        let grants = self.grants.clone();
        let is_long = move || sandbox.is_long() || grants.habit.is_long();
        self.grants.long_calls.spawn_where_it_belongs(worker, is_long);
    }

    async fn instantiate(&self) -> Result<(Store<SandboxState>, Service), Fault> {
        let mut store = SandboxState::store(&self.engine, &self.grants);
        match self.pre.instantiate_async(&mut store).await {
            Ok(service) => {
                store.data_mut().memory.made();
                Ok((store, service))
            }
            Err(error) => Err(fault_of(store.data(), &error)),
        }
    }
}

/// What became of `invocation` when its sandbox went down.
async fn fate_of(sandbox: &Sandbox, invocation: &Invocation) -> Fault {
    // The sandbox lets its invocations go just before it tells its fate; it always does, even if it panics.
    let told = tokio::time::timeout(Duration::from_secs(5), sandbox.fate()).await;
    match told {
        _ if Instant::now() >= invocation.deadline => Fault::Deadline,
        Ok(Some(Fate::Failed { fault, invocations: 0 | 1 })) => fault,
        Ok(Some(Fate::Failed { fault, .. })) => Fault::SandboxLost(fault.to_string()),
        Ok(Some(Fate::Retired) | None) | Err(_) => Fault::Host("the sandbox went without a word".to_owned()),
    }
}

/// A trap after a refused growth is the guest's way of running out of memory.
pub(crate) fn fault_of(state: &SandboxState, error: &wasmtime::Error) -> Fault {
    match (Fault::of(error), state.memory.out_of_memory()) {
        (Fault::Trap(_), Some(out_of_memory)) => out_of_memory,
        // Instantiation needs more than the limit: wasmtime's own error, about the guest's initial memory.
        (Fault::Host(text), Some(out_of_memory)) if text.contains("memory") => out_of_memory,
        (fault, _) => fault,
    }
}
