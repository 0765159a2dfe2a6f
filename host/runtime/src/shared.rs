//! WASI 0.3: sandboxes that serve several invocations at once, driven by wasmtime's `ProxyHandler`.
//!
//! A task of a shared sandbox cannot be cancelled, only the sandbox dropped. So a loop or a trap takes the sandbox and
//! every invocation in it along; the others' callers hear `sandbox-lost`.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use spillway_types::SandboxPolicy;
use tokio::sync::watch;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};
use wasmtime::component::GuestTaskId;
use wasmtime::{Engine, Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    ExpirationError, HandlerState, Instance, InstantiationError, ProxyHandler, ProxyPre, ShouldAccept,
    TrapOrPanicError, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::{WasiHttpView, p3};

use crate::Body;
use crate::activity::{Activity, Keep};
use crate::fault::Fault;
use crate::invocation::Invocation;
use crate::sandbox::{Grants, SandboxState};

/// How long a sandbox without work is kept. Long enough to bridge the gaps of a function called every few seconds.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Invocations after which even a healthy sandbox is replaced, so that a guest's slow leak stays bounded.
const REUSE_MAX: usize = 100_000;

/// The sandboxes of one revision.
pub(crate) struct Shared {
    handler: ProxyHandler<Sandboxes>,
    /// Sandboxes outlive the revision only for the calls they still have.
    _retire: DropGuard,
}

impl Shared {
    pub(crate) fn new(
        engine: &Engine,
        pre: p3::bindings::ServicePre<SandboxState>,
        grants: Arc<Grants>,
        policy: SandboxPolicy,
    ) -> Self {
        let engine = engine.clone();
        let pre = Arc::new(ProxyPre::P3(pre));
        let retired = CancellationToken::new();
        let handler = ProxyHandler::new(Sandboxes { engine, pre, grants, policy, retired: retired.clone() });
        Self { handler, _retire: retired.drop_guard() }
    }

    /// Makes a sandbox and drops it, to see whether it can be made.
    pub(crate) async fn try_instantiate(&self) -> Result<(), Fault> {
        let sandboxes = self.handler.state();
        let mut store = SandboxState::store(&sandboxes.engine, &sandboxes.grants);
        match sandboxes.pre.instantiate_async(&mut store).await {
            Ok(_) => Ok(()),
            Err(error) => Err(fault_of(store.data(), &error)),
        }
    }

    pub(crate) async fn call(
        &self,
        invocation: &Arc<Invocation>,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Fault> {
        let ticket = Arc::new(Ticket { invocation: invocation.clone(), sandbox: Mutex::new(None) });
        let handled = self.handler.handle(ticket.clone(), request);
        let error = match tokio::time::timeout_at(invocation.deadline.into(), handled).await {
            Ok(Ok(response)) => {
                let activity = ticket.sandbox().map(|sandbox| sandbox.activity.clone()).unwrap_or_else(Activity::new);
                // The invocation lives as long as its body, so that what the guest does meanwhile is attributed to it.
                return Ok(response.map(|body| activity.watch(body, ticket)));
            }
            Ok(Err(error)) => error,
            Err(_) => return Err(Fault::Deadline),
        };
        if error.is::<ExpirationError>() {
            return Err(Fault::Deadline);
        }
        if error.is::<TrapOrPanicError>() {
            return Err(match ticket.sandbox() {
                Some(sandbox) => sandbox.fate_for(invocation).await,
                None => Fault::Host("no sandbox took the call".to_owned()),
            });
        }
        if let Some(failed) = error.downcast_ref::<InstantiationError<Arc<Ticket>>>() {
            return Err(Fault::of(&failed.error));
        }
        Err(match error.downcast::<p3::bindings::http::types::ErrorCode>() {
            Ok(code) => Fault::NoResponse(format!("the handler returned {code:?}")),
            Err(error) => Fault::of(&error),
        })
    }
}

/// Makes sandboxes.
struct Sandboxes {
    engine: Engine,
    pre: Arc<ProxyPre<SandboxState>>,
    grants: Arc<Grants>,
    policy: SandboxPolicy,
    /// The revision is gone: a sandbox without work has no more to wait for.
    retired: CancellationToken,
}

impl HandlerState for Sandboxes {
    type StoreData = SandboxState;
    type WorkerExpiration = Lifetime;
    type WorkerState = SandboxWatch;

    async fn instantiate(&self) -> wasmtime::Result<Instance<SandboxState, Lifetime, SandboxWatch>> {
        let start = Instant::now();
        let mut store = SandboxState::store(&self.engine, &self.grants);
        let proxy = match self.pre.instantiate_async(&mut store).await {
            Ok(proxy) => proxy,
            Err(error) => return Err(wasmtime::Error::new(fault_of(store.data(), &error))),
        };
        store.data_mut().init = Some(start.elapsed());
        let sandbox = Arc::new(SandboxEnd::new(store.data().activity.clone()));
        Ok(Instance {
            store,
            proxy,
            view: SandboxState::http,
            expiration: Lifetime {
                patience: self.grants.limits.deadline,
                sandbox: sandbox.clone(),
                retired: Box::pin(self.retired.clone().cancelled_owned()),
                until: Instant::now(),
                sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            },
            state: SandboxWatch { policy: self.policy, sandbox },
        })
    }
}

/// Ties an invocation to the sandbox that took it.
struct Ticket {
    invocation: Arc<Invocation>,
    sandbox: Mutex<Option<Arc<SandboxEnd>>>,
}

impl Ticket {
    fn sandbox(&self) -> Option<Arc<SandboxEnd>> {
        self.sandbox.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Keep for Arc<Ticket> {
    fn broke_off(&self) -> bool {
        // The sandbox tells its fate before it lets go of its bodies.
        self.sandbox().is_some_and(|sandbox| matches!(&*sandbox.fate.borrow(), Some(Fate::Failed { .. })))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(sandbox) = self.sandbox() {
            sandbox.live.fetch_sub(1, Relaxed);
        }
    }
}

/// How a sandbox ended, for those who were in it.
struct SandboxEnd {
    activity: Activity,
    /// Invocations in it.
    live: AtomicUsize,
    /// It outlasted its patience: the guest is late, whatever else the error says.
    late: AtomicBool,
    fate: watch::Sender<Option<Fate>>,
}

/// Why a sandbox ended.
#[derive(Clone)]
enum Fate {
    /// It was idle, or had served its time.
    Retired,
    /// Something went wrong while it had this many invocations.
    Failed { fault: Fault, invocations: usize },
}

impl SandboxEnd {
    fn new(activity: Activity) -> Self {
        Self { activity, live: AtomicUsize::new(0), late: AtomicBool::new(false), fate: watch::Sender::new(None) }
    }

    /// What became of `invocation` when the sandbox went down.
    async fn fate_for(&self, invocation: &Invocation) -> Fault {
        let mut fate = self.fate.subscribe();
        // The sandbox lets its invocations go just before it tells its fate; it always does, even if it panics.
        let told = tokio::time::timeout(Duration::from_secs(5), fate.wait_for(Option::is_some)).await;
        let told = told.ok().and_then(|told| told.ok()?.clone());
        match told {
            _ if Instant::now() >= invocation.deadline => Fault::Deadline,
            Some(Fate::Failed { fault, invocations: 1 }) => fault,
            Some(Fate::Failed { fault, .. }) => Fault::SandboxLost(fault.to_string()),
            Some(Fate::Retired) | None => Fault::Host("the sandbox went without a word".to_owned()),
        }
    }
}

/// Watches one sandbox.
struct SandboxWatch {
    policy: SandboxPolicy,
    sandbox: Arc<SandboxEnd>,
}

impl WorkerState for SandboxWatch {
    type StoreData = SandboxState;
    type RequestData = Arc<Ticket>;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        let reuse_max = if self.policy.reuse { REUSE_MAX } else { 1 };
        if total >= reuse_max {
            ShouldAccept::Never
        } else if concurrent < self.policy.concurrency as usize {
            ShouldAccept::Yes
        } else {
            ShouldAccept::No
        }
    }

    fn on_request_start(
        &self,
        mut store: StoreContextMut<'_, SandboxState>,
        ticket: Arc<Ticket>,
        task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        let state = store.data_mut();
        if let Some(init) = state.init.take() {
            ticket.invocation.note_init(init);
        }
        state.activity.touch();
        state.attribution.add(task, &ticket.invocation);
        self.sandbox.live.fetch_add(1, Relaxed);
        *ticket.sandbox.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.sandbox.clone());
        let deadline = ticket.invocation.deadline;
        Box::pin(async move { tokio::time::sleep_until(deadline.into()).await })
    }

    fn drop(&self, store: Store<SandboxState>, result: Result<(), wasmtime::Error>) {
        let fate = match result {
            Ok(()) => Fate::Retired,
            Err(error) => {
                let late = self.sandbox.late.load(Relaxed);
                let fault = if late { Fault::Deadline } else { fault_of(store.data(), &error) };
                let invocations = self.sandbox.live.load(Relaxed);
                tracing::warn!(function = %store.data().grants.function, invocations, %fault, "sandbox ended");
                Fate::Failed { fault, invocations }
            }
        };
        // Before the store goes, and with it the ends of the bodies that it still writes.
        self.sandbox.fate.send_replace(Some(fate));
    }
}

/// A trap after a refused growth is the guest's way of running out of memory.
pub(crate) fn fault_of(state: &SandboxState, error: &wasmtime::Error) -> Fault {
    match (Fault::of(error), state.memory.refused_bytes) {
        (Fault::Trap(_), Some(wanted_bytes)) => Fault::OutOfMemory {
            used_bytes: state.memory.used_bytes(),
            wanted_bytes,
            limit_bytes: state.memory.limit_bytes(),
        },
        (Fault::Host(text), Some(wanted_bytes)) if text.contains("memory") => {
            // Instantiation needs more than the limit: wasmtime's own error, about the guest's initial memory.
            Fault::OutOfMemory { used_bytes: 0, wanted_bytes, limit_bytes: state.memory.limit_bytes() }
        }
        (fault, _) => fault,
    }
}

/// Ends a sandbox that is idle, late or stalled.
struct Lifetime {
    patience: Duration,
    sandbox: Arc<SandboxEnd>,
    retired: Pin<Box<WaitForCancellationFutureOwned>>,
    until: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl WorkerExpiration for Lifetime {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, start: Instant) -> Poll<()> {
        if status == WorkerStatus::Idle && self.retired.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let until = match status {
                WorkerStatus::Idle => start + IDLE_MAX,
                // From the last request on: earlier ones are past their deadlines by then, too.
                WorkerStatus::Requests => start + self.patience,
                // A response may take its time as long as bytes move.
                WorkerStatus::PostReturn => start.max(self.sandbox.activity.last()) + self.patience,
            };
            if until <= Instant::now() {
                self.sandbox.late.store(status != WorkerStatus::Idle, Relaxed);
                return Poll::Ready(());
            }
            if until != self.until {
                self.until = until;
                self.sleep.as_mut().reset(until.into());
            }
            ready!(self.sleep.as_mut().poll(cx));
        }
    }
}
