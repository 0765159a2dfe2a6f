//! WASI 0.2: sandboxes that serve one invocation at a time.
//!
//! wasmtime's `ProxyHandler` needs concurrency support, which the 0.2 engine goes without for speed; so the pool is ours.
//! Cancelling is simple here: dropping the store ends whatever runs in it.
//!
//! A guest runs in the task of its call, and goes on there while its body is read: a task of its own would have to be woken
//! for each step, on another core as often as not. It gets one once it computes for long (`long_calls.rs`), and what is left
//! of it when its caller has gone does.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use spillway_types::SandboxPolicy;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use wasmtime::{Engine, Store};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::bindings::{Proxy, ProxyPre};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::activity::{Activity, Keep};
use crate::fault::Fault;
use crate::invocation::Invocation;
use crate::long_calls::{LongCalls, Suspicion};
use crate::sandbox::{Grants, SandboxState};
use crate::shared::fault_of;
use crate::{Body, BodyError};

/// Idle sandboxes kept for reuse; more are dropped as they come back.
const IDLE_MAX: usize = 64;

/// As for shared sandboxes.
const REUSE_MAX: usize = 100_000;

/// How long a guest may run on after its caller has gone: the caller of a finished response is gone, too, and the guest
/// should get to return, so that its sandbox can be used again.
const LAST_LINES_MAX: Duration = Duration::from_secs(1);

/// The sandboxes of one revision.
pub(crate) struct Exclusive {
    pool: Arc<Pool>,
}

struct Pool {
    engine: Engine,
    pre: ProxyPre<SandboxState>,
    grants: Arc<Grants>,
    policy: SandboxPolicy,
    idle: Mutex<Vec<Sandbox>>,
}

struct Sandbox {
    store: Store<SandboxState>,
    proxy: Proxy,
    served: usize,
}

impl Exclusive {
    pub(crate) fn new(
        engine: &Engine,
        pre: ProxyPre<SandboxState>,
        grants: Arc<Grants>,
        policy: SandboxPolicy,
    ) -> Self {
        let engine = engine.clone();
        Self { pool: Arc::new(Pool { engine, pre, grants, policy, idle: Mutex::default() }) }
    }

    /// Makes a sandbox, to see whether it can be made; it waits for the first call if sandboxes are reused.
    pub(crate) async fn try_instantiate(&self) -> Result<(), Fault> {
        let sandbox = self.pool.instantiate().await?;
        self.pool.give_back(sandbox);
        Ok(())
    }

    /// Whether no call is under way: each holds the pool.
    pub(crate) fn is_at_rest(&self) -> bool {
        Arc::strong_count(&self.pool) == 1
    }

    pub(crate) async fn call(
        &self,
        invocation: &Arc<Invocation>,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Fault> {
        let (sender, mut receiver) = oneshot::channel();
        let caller = Caller::default();
        let guard = CallerGuard(caller.clone());
        let work = serve(self.pool.clone(), invocation.clone(), request, sender, caller.clone());
        let grants = &self.pool.grants;
        let mut guest = Guest::new(work, caller, grants.long_calls.clone());
        if grants.habit.is_long() {
            guest.move_on();
        }
        let answered = poll_fn(|cx| {
            guest.advance(cx);
            Pin::new(&mut receiver).poll(cx)
        });
        match tokio::time::timeout_at(invocation.deadline.into(), answered).await {
            Ok(Ok(answer)) => {
                let (response, activity) = answer?;
                Ok(response.map(|body| {
                    activity.watch(Driven { body, guest }.boxed_unsync(), guard, Some(grants.limits.deadline))
                }))
            }
            Ok(Err(_)) => Err(Fault::Host("the host panicked while it ran the guest".to_owned())),
            Err(_) => {
                guest.end();
                Err(Fault::Deadline)
            }
        }
    }
}

/// A guest at work. Dropped before it is done it gets a task of its own, in which it ends soon.
struct Guest {
    at_work: AtWork,
    caller: Caller,
    long_calls: LongCalls,
}

enum AtWork {
    /// In the task of its call.
    Here(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// On the threads for long calls.
    There(AbortHandle),
    Done,
}

impl Guest {
    fn new(work: impl Future<Output = ()> + Send + 'static, caller: Caller, long_calls: LongCalls) -> Self {
        // A panic of ours ends one call, and not the connection with all that are on it.
        let work = Box::pin(AssertUnwindSafe(work).catch_unwind().map(|_| ()));
        Self { at_work: AtWork::Here(work), caller, long_calls }
    }

