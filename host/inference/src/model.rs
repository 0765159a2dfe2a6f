//! A loaded model, as those who run it hold it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use spillway_types::{Digest, Specialization};

use crate::arguments::arrange;
use crate::job::contain;
use crate::{JobError, KernelThreads, LoadedModel, RunError, Tensor, TensorType};

/// A model in memory, shared by all sandboxes that may use it.
pub struct Model {
    digest: Digest,
    specialization: Specialization,
    /// Shared with the jobs that run it, which may outlive their callers.
    core: Arc<Core>,
    threads: Arc<KernelThreads>,
    load_time: Duration,
}

struct Core {
    loaded: Box<dyn LoadedModel>,
    runs: AtomicU64,
}

/// What a run gave, and where its time went.
#[derive(Debug, Clone)]
pub struct Run {
    /// In the order of [`Model::outputs`].
    pub outputs: Vec<Tensor>,
    /// Waiting for a kernel thread.
    pub queued: Duration,
    /// Computing.
    pub computed: Duration,
}

impl Model {
    pub(crate) fn new(
        digest: Digest,
        specialization: Specialization,
        loaded: Box<dyn LoadedModel>,
        threads: Arc<KernelThreads>,
        load_time: Duration,
    ) -> Self {
        Self { digest, specialization, core: Arc::new(Core { loaded, runs: AtomicU64::new(0) }), threads, load_time }
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
        self.core.loaded.inputs()
    }

    /// The outputs in the model's own order.
    pub fn outputs(&self) -> &[TensorType] {
        self.core.loaded.outputs()
    }

    /// Runs the model on a kernel thread. Inputs are given by name, each exactly once, in any order.
    ///
    /// Returns at `deadline` at the latest, whether the run waits or computes. With a deadline this needs a Tokio
    /// runtime with time enabled; without one, any runtime will do.
    ///
    /// # Errors
    /// [`RunError`].
    ///
    /// # Cancel safety
    /// Dropping the future takes a waiting run out of the queue, and ends one that computes at its next graph node.
    pub async fn run(&self, inputs: Vec<(String, Tensor)>, deadline: Option<Instant>) -> Result<Run, RunError> {
        let inputs = arrange(self.inputs(), inputs)?;
        let core = self.core.clone();
        let asked = Instant::now();
        let job = self.threads.spawn(move |caller| {
            let queued = asked.elapsed();
            let outputs = core.run(inputs, &|| caller.is_gone() || has_passed(deadline))?;
            Ok(Run { outputs, queued, computed: asked.elapsed() - queued })
        });
        let finished = match deadline {
            None => job.await,
            Some(deadline) => {
                tokio::time::timeout_at(deadline.into(), job).await.map_err(|_| RunError::DeadlineExceeded)?
            }
        };
        finished.unwrap_or_else(|error| Err(RunError::EngineFailed(error.to_string())))
    }

    /// As [`run`](Self::run), on the calling thread: for native tests of functions, and for threads that may block.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn run_blocking(&self, inputs: Vec<(String, Tensor)>, deadline: Option<Instant>) -> Result<Run, RunError> {
        let inputs = arrange(self.inputs(), inputs)?;
        let started = Instant::now();
        let outputs = contain(|| self.core.run(inputs, &|| has_passed(deadline)))
            .unwrap_or_else(|panic| Err(RunError::EngineFailed(JobError::Panicked(panic).to_string())))?;
        Ok(Run { outputs, queued: Duration::ZERO, computed: started.elapsed() })
    }

    /// Memory that the model occupies, in bytes; the engine's estimate.
    pub fn memory_bytes(&self) -> usize {
        self.core.loaded.memory_bytes()
    }

    /// How long reading, parsing and optimising took.
    pub fn load_time(&self) -> Duration {
        self.load_time
    }

    /// How many runs have ended with outputs.
    pub fn runs(&self) -> u64 {
        self.core.runs.load(Relaxed)
    }
}

impl Core {
    fn run(&self, inputs: Vec<Tensor>, stop: &dyn Fn() -> bool) -> Result<Vec<Tensor>, RunError> {
        if stop() {
            return Err(RunError::DeadlineExceeded);
        }
        let outputs = self.loaded.run(inputs, stop)?;
        self.runs.fetch_add(1, Relaxed);
        Ok(outputs)
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
