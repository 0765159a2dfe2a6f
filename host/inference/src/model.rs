//! A model, as those who run it hold it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use spillway_types::{Digest, Specialization};

use crate::arguments::arrange;
use crate::job::contain;
use crate::models::{Boarding, Loaded, UnloadReason, Usage, Waiter};
use crate::tensor::Weight;
use crate::weights::WeightName;
use crate::{JobError, KernelThreads, Ledger, ModelStatus, RunError, Tensor, TensorType, Turn, Within};

/// A model of the node, shared by all sandboxes that may use it. Its weights may leave memory while nobody runs it; the
/// next run loads them again.
pub struct Model {
    /// To board a load, which keeps the model.
    this: Weak<Model>,
    digest: Digest,
    specialization: Specialization,
    /// Set by the first load, before anybody is given the model.
    types: OnceLock<Types>,
    /// Where it can be loaded from again; none if a guest brought it.
    file: Mutex<Option<PathBuf>>,
    form: Mutex<Form>,
    usage: Arc<Usage>,
    threads: Arc<KernelThreads>,
}

struct Types {
    inputs: Vec<TensorType>,
    outputs: Vec<TensorType>,
}

/// What there is of a model in memory.
#[derive(Default)]
pub(crate) enum Form {
    #[default]
    Unloaded,
    /// With all who wait for it.
    Loading(Vec<Waiter>),
    Loaded(Arc<Loaded>),
}

/// What a run gave, and where its time went.
#[derive(Debug, Clone)]
pub struct Run {
    /// In the order of [`Model::outputs`].
    pub outputs: Vec<Tensor>,
    /// Waiting for a kernel thread, and for the model to be loaded if it was not.
    pub queued: Duration,
    /// Computing.
    pub computed: Duration,
}

