//! One shared sandbox: the task that owns its store, from instantiation to its end.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc::UnboundedReceiver;
use wasmtime::AsContextMut as _;
use wasmtime::component::Accessor;
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::{WasiHttpView, p3};

use super::answers::{Answers, Turn};
use super::lifetime::{Lifetime, Status, Watch};
use super::shelf::{Fate, Sandbox};
use super::{Job, Pool, fault_of};
use crate::BodyError;
use crate::fault::Fault;
use crate::invocation::Invocation;
use crate::long_calls::Suspicion;
use crate::sandbox::SandboxState;

/// Polls of a turn in which answers come, beyond the first: in each, other calls may have come as well.
const POLLS_MAX: usize = 8;

/// Makes the sandbox and serves its jobs until it has had its time or fails.
pub(super) async fn run(pool: Arc<Pool>, sandbox: Arc<Sandbox>, mut jobs: UnboundedReceiver<Job>) {
    let mut end = End { pool: pool.clone(), sandbox: sandbox.clone(), told: false };
    let start = Instant::now();
    let (mut store, service) = match pool.instantiate().await {
        Ok(made) => made,
        Err(fault) => {
            pool.shelf.take_off(&sandbox);
            jobs.close();
            while let Some(job) = jobs.recv().await {
                let _ = job.answer.send(Err(fault.clone()));
            }
            return end.tell(Fate::Failed { fault, invocations: 1 });
        }
    };
    let state = store.data_mut();
    state.activity = sandbox.activity.clone();
    state.init = Some(start.elapsed());
    let interrupted = state.interrupted.clone();
    let held = state.held.clone();

    let watch = Watch::new();
    let inside = Inside::default();
    let result = {
        let serve = async |accessor: &Accessor<SandboxState>| {
            serve(accessor, &service, &pool, &sandbox, &mut jobs, &watch, &inside).await
        };
        let mut drive = pin!(store.run_concurrent(serve));
        let mut lifetime = Lifetime::new(pool.grants.limits.deadline);
        let mut turn_ended = Instant::now();
        let mut suspicion = Suspicion::default();
        let mut looked_again = false;
        poll_fn(|cx| {
            let before = Instant::now();
            suspicion.begin(&pool.grants.habit);
            // What it holds changes while it runs only, but for tensors that native code lets go.
            inside.hold(held.bytes(), before - turn_ended);
            let mut polled = drive.as_mut().poll(cx);
            // A guest ends its body in the poll after the one in which it wrote it: with it, head, body and end go out as one.
            let (mut all_wait, mut is_held) = (false, false);
            for _ in 0..POLLS_MAX {
                if polled.is_ready() || interrupted.load(Relaxed) || inside.answers.are_none() {
                    break;
                }
                let before = inside.answers.looks();
                sandbox.driver.looks_again();
                polled = drive.as_mut().poll(cx);
                match inside.answers.looks() - before {
                    // A guest waits for a call of the host and keeps the store meanwhile.
                    0 => is_held = true,
                    // Nobody had anything to do.
                    1 => all_wait = true,
                    // Alone, it is kept from nothing.
                    _ => all_wait = !sandbox.is_shared(),
                }
                if is_held || all_wait {
                    break;
                }
            }
            turn_ended = Instant::now();
            inside.charge(held.bytes(), turn_ended - before);
            // Before the answers leave: the next call may come at once, and finds the sandbox free.
            let was_interrupted = interrupted.swap(false, Relaxed);
            if suspicion.end(was_interrupted, &pool.grants.habit) {
                sandbox.interrupt();
            } else if polled.is_pending() && !was_interrupted {
                sandbox.rest();
            }
            let turn = match &polled {
                Poll::Ready(Err(_)) => Turn::Failed,
                Poll::Pending if !all_wait && sandbox.is_shared() => Turn::Unfinished,
                Poll::Pending | Poll::Ready(Ok(_)) => Turn::Done,
            };
            inside.answers.leave(turn);
            // More calls came than this turn has polls.
            if turn == Turn::Unfinished && !was_interrupted && !is_held && !inside.answers.are_none() {
                cx.waker().wake_by_ref();
            }
            if let Poll::Ready(result) = polled {
                return Poll::Ready(result.and_then(|served| served));
            }
            let status = lifetime.poll(cx, &watch, &sandbox, turn_ended);
            let looks_again = status.is_ready() && sandbox.taken() == 0 && !looked_again;
            looked_again = looks_again;
            match status {
                // Who leaves a seat says nothing, so that all may have left since.
                Poll::Ready(Status::Answering | Status::Finishing) if looks_again => {
                    sandbox.waker.wake();
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Poll::Ready(Status::Idle) if pool.shelf.take_off_if_empty(&sandbox) => Poll::Ready(Ok(())),
                // Somebody has just sat down; what comes next wakes this task.
                Poll::Ready(Status::Idle) | Poll::Pending => Poll::Pending,
                Poll::Ready(Status::Answering | Status::Finishing) => {
                    sandbox.late.store(true, Relaxed);
                    Poll::Ready(Err(wasmtime::Error::new(Fault::Deadline)))
                }
            }
        })
        .await
    };
    pool.shelf.take_off(&sandbox);
    jobs.close();
    let fate = match result {
        Ok(()) => Fate::Retired,
        Err(error) => {
            let fault = fault_of(store.data(), &error);
            if matches!(fault, Fault::Deadline) {
                sandbox.late.store(true, Relaxed);
            }
            // A late guest has no invocation any more, and still runs: what failed may have been that one.
            let invocations = inside.count.load(Relaxed) + usize::from(sandbox.late.load(Relaxed));
            tracing::warn!(function = %pool.grants.function, invocations, %fault, "sandbox ended");
            Fate::Failed { fault, invocations }
        }
    };
    end.tell(fate);
    drop(store);
    while let Some(job) = jobs.recv().await {
        pool.call_elsewhere(job);
    }
}

/// Runs inside the store's event loop: starts jobs as they come, and ends when the sandbox is off the shelf and empty.
async fn serve(
    accessor: &Accessor<SandboxState>,
    service: &Service,
    pool: &Pool,
    sandbox: &Arc<Sandbox>,
    jobs: &mut UnboundedReceiver<Job>,
    watch: &Watch,
    inside: &Inside,
) -> wasmtime::Result<()> {
    let mut running = FuturesUnordered::new();
    let handler = *service.wasi_http_handler().func_handle().func();
    poll_fn(|cx| {
        sandbox.waker.register(cx.waker());
        inside.answers.look();
        loop {
            match running.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(Ended::Answered))) => continue,
                Poll::Ready(Some(Ok(Ended::Late))) => {
                    // Its guest's task cannot be cancelled; the others finish, then the sandbox goes.
                    sandbox.late.store(true, Relaxed);
                    pool.shelf.take_off(sandbox);
                    continue;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) | Poll::Pending => {}
            }
            // For the case that the guest fails before the next turn, when all have been let go already. Those that still
            // wait at the door are not in it.
            inside.count.store(sandbox.taken().saturating_sub(jobs.len()), Relaxed);
            if accessor.poll_ready_for_concurrent_call(handler, cx).is_ready()
                && let Poll::Ready(Some(job)) = jobs.poll_recv(cx)
            {
                watch.accept();
                // It begins after this look.
                inside.answers.look();
                inside.enter(&job.invocation);
                running.push(answer(accessor, service, job, inside));
                continue;
            }
            if !running.is_empty() {
                return Poll::Pending;
            }
            // A late guest's task never ends by itself, so it is not waited for.
            let late = sandbox.late.load(Relaxed);
            // A task that ends does so in the store's event loop, which polls this future next in any case: to be woken would
            // only cost another turn.
            let at_rest = accessor.poll_no_interesting_tasks(&mut Context::from_waker(Waker::noop())).is_ready();
            watch.set(if at_rest && sandbox.taken() == 0 { Status::Idle } else { Status::Finishing });
            let done = !sandbox.is_open() && sandbox.taken() == 0 && (late || at_rest);
            return if done { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
    })
    .await
}

