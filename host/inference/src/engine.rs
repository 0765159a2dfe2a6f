//! What an engine is: it turns a file into a loaded model, and a loaded model turns tensors into tensors.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use spillway_types::{Specialization, format_bytes};

use crate::{DType, Ledger, Tensor};

/// Runs models. An engine is chosen once per node; `dyn`, because a node may have it from a library that is found at
/// start.
pub trait Engine: Send + Sync + 'static {
    /// The name that operators see, such as `tract`.
    fn name(&self) -> &'static str;

    /// Which version of the engine this is. What another version made of a model says nothing about this one.
    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// Parses and optimises the model in `file`, given whole, with what `specialization` fixes about it. Slow (seconds for
    /// large models), so never called on an async thread. May panic: the caller contains it.
    ///
    /// # Errors
    /// When the file is no model, `specialization` does not fit it, or this engine cannot run it.
    fn load(&self, file: Vec<u8>, specialization: &Specialization) -> Result<Box<dyn LoadedModel>, LoadError>;
}

/// A model in an engine's optimised form, shared by all who run it.
pub trait LoadedModel: Send + Sync + 'static {
    /// The inputs in the model's own order.
    fn inputs(&self) -> &[TensorType];

    /// The outputs in the model's own order.
    fn outputs(&self) -> &[TensorType];

    /// Memory that the model occupies, in bytes; an estimate.
    fn memory_bytes(&self) -> usize;

    /// Shapes of all inputs that a first run may be tried with, the likeliest first. Free axes have lengths that are
    /// guessed, so some need not fit.
    fn trials(&self) -> Vec<Vec<Vec<usize>>> {
        let shape = |input: &TensorType| input.shape.iter().map(|axis| axis.unwrap_or(1)).collect();
        vec![self.inputs().iter().map(shape).collect()]
    }

    /// The tensor of this name, of a file that has tensors and no graph.
    fn weight(&self, name: &str) -> Option<Tensor> {
        let _ = name;
        None
    }

    /// As [`run`](Self::run), within a limit of memory. An engine that cannot tell what it will take runs.
    ///
    /// # Errors
    /// Also [`RunError::TooMuchMemory`] and [`RunError::OutOfMemory`].
    fn run_within(
        &self,
        inputs: Vec<Tensor>,
        stop: &dyn Fn() -> bool,
        within: Within<'_>,
    ) -> Result<Vec<Tensor>, RunError> {
        let _ = within;
        self.run(inputs, stop)
    }

    /// Computes the outputs on the calling thread. `inputs` stand in the model's order and fit
    /// [`inputs`](Self::inputs). Asks `stop` between graph nodes, and gives up where it says so. May panic: the caller
    /// contains it.
    ///
    /// # Errors
    /// [`RunError::DeadlineExceeded`] when `stop` said so.
    fn run(&self, inputs: Vec<Tensor>, stop: &dyn Fn() -> bool) -> Result<Vec<Tensor>, RunError>;
}

/// The memory that a run may take beside its inputs.
#[derive(Clone, Copy, Debug)]
pub struct Within<'a> {
    /// No more than this.
    pub limit_bytes: u64,
    /// Charged with what the engine estimates before it runs, until it has.
    pub ledger: Option<&'a dyn Ledger>,
}

impl From<u64> for Within<'_> {
    /// Only a limit.
    fn from(limit_bytes: u64) -> Self {
        Self { limit_bytes, ledger: None }
    }
}

impl Within<'_> {
    /// Charges what a run is estimated to take.
    ///
    /// # Errors
    /// [`RunError::OutOfMemory`].
    pub fn charge(&self, bytes: u64) -> Result<Option<Box<dyn Any + Send>>, RunError> {
        self.ledger.map(|ledger| ledger.charge(bytes)).transpose().map_err(RunError::OutOfMemory)
    }
}

/// The declared type of one input or output of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorType {
    /// The name in the model.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// The length of each axis; a free axis (the batch, usually) is `None`.
    pub shape: Vec<Option<usize>>,
}

impl TensorType {
    /// Whether `tensor` may be passed as this input.
    pub fn admits(&self, tensor: &Tensor) -> bool {
        let axis_fits = |(declared, given): (&Option<usize>, &usize)| declared.is_none_or(|length| length == *given);
        self.dtype == tensor.dtype()
            && self.shape.len() == tensor.shape().len()
            && self.shape.iter().zip(tensor.shape()).all(axis_fits)
    }
}

impl fmt::Display for TensorType {
    /// Without the name: `int32 [?, 2048]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [", self.dtype)?;
        for (index, axis) in self.shape.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match axis {
                Some(length) => write!(f, "{comma}{length}")?,
                None => write!(f, "{comma}?")?,
            }
        }
        write!(f, "]")
    }
}

/// A file that an engine does not take. Messages are for the author of the function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadError {
    /// Not the format that the engine reads, or damaged.
    #[error("not a model: {0}")]
    NotAModel(String),
    /// A model that what the manifest fixes about it does not fit.
    #[error("`shapes` and `constants` do not fit the model: {0}")]
    Specialization(String),
    /// A model, but the engine cannot run it.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// The check of a file from strangers ended at its limit of memory.
    #[error(
        "trying it takes more than {}; if you trust the file, start the node with a larger --model-check-memory",
        format_bytes(*limit_bytes)
    )]
    TooMuchMemory {
        /// The limit.
        limit_bytes: u64,
    },
    /// The check of a file from strangers ended at its limit of time.
    #[error(
        "trying it takes longer than {} s; if you trust the file, start the node with a larger --model-check-time",
        limit.as_secs_f64()
    )]
    TooSlow {
        /// The limit.
        limit: Duration,
    },
    /// The engine broke on the file, in a process where that does no harm.
    #[error("the engine breaks on it: {0}")]
    Crashed(String),
}

/// A run that gave no outputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// An input does not fit the model; the message names it.
    #[error("{0}")]
    InvalidArgument(String),
    /// The deadline passed before or while computing.
    #[error("the deadline passed before the model had finished")]
    DeadlineExceeded,
    /// The model had been unloaded and cannot be loaded again; the next run tries anew.
    #[error("the model is not in memory and cannot be loaded again: {0}")]
    LoadFailed(String),
    /// The run would take more memory than the node gives one.
    #[error(
        "the run takes {} beside its inputs, at {place}, and the node gives one run {}; give smaller inputs, or start the node with \
         a larger --run-memory",
        format_bytes(*needed_bytes),
        format_bytes(*limit_bytes)
    )]
    TooMuchMemory {
        /// The operator at which it goes beyond the limit, and the name of its node.
        place: String,
        /// What it would take.
        needed_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// Whoever asked may not take as much memory; the message says what to do.
    #[error("{0}")]
    OutOfMemory(String),
    /// The engine failed on inputs that fit.
    #[error("the engine failed: {0}")]
    EngineFailed(String),
}