impl Model {
    /// A model that is not loaded yet.
    pub(crate) fn new(
        digest: Digest,
        specialization: Specialization,
        usage: Arc<Usage>,
        threads: Arc<KernelThreads>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            digest,
            specialization,
            types: OnceLock::new(),
            file: Mutex::default(),
            form: Mutex::default(),
            usage,
            threads,
        })
    }

    /// What the model is named by.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What is fixed about it.
    pub fn specialization(&self) -> &Specialization {
        &self.specialization
    }

    /// The inputs in the model's own order.
    pub fn inputs(&self) -> &[TensorType] {
        self.types.get().map_or(&[], |types| &types.inputs)
    }

    /// The outputs in the model's own order.
    pub fn outputs(&self) -> &[TensorType] {
        self.types.get().map_or(&[], |types| &types.outputs)
    }

    /// Runs the model on a kernel thread, after loading it if it is not in memory. Inputs are given by name, each exactly
    /// once, in any order.
    ///
    /// Returns at `deadline` at the latest, whether the run waits, loads or computes; a load goes on for the next. With a
    /// deadline this needs a Tokio runtime with time enabled; without one, any runtime will do.
    ///
    /// # Errors
    /// [`RunError`].
    ///
    /// # Cancel safety
    /// Dropping the future takes a waiting run out of the queue, and ends one that computes at its next graph node.
    pub async fn run(&self, inputs: Vec<(String, Tensor)>, turn: impl Into<Turn>) -> Result<Run, RunError> {
        let inputs = arrange(self.inputs(), inputs)?;
        let turn = turn.into();
        let deadline = turn.deadline;
        let run = self.load_and_run(inputs, turn);
        match deadline {
            None => run.await,
            Some(deadline) => {
                tokio::time::timeout_at(deadline.into(), run).await.map_err(|_| RunError::DeadlineExceeded)?
            }
        }
    }

    async fn load_and_run(&self, inputs: Vec<Tensor>, turn: Turn) -> Result<Run, RunError> {
        let asked = Instant::now();
        let boarding = self.board()?;
        let is_there = matches!(boarding, Boarding::Landed(_));
        let loaded = boarding.wait().await.map_err(|error| RunError::LoadFailed(error.to_string()))?;
        if !is_there {
            turn.note(asked.elapsed(), Duration::ZERO);
        }
        if self.is_short() {
            let run = loaded.run_counted(inputs, asked, &|| turn.has_passed(), turn.ledger.as_deref());
            if let Ok(run) = &run {
                turn.note(Duration::ZERO, run.computed);
            }
            return run;
        }
        let watched = turn.clone();
        let job = self.threads.spawn_in(turn, move |caller| {
            let stop = || caller.is_gone() || watched.has_passed();
            loaded.run_counted(inputs, asked, &stop, watched.ledger.as_deref())
        });
        job.await.unwrap_or_else(|error| Err(RunError::EngineFailed(error.to_string())))
    }

    /// A tensor of a file that has tensors and no graph, after loading it if it is not in memory. It keeps the file there.
    ///
    /// # Errors
    /// [`RunError::InvalidArgument`] where there is none of that name.
    pub async fn weight(&self, name: &str, deadline: Option<Instant>) -> Result<Tensor, RunError> {
        let arrival = self.board()?.wait();
        let arrived = match deadline {
            None => arrival.await,
            Some(deadline) => {
                tokio::time::timeout_at(deadline.into(), arrival).await.map_err(|_| RunError::DeadlineExceeded)?
            }
        };
        let loaded = arrived.map_err(|error| RunError::LoadFailed(error.to_string()))?;
        let Some(tensor) = loaded.form.weight(name) else { return Err(self.no_weight(name)) };
        let name = WeightName { file: self.digest, name: name.to_owned() };
        Ok(tensor.of_weight(Weight { name, _file: loaded }))
    }

    fn no_weight(&self, name: &str) -> RunError {
        RunError::InvalidArgument(if self.inputs().is_empty() {
            let some: Vec<_> = self.outputs().iter().take(3).map(|output| output.name.as_str()).collect();
            format!("the file has no tensor `{name}`; it has {} and others, which `outputs` lists", some.join(", "))
        } else {
            format!("the model has a graph, whose weights cannot be taken out, such as `{name}`; run it")
        })
    }

    /// Whether a run is not worth a thread's attention, as a short [`Kernel`](crate::Kernel) is not: every run is alike,
    /// because no axis is free, and of late they have taken no longer.
    fn is_short(&self) -> bool {
        let is_fixed = |input: &TensorType| input.shape.iter().all(Option::is_some);
        self.usage.is_short() && self.inputs().iter().all(is_fixed)
    }

    /// As [`run`](Self::run), on the calling thread: for native tests of functions, and for threads that may block, other
    /// than kernel threads.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn run_blocking(&self, inputs: Vec<(String, Tensor)>, deadline: Option<Instant>) -> Result<Run, RunError> {
        let inputs = arrange(self.inputs(), inputs)?;
        let asked = Instant::now();
        let loaded = self.board()?.wait_blocking(deadline)?;
        loaded.run_counted(inputs, asked, &|| has_passed(deadline), None)
    }

    /// Memory that the model occupies now, in bytes; the engine's estimate, and 0 while it is not loaded.
    pub fn memory_bytes(&self) -> usize {
        match &*self.form() {
            Form::Loaded(loaded) => loaded.form.memory_bytes(),
            Form::Loading(_) | Form::Unloaded => 0,
        }
    }

    /// How long reading, parsing and optimising took the last time.
    pub fn load_time(&self) -> Duration {
        self.usage.load_time()
    }

    /// How many runs have ended with outputs.
    pub fn runs(&self) -> u64 {
        self.usage.runs()
    }

    pub(crate) fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }

    pub(crate) fn form(&self) -> MutexGuard<'_, Form> {
        // An engine that panics when asked for its memory leaves nothing half-changed.
        self.form.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_file(&self, file: PathBuf) {
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    }

    /// Notes what the first load tells about the model.
    pub(crate) fn describe(&self, loaded: &Loaded) {
        let (inputs, outputs) = (loaded.form.inputs(), loaded.form.outputs());
        self.types.get_or_init(|| Types { inputs: inputs.to_vec(), outputs: outputs.to_vec() });
    }

    /// Ends a load: the form becomes `form`, and those who wait are to be told.
    pub(crate) fn change_form(&self, form: Form) -> Vec<Waiter> {
        match std::mem::replace(&mut *self.form(), form) {
            Form::Loading(waiters) => waiters,
            Form::Unloaded | Form::Loaded(_) => Vec::new(),
        }
    }

    /// The form, if it is there and nobody runs it; then the model is unloaded.
    pub(crate) fn take_idle_form(&self) -> Option<Arc<Loaded>> {
        let mut form = self.form();
        match std::mem::take(&mut *form) {
            // Others take it only under this lock, so one is one until it is released.
            Form::Loaded(loaded) if Arc::strong_count(&loaded) == 1 => Some(loaded),
            other => {
                *form = other;
                None
            }
        }
    }

    /// What it tells about itself, if it was ever loaded.
    pub(crate) fn status(&self, engine: &'static str, users: usize) -> Option<ModelStatus> {
        let types = self.types.get()?;
        let is_loaded = matches!(&*self.form(), Form::Loaded(_));
        let memory_bytes = self.memory_bytes();
        Some(ModelStatus {
            digest: self.digest,
            specialization: self.specialization.clone(),
            engine,
            is_loaded,
            memory_bytes,
            load_time: self.usage.load_time(),
            last_used: self.usage.last_used(),
            inputs: types.inputs.clone(),
            outputs: types.outputs.clone(),
            runs: self.usage.runs(),
            failed_runs: self.usage.failed_runs(),
            loads: self.usage.loads(),
            hits: self.usage.hits(),
            users,
        })
    }

    fn board(&self) -> Result<Boarding, RunError> {
        if let Form::Loaded(loaded) = &*self.form() {
            return Ok(Boarding::Landed(loaded.clone()));
        }
        let stopped = || RunError::LoadFailed(JobError::Stopped.to_string());
        let shared = self.usage.shared.upgrade().ok_or_else(stopped)?;
        let this = self.this.upgrade().ok_or_else(stopped)?;
        shared.board(&this, None).map_err(|error| RunError::LoadFailed(error.to_string()))
    }
}

