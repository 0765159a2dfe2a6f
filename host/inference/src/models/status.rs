//! What is asked of the models of a node, and what they tell about themselves.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use spillway_types::{Digest, Specialization};

use crate::TensorType;

/// Which model to open, and where its file is.
#[derive(Debug, Clone)]
pub struct ModelSource {
    /// What the model is named by.
    pub digest: Digest,
    /// What is fixed about it.
    pub specialization: Specialization,
    /// The file to load it from. It must stay while somebody holds the model, which may be loaded again at any run.
    pub file: PathBuf,
}

impl ModelSource {
    /// The model as its file has it.
    pub fn new(digest: Digest, file: impl Into<PathBuf>) -> Self {
        Self { digest, specialization: Specialization::default(), file: file.into() }
    }
}

/// When models give their memory back. The default is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelPolicy {
    /// What all loaded models may occupy together, in bytes, by the engine's estimate. Beyond it, those that run least
    /// recently are unloaded. What runs is never unloaded, so the total may be larger until a run ends.
    pub memory_bytes: usize,
    /// How long a model stays that does not run; `None` for ever.
    pub idle: Option<Duration>,
}

impl Default for ModelPolicy {
    fn default() -> Self {
        Self { memory_bytes: usize::MAX, idle: None }
    }
}

/// One model, for listings and metrics.
#[derive(Debug, Clone)]
pub struct ModelStatus {
    /// What the model is named by.
    pub digest: Digest,
    /// What is fixed about it.
    pub specialization: Specialization,
    /// The engine that runs it.
    pub engine: &'static str,
    /// Whether it is in memory. If not, its next run loads it.
    pub is_loaded: bool,
    /// Memory that it occupies now, in bytes; the engine's estimate.
    pub memory_bytes: usize,
    /// How long reading, parsing and optimising took the last time.
    pub load_time: Duration,
    /// When it last ran or, if it has not run since, was loaded.
    pub last_used: Instant,
    /// Its inputs.
    pub inputs: Vec<TensorType>,
    /// Its outputs.
    pub outputs: Vec<TensorType>,
    /// Runs that have ended with outputs.
    pub runs: u64,
    /// Runs that the engine failed, beside those that met their deadline.
    pub failed_runs: u64,
    /// How often it was loaded.
    pub loads: u64,
    /// Opens that found it in memory.
    pub hits: u64,
    /// Handles to it that others hold now.
    pub users: usize,
}

/// Why a model left memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnloadReason {
    /// It had not run for [`ModelPolicy::idle`].
    Idle,
    /// Others needed its memory.
    Pressure,
    /// [`Models::unload`](crate::Models::unload).
    Asked,
    /// A model that a guest had brought, when its last handle was dropped.
    Released,
}

impl UnloadReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Idle, Self::Pressure, Self::Asked, Self::Released];

    /// The word for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Pressure => "pressure",
            Self::Asked => "asked",
            Self::Released => "released",
        }
    }
}

/// What became of [`Models::unload`](crate::Models::unload).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unloaded {
    /// Its memory is free, or will be in a moment.
    Yes,
    /// It was in no memory.
    WasNot,
    /// It runs, is loading, or was brought by a guest who still holds it.
    InUse,
}

/// What has happened to all models since the node started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelCounts {
    /// Loads that succeeded, reloads included.
    pub loads: u64,
    /// Loads that failed.
    pub failed_loads: u64,
    /// Opens that found the model in memory.
    pub hits: u64,
    /// Models that left memory, in the order of [`UnloadReason::ALL`].
    pub unloads: [u64; UnloadReason::ALL.len()],
}

impl ModelCounts {
    /// Models that left memory for `reason`.
    pub fn unloads(&self, reason: UnloadReason) -> u64 {
        self.unloads[reason as usize]
    }
}
