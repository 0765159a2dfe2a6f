//! `wasi:nn@0.2.0-rc-2024-10-28` over the node's models, for components of any toolchain.
//!
//! Bindings of our own: those of `wasmtime-wasi-nn` compute on the async thread and copy tensors (design decision 2).
//! Here a tensor is the same host tensor as in `spillway:tensor`, a graph the same shared model, and `compute` waits for
//! a kernel thread.

pub(super) mod errors;
pub(super) mod graph;
mod inference;
pub(super) mod tensor;

use wasmtime::component::{HasSelf, Linker};

use errors::NnError;
use graph::{ExecutionContext, Graph};
use tensor::NnTensor;

use super::bindings::nn::Ml;
use crate::sandbox::SandboxState;

/// Links all of `wasi:nn`.
pub(super) fn add_to_linker(linker: &mut Linker<SandboxState>) -> wasmtime::Result<()> {
    Ml::add_to_linker::<_, HasSelf<SandboxState>>(linker, |state| state)?;
    linker.allow_shadowing(true);
    tensor::link_in_place(linker)?;
    graph::link_in_place(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}
