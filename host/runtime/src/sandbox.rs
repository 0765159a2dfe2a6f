//! What belongs to one sandbox: the data of its store.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use spillway_inference::{Model, Models, Turn};
use spillway_types::{FunctionId, Limits};
use wasmtime::component::{GuestTaskId, ResourceTable};
use wasmtime::{AsContextMut, Engine, Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::activity::Activity;
use crate::fault::Fault;
use crate::function::FunctionUse;
use crate::host::LogSink;
use crate::invocation::Invocation;
use crate::limits::{HANDLES_MAX, Held, MemoryLimiter, TensorLedger};
use crate::long_calls::{Habit, LongCalls};
use crate::outbound::{Hooks, Outbound};
use crate::output::LineOutput;
use crate::storage::Storage;

/// How long after its deadline a guest may compute on, for what it is about to finish: the others in its sandbox are lost with
/// it. A choice: some of the ticks that interrupt guests.
const GRACE: Duration = Duration::from_millis(20);
/// How long after its deadline a task is remembered whose invocation has ended.
const REMEMBERED: Duration = Duration::from_secs(10);

/// What one revision may do: shared by all its sandboxes.
pub(crate) struct Grants {
    pub(crate) function: FunctionId,
    /// Its namespace, which shares the kernel threads with the others.
    pub(crate) owner: Arc<str>,
    pub(crate) limits: Limits,
    pub(crate) models: BTreeMap<String, Arc<Model>>,
    /// All models of the node: its threads compute kernels, and a guest may bring models of its own.
    pub(crate) node_models: Arc<Models>,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) buckets: Vec<String>,
    pub(crate) keyvalue: Arc<Storage>,
    pub(crate) log: Arc<dyn LogSink>,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) total: Arc<FunctionUse>,
    pub(crate) long_calls: LongCalls,
    pub(crate) habit: Habit,
}

/// One sandbox's state.
pub(crate) struct SandboxState {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    pub(crate) table: ResourceTable,
    pub(crate) memory: MemoryLimiter,
    pub(crate) tensors: TensorLedger,
    /// What of both there is now.
    pub(crate) held: Held,
    pub(crate) grants: Arc<Grants>,
    pub(crate) attribution: Attribution,
    pub(crate) activity: Activity,
    /// How long making the sandbox took, until the first invocation has taken note of it.
    pub(crate) init: Option<Duration>,
    /// Set when the guest was interrupted in the middle of computing; cleared by who asks.
    pub(crate) interrupted: Arc<AtomicBool>,
    /// Counts the sandbox as alive until it is gone.
    _alive: Alive,
}

impl SandboxState {
    /// A store with an empty sandbox: nothing from outside but clocks, random numbers and the log.
    pub(crate) fn store(engine: &Engine, grants: &Arc<Grants>) -> Store<Self> {
        let attribution = Attribution::default();
        let output = |level| LineOutput::new(level, grants.log.clone(), attribution.clone());
        let wasi = WasiCtx::builder()
            .stdout(output("stdout"))
            .stderr(output("stderr"))
            .allow_blocking_current_thread(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let held = Held::default();
        let state = Self {
            wasi,
            http: WasiHttpCtx::new(),
            hooks: Hooks::new(grants.outbound.clone(), attribution.clone()),
            table,
            memory: MemoryLimiter::new(grants.limits.memory_bytes, held.clone(), grants.total.clone()),
            tensors: TensorLedger::new(
                grants.limits.tensor_bytes,
                grants.owner.clone(),
                held.clone(),
                grants.total.clone(),
            ),
            held,
            grants: grants.clone(),
            attribution,
            activity: Activity::new(),
            init: None,
            interrupted: Arc::default(),
            _alive: Alive::new(grants.total.clone()),
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.memory);
        // A guest that never waits is interrupted at every tick, so that its deadline can be seen from outside.
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| {
            store.data().interrupted.store(true, Relaxed);
            if is_late(&mut store) {
                return Err(wasmtime::Error::new(Fault::Deadline));
            }
            Ok(UpdateDeadline::Yield(1))
        });
        store
    }

    /// The turn of native work for an invocation; outside of any, what a guest does while it starts.
    pub(crate) fn turn(&self, invocation: Option<&Arc<Invocation>>) -> Turn {
        let (owner, ledger) = (self.grants.owner.clone(), self.tensors.shared());
        match invocation {
            Some(invocation) => invocation.turn(owner, ledger),
            None => Turn { owner, ledger: Some(ledger), ..Turn::default() },
        }
    }