/// The invocations in a sandbox, among which its time and memory are shared.
#[derive(Default)]
struct Inside {
    /// How many there were at the last look.
    count: AtomicUsize,
    /// One that has ended is forgotten.
    guests: Mutex<Vec<Weak<Invocation>>>,
    /// They leave at the end of a turn: by then most guests have written their bodies, too, and head and body go out as one.
    answers: Answers,
}

impl Inside {
    fn enter(&self, invocation: &Arc<Invocation>) {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(invocation));
    }

    /// The sandbox has waited for so long with so many bytes.
    fn hold(&self, bytes: u64, waited: Duration) {
        self.share(|guest, share| guest.note_memory(bytes, waited / share));
    }

    /// The sandbox has run for so long, and has so many bytes.
    fn charge(&self, bytes: u64, took: Duration) {
        self.share(|guest, share| {
            guest.note_guest(took / share);
            guest.note_memory(bytes, took / share);
        });
    }

    /// Notes something with each invocation that is in, among how many there are.
    fn share(&self, note: impl Fn(&Invocation, u32)) {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        guests.retain(|guest| guest.strong_count() > 0);
        let share = u32::try_from(guests.len().max(1)).unwrap_or(u32::MAX);
        guests.iter().filter_map(Weak::upgrade).for_each(|guest| note(&guest, share));
    }
}

