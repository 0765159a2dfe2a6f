//! Native inference: tensors, engines, and the models of a node.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `tensor` | [`Tensor`], and [`byte_length`], the one place of shape arithmetic |
//! | `layout`, `blocks`, `element`, `shared_storage` | views, element types, and storage as the engine takes it |
//! | `vectors` | loops with the widest vectors of the machine |
//! | `kernel`, `kernels` | [`Kernel`]: native operators, checked, then computed where they belong |
//! | `graph` | [`Graph`]: operators compiled together; [`Graphs`] keeps those in use |
//! | `recycle` | memory that a graph's results leave to the next ones |
//! | `weights` | `safetensors` files: tensors by name |
//! | `engine` | [`Engine`] and [`LoadedModel`]: what a node needs of whatever runs models |
//! | `tract` | [`TractEngine`], the embedded engine: ONNX, pure Rust |
//! | `threads`, `fair`, `job` | [`KernelThreads`]: where all of it computes, in whose [`Turn`]; async code awaits a [`Job`] |
//! | `models` | [`Models`]: loads each digest once per node, and unloads what nobody needs |
//! | `run_memory` | [`RunMemory`]: an engine that refuses runs which take too much memory |
//! | `screening`, [`check`] | [`Screening`]: what is asked before an engine sees a file; what the process that is asked does |
//! | `trial` | a model's first run, in that process |
//! | `model`, `arguments` | [`Model`]: checks inputs by name, queues, runs, keeps the deadline |
//!
//! What happens to a call of a model:
//!
//! | step | where | what goes wrong there |
//! | --- | --- | --- |
//! | [`Models::open`] | a kernel thread, the first time | [`OpenError`]: unreadable, another digest, no model, unsupported |
//! | inputs checked | the caller's thread | [`RunError::InvalidArgument`], naming the input |
//! | loaded again, if it was unloaded | a kernel thread | [`RunError::LoadFailed`], [`RunError::DeadlineExceeded`] |
//! | queued | the most urgent first, then by who has had least, then by deadline | [`RunError::DeadlineExceeded`] |
//! | planned, if the shape is new | a kernel thread | [`RunError::EngineFailed`], [`RunError::TooMuchMemory`] |
//! | computed | a kernel thread, stopping between graph nodes | both of these |
//!
//! Invariants: native code runs on [`KernelThreads`] or in a function named `blocking`, never on an async thread. A
//! panic in an engine is an error of the call that met it. Nothing here knows Wasm, HTTP or where blobs are kept.

mod arguments;
mod blank;
mod blocks;
pub mod check;
mod element;
mod engine;
mod fair;
mod graph;
mod job;
mod kernel;
mod kernels;
mod layout;
mod model;
mod models;
mod recycle;
mod run_memory;
mod screening;
mod shared_storage;
mod tensor;
mod threads;
mod tract;
mod trial;
mod vectors;
mod weights;

pub use engine::{Engine, LoadError, LoadedModel, RunError, TensorType, Within};
pub use fair::{Ledger, Meter, Turn};
pub use graph::{Graph, Graphs, infer};
pub use job::{Caller, Job, JobError};
pub use kernel::Kernel;
pub use model::{Model, Run};
pub use models::{ModelCounts, ModelPolicy, ModelSource, ModelStatus, Models, OpenError, UnloadReason, Unloaded};
pub use run_memory::RunMemory;
pub use screening::{ScreenError, Screening};
pub use spillway_types::DType;
pub use tensor::{MAX_RANK, Tensor, TensorError, byte_length};
pub use threads::{AtRest, KernelThreads, ThreadLoad};
pub use tract::TractEngine;