    pub(crate) fn hooks(&mut self) -> &mut Hooks {
        &mut self.hooks
    }
}

impl WasiView for SandboxState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for SandboxState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Counts sandboxes.
struct Alive(Arc<FunctionUse>);

impl Alive {
    fn new(total: Arc<FunctionUse>) -> Self {
        total.sandboxes.fetch_add(1, Relaxed);
        total.cold_starts.fetch_add(1, Relaxed);
        Self(total)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.sandboxes.fetch_sub(1, Relaxed);
    }
}

/// Which invocation a sandbox works for. A WASI 0.3 sandbox may work for several: there the guest task tells.
#[derive(Clone, Default)]
pub(crate) struct Attribution(Arc<Mutex<Running>>);

#[derive(Default)]
struct Running {
    /// In a sandbox for one invocation at a time.
    sole: Option<Weak<Invocation>>,
    /// In a shared sandbox; entries of ended invocations are swept when another comes, some time after their deadlines.
    tasks: HashMap<GuestTaskId, Task>,
}

/// A guest's task in a shared sandbox, which may go on when its invocation has ended.
struct Task {
    invocation: Weak<Invocation>,
    deadline: Instant,
    answered: Arc<AtomicBool>,
}

impl Task {
    /// Its invocation has ended without an answer, and its guest may not have noticed.
    fn may_come_back(&self) -> bool {
        !self.answered.load(Relaxed) && self.deadline + REMEMBERED > Instant::now()
    }
}

impl Attribution {
    pub(crate) fn set_sole(&self, invocation: &Arc<Invocation>) {
        self.lock().sole = Some(Arc::downgrade(invocation));
    }

    pub(crate) fn add(&self, task: GuestTaskId, invocation: &Arc<Invocation>) {
        let mut running = self.lock();
        running.tasks.retain(|_, task| task.invocation.strong_count() > 0 || task.may_come_back());
        let deadline = invocation.limit;
        running
            .tasks
            .insert(task, Task { invocation: Arc::downgrade(invocation), deadline, answered: invocation.answered() });
    }

    fn has_tasks(&self) -> bool {
        !self.lock().tasks.is_empty()
    }

    fn sole(&self) -> Option<Arc<Invocation>> {
        self.lock().sole.as_ref()?.upgrade()
    }

    /// The invocation, if there is exactly one that it can be.
    pub(crate) fn only(&self) -> Option<Arc<Invocation>> {
        let running = self.lock();
        if let Some(sole) = &running.sole {
            return sole.upgrade();
        }
        let mut alive = running.tasks.values().filter_map(|task| task.invocation.upgrade());
        let first = alive.next()?;
        alive.next().is_none().then_some(first)
    }

    /// Whether it has not answered, so long after its deadline that nobody waits for it.
    fn is_late(&self, task: GuestTaskId) -> bool {
        let running = self.lock();
        let found = running.tasks.get(&task);
        found.is_some_and(|task| !task.answered.load(Relaxed) && task.deadline + GRACE < Instant::now())
    }

    fn of_task(&self, task: GuestTaskId) -> Option<Arc<Invocation>> {
        self.lock().tasks.get(&task)?.invocation.upgrade()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The invocation on whose behalf a host function was called.
pub(crate) fn invocation(mut store: impl AsContextMut<Data = SandboxState>) -> Option<Arc<Invocation>> {
    let mut store = store.as_context_mut();
    if let Some(sole) = store.data().attribution.sole() {
        return Some(sole);
    }
    let task = root_task(store.as_context_mut())?;
    store.data().attribution.of_task(task)
}

/// Whether the guest computes for an invocation of a shared sandbox that is past its deadline. None of the others in there
/// gets on before it ends, which may be never.
fn is_late(store: &mut StoreContextMut<'_, SandboxState>) -> bool {
    // wasmtime has a task to tell of in such a sandbox only.
    if !store.data().attribution.has_tasks() {
        return false;
    }
    let attribution = store.data().attribution.clone();
    root_task(store.as_context_mut()).is_some_and(|task| attribution.is_late(task))
}

/// The outermost task is the one that `on_request_start` was told of.
fn root_task(mut store: StoreContextMut<'_, SandboxState>) -> Option<GuestTaskId> {
    store.async_call_stack().ok()?.last()
}