/// How an invocation left the event loop.
enum Ended {
    /// With an answer, or an error instead of one.
    Answered,
    /// Past its deadline; its guest's task is still there.
    Late,
}

/// Starts an invocation and sees it to its answer.
fn answer(
    accessor: &Accessor<SandboxState>,
    service: &Service,
    job: Job,
    inside: &Inside,
) -> impl Future<Output = wasmtime::Result<Ended>> {
    let Job { invocation, request, mut answer, seat } = job;
    let handler = service.wasi_http_handler().func_handle();
    let started = accessor.with(|mut store| {
        // The clock went on while the sandbox waited, and the guest would be interrupted at its first step.
        store.as_context_mut().set_epoch_deadline(1);
        let state = store.data_mut();
        if let Some(init) = state.init.take() {
            invocation.note_init(init);
        }
        state.activity.touch();
        let (request, io) = p3::Request::from_http(state.http().hooks, request);
        // Boxed, because its type is said to borrow the hooks, which it does not.
        let io: Pin<Box<dyn Future<Output = Result<(), BodyError>> + Send>> = Box::pin(io);
        let request = state.table.push(request)?;
        let call = handler.start_call_concurrent(&mut store, (request,))?;
        store.data_mut().attribution.add(call.task(), &invocation);
        wasmtime::error::Ok((call, io))
    });
    async move {
        let (call, io) = started?;
        let returned = pin!(handler.finish_call_concurrent(accessor, call));
        // Who waits for the answer has a timer already, and goes when it is late. Who hung up has not.
        let late = async {
            answer.closed().await;
            invocation.abandon();
            tokio::time::sleep_until(invocation.limit.into()).await;
        };
        let returned = match select(returned, pin!(late)).await {
            Either::Left((returned, _)) => returned?.0,
            Either::Right(_) => return Ok(Ended::Late),
        };
        let response = match returned {
            Ok(response) => accessor.with(|mut store| {
                let response = store.data_mut().table.delete(response)?;
                let response = response.into_http_with_getter(&mut store, io, SandboxState::http)?;
                let state = store.data_mut();
                let (activity, patience) = (state.activity.clone(), state.grants.limits.deadline);
                // The invocation lives as long as its body, so that what the guest does meanwhile is attributed to it.
                wasmtime::error::Ok(Ok(response.map(|body| activity.watch(body, (seat, invocation), Some(patience)))))
            })?,
            Err(code) => Err(Fault::NoResponse(format!("the handler returned {code:?}"))),
        };
        inside.answers.add(answer, response);
        Ok(Ended::Answered)
    }
}

/// Tells a sandbox's fate, whatever happens to its worker.
struct End {
    pool: Arc<Pool>,
    sandbox: Arc<Sandbox>,
    told: bool,
}

impl End {
    fn tell(&mut self, fate: Fate) {
        self.told = true;
        self.sandbox.end(fate);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.told {
            self.pool.shelf.take_off(&self.sandbox);
            let fault = Fault::Host("the sandbox's worker was stopped".to_owned());
            self.sandbox.end(Fate::Failed { fault, invocations: self.sandbox.taken() });
        }
    }
}