impl Loaded {
    /// Runs on the calling thread, and says how long that took and how long it was since `asked`.
    fn run_counted(
        self: Arc<Self>,
        inputs: Vec<Tensor>,
        asked: Instant,
        stop: &dyn Fn() -> bool,
        ledger: Option<&dyn Ledger>,
    ) -> Result<Run, RunError> {
        let queued = asked.elapsed();
        let usage = self.usage.clone();
        let (outputs, took) = self.run(inputs, asked, stop, ledger)?;
        let computed = took - queued;
        usage.note_time(computed);
        Ok(Run { outputs, queued, computed })
    }

    /// Runs on the calling thread; returns the outputs and the time since `asked`. An engine's panic is an error.
    fn run(
        self: Arc<Self>,
        inputs: Vec<Tensor>,
        asked: Instant,
        stop: &dyn Fn() -> bool,
        ledger: Option<&dyn Ledger>,
    ) -> Result<(Vec<Tensor>, Duration), RunError> {
        let within = Within { limit_bytes: u64::MAX, ledger };
        let compute = || match stop() {
            true => Err(RunError::DeadlineExceeded),
            false => self.form.run_within(inputs, stop, within),
        };
        let result =
            contain(compute).unwrap_or_else(|panic| Err(RunError::EngineFailed(JobError::Panicked(panic).to_string())));
        let took = asked.elapsed();
        let usage = self.usage.clone();
        usage.note_run(&result, asked + took);
        drop(self);
        usage.relieve();
        result.map(|outputs| (outputs, took))
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        if let Form::Loaded(_) = &*self.form() {
            self.usage.tally.note_unload(UnloadReason::Released);
        }
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("digest", &self.digest).finish_non_exhaustive()
    }
}

fn has_passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}