    /// Lets it run until it waits, or elsewhere once it has been interrupted in the middle of computing.
    fn advance(&mut self, cx: &mut Context<'_>) {
        let AtWork::Here(work) = &mut self.at_work else { return };
        let is_done = work.as_mut().poll(cx).is_ready();
        if is_done {
            self.at_work = AtWork::Done;
        } else if self.caller.0.is_long.load(Relaxed) {
            self.move_on();
        }
    }

    /// Lets it run elsewhere from now on.
    fn move_on(&mut self) {
        if let AtWork::Here(work) = std::mem::replace(&mut self.at_work, AtWork::Done) {
            self.at_work = AtWork::There(self.long_calls.spawn(work).abort_handle());
        }
    }

    /// Ends it where it stands, or at its next interruption.
    fn end(&mut self) {
        if let AtWork::There(task) = std::mem::replace(&mut self.at_work, AtWork::Done) {
            task.abort();
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let AtWork::Here(work) = std::mem::replace(&mut self.at_work, AtWork::Done)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

/// A body that its guest writes while it is read.
struct Driven {
    body: Body,
    guest: Guest,
}

impl HttpBody for Driven {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.guest.advance(cx);
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

type Answer = Result<(http::Response<Body>, Activity), Fault>;

/// Takes a sandbox, runs the guest to its end, and gives the sandbox back. The answer goes out as soon as it is there.
async fn serve(
    pool: Arc<Pool>,
    invocation: Arc<Invocation>,
    request: http::Request<Body>,
    answer: oneshot::Sender<Answer>,
    caller: Caller,
) {
    let sandbox = match pool.take() {
        Some(sandbox) => Ok(sandbox),
        None => {
            let start = Instant::now();
            let made = pool.instantiate().await;
            invocation.note_init(start.elapsed());
            made
        }
    };
    let mut sandbox = match sandbox {
        Ok(sandbox) => sandbox,
        Err(fault) => return drop(answer.send(Err(fault))),
    };
    sandbox.served += 1;
    // The clock has gone on while it rested, and would interrupt it at once.
    sandbox.store.set_epoch_deadline(1);
    let state = sandbox.store.data_mut();
    state.attribution.set_sole(&invocation);
    state.activity.touch();
    let activity = state.activity.clone();
    let held = state.held.clone();
    let interrupted = state.interrupted.clone();
    let patience = state.grants.limits.deadline;

    let (headers, mut headers_set) = oneshot::channel();
    let resources = (|| {
        let mut http = state.http();
        let scheme =
            if request.uri().scheme() == Some(&http::uri::Scheme::HTTPS) { Scheme::Https } else { Scheme::Http };
        let request = http.new_incoming_request(scheme, request.map(|body| activity.watch(body, (), None)))?;
        let outparam = http.new_response_outparam(headers)?;
        wasmtime::error::Ok((request, outparam))
    })();
    let (request, outparam) = match resources {
        Ok(resources) => resources,
        Err(error) => return drop(answer.send(Err(Fault::Host(format!("{error:#}"))))),
    };
    let mut answer = Some(answer);
    let mut send = |headers| {
        if let Some(answer) = answer.take() {
            let _ = answer.send(answered(headers, activity.clone()));
        }
    };
    let result = {
        let guest = sandbox.proxy.wasi_http_incoming_handler().call_handle(&mut sandbox.store, request, outparam);
        let mut guest = pin!(guest);
        let mut turn_ended = Instant::now();
        let mut suspicion = Suspicion::default();
        let mut guest = poll_fn(|cx| {
            let before = Instant::now();
            suspicion.begin(&pool.grants.habit);
            // What it holds changes while it runs only, but for tensors that native code lets go.
            invocation.note_memory(held.bytes(), before - turn_ended);
            let polled = guest.as_mut().poll(cx);
            if suspicion.end(interrupted.swap(false, Relaxed), &pool.grants.habit) {
                caller.0.is_long.store(true, Relaxed);
            }
            turn_ended = Instant::now();
            let took = turn_ended - before;
            invocation.note_guest(took);
            invocation.note_memory(held.bytes(), took);
            polled
        });
        let mut ended = pin!(async {
            tokio::select! {
                () = activity.stalled(patience) => {}
                () = caller.gone() => {}
            }
        });
        let mut waiting = true;
        loop {
            tokio::select! {
                // A small guest is done before it is asked how long it may take, which would cost a timer.
                biased;
                // The answer leaves as soon as the guest sets it, while the guest goes on writing the body.
                headers = &mut headers_set, if waiting => {
                    waiting = false;
                    if let Ok(headers) = headers {
                        send(headers);
                    }
                }
                result = &mut guest => break result.map_err(Some),
                () = &mut ended => break Err(None),
            }
        }
    };
    // Before the store goes, and with it the end of the body that the guest still writes.
    caller.0.broke_off.store(result.is_err(), Relaxed);
    if let Ok(headers) = headers_set.try_recv() {
        send(headers);
    }
    let fault = match result {
        Ok(()) => {
            pool.give_back(sandbox);
            Fault::NoResponse("it returned without setting the response".to_owned())
        }
        Err(Some(error)) => {
            let fault = fault_of(sandbox.store.data(), &error);
            tracing::warn!(function = %pool.grants.function, invocation = %invocation.id, %fault, "sandbox ended");
            fault
        }
        Err(None) => Fault::Deadline,
    };
    if let Some(answer) = answer {
        let _ = answer.send(Err(fault));
    }
}

fn answered(headers: Result<http::Response<HyperOutgoingBody>, ErrorCode>, activity: Activity) -> Answer {
    match headers {
        Ok(response) => Ok((response.map(|body| body.map_err(Into::into).boxed_unsync()), activity)),
        Err(code) => Err(Fault::NoResponse(format!("the handler answered with {code:?}"))),
    }
}

impl Pool {
    fn take(&self) -> Option<Sandbox> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give_back(&self, sandbox: Sandbox) {
        if self.policy.reuse && sandbox.served < REUSE_MAX {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_MAX {
                return idle.push(sandbox);
            }
        }
        drop(sandbox);
    }

    async fn instantiate(&self) -> Result<Sandbox, Fault> {
        let mut store = SandboxState::store(&self.engine, &self.grants);
        match self.pre.instantiate_async(&mut store).await {
            Ok(proxy) => {
                store.data_mut().memory.made();
                Ok(Sandbox { store, proxy, served: 0 })
            }
            Err(error) => Err(fault_of(store.data(), &error)),
        }
    }
}

/// What a call and its sandbox tell each other once the answer is on its way.
#[derive(Clone, Default)]
struct Caller(Arc<CallerState>);

#[derive(Default)]
struct CallerState {
    gone: Notify,
    /// The guest was interrupted in the middle of computing.
    is_long: AtomicBool,
    /// The sandbox ended before its guest was done: the body that the caller reads is not whole.
    broke_off: AtomicBool,
}

impl Caller {
    /// Waits until the caller has gone and a guest that only had its last lines to run has had time for them.
    async fn gone(&self) {
        self.0.gone.notified().await;
        tokio::time::sleep(LAST_LINES_MAX).await;
    }
}

/// The caller's end: held by the call, then by the response's body.
struct CallerGuard(Caller);

impl Keep for CallerGuard {
    fn broke_off(&self) -> bool {
        self.0.0.broke_off.load(Relaxed)
    }
}

impl Drop for CallerGuard {
    fn drop(&mut self) {
        self.0.0.gone.notify_one();
    }
}
