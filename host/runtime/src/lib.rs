//! Runs functions: the only crate that knows wasmtime.
//!
//! ```text
//! component bytes ── scan ──> interface, imports      (component.rs)
//!                 ── compile or map ──> Component      (code_cache.rs, engines.rs)
//!                 ── link, pre-instantiate, try ──> Function   (runtime.rs)
//! request ── Function::call ──> shared.rs (WASI 0.3)  or  exclusive.rs (WASI 0.2)  ──> response or Fault
//! ```
//!
//! State is named by its lifetime: [`Runtime`] lives as long as the node, [`Function`] as long as a revision serves,
//! a sandbox (`sandbox.rs`) as long as its store, [`Invocation`] as long as a call.

mod activity;
mod code;
mod code_cache;
mod component;
mod engines;
mod exclusive;
mod fault;
mod function;
mod host;
mod imports;
mod invocation;
mod limits;
mod long_calls;
mod namespace_memory;
mod outbound;
mod output;
mod priority;
mod runtime;
mod sandbox;
mod shared;
mod storage;
mod workers;

pub use code::ReadComponent;
pub use code_cache::CacheError;
pub use component::Interface;
pub use fault::Fault;
pub use function::{Function, FunctionUse};
pub use host::{GuestRecord, KeyValue, KeyValueError, LogSink, OutboundEnd, OutboundSink};
pub use invocation::{Invocation, InvocationId, Kept, Timing};
pub use namespace_memory::NamespaceMemory;
pub use outbound::EgressConfig;
pub use runtime::{FunctionSpec, PrepareError, Prepared, Runtime, RuntimeConfig};
pub use workers::{cores, like_any_other, serving_runtime};

/// The body of a request that a guest reads, and of a response that it writes.
pub type Body = wasmtime_wasi_http::WasiBody;

/// Why a body broke off.
pub type BodyError = wasmtime_wasi_http::Error;
