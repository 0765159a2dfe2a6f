//! A revision ready to be called.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Body;
use crate::code::{Code, Linked};
use crate::component::Interface;
use crate::fault::Fault;
use crate::invocation::Invocation;
use crate::namespace_memory::NamespaceMemory;

const LOADED: &str = "what was got is there as long as it is held";

/// A compiled, linked and tried revision. Dropping it lets calls in flight finish.
pub struct Function {
    pub(crate) code: Code,
    pub(crate) imports: Vec<String>,
    pub(crate) usage: Arc<FunctionUse>,
}

/// What all sandboxes of a function take together, now and so far.
#[derive(Debug, Default)]
pub struct FunctionUse {
    pub(crate) sandboxes: AtomicU64,
    pub(crate) cold_starts: AtomicU64,
    pub(crate) memory_bytes: AtomicU64,
    pub(crate) tensor_bytes: AtomicU64,
    /// Of its namespace, what it takes among the rest.
    pub(crate) namespace: Arc<NamespaceMemory>,
}

impl FunctionUse {
    /// Sandboxes alive.
    pub fn sandboxes(&self) -> u64 {
        self.sandboxes.load(Relaxed)
    }

    /// Sandboxes ever made.
    pub fn cold_starts(&self) -> u64 {
        self.cold_starts.load(Relaxed)
    }

    /// Linear memory, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes.load(Relaxed)
    }

    /// Host tensors, in bytes.
    pub fn tensor_bytes(&self) -> u64 {
        self.tensor_bytes.load(Relaxed)
    }
}

impl Function {
    /// Calls the function. The answer's body streams out of the sandbox as it is read.
    ///
    /// # Errors
    /// Why there is no answer.
    ///
    /// # Cancel safety
    /// Dropping the future gives the call up: a sandbox of its own is dropped, in a shared one the guest's task runs
    /// on unheard until it ends or its deadline passes.
    pub async fn call(
        &self,
        invocation: &Arc<Invocation>,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Fault> {
        let answer = match &**self.code.get(invocation).await?.as_ref().expect(LOADED) {
            Linked::Shared(shared) => shared.call(invocation, request).await,
            Linked::Exclusive(exclusive) => exclusive.call(invocation, request).await,
        };
        invocation.note_answered(&answer);
        answer
    }

    /// As [`call`](Self::call), in a sandbox that no other call is in.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn call_alone(
        &self,
        invocation: &Arc<Invocation>,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Fault> {
        let answer = match &**self.code.get(invocation).await?.as_ref().expect(LOADED) {
            Linked::Shared(shared) => shared.call_alone(invocation, request).await,
            Linked::Exclusive(exclusive) => exclusive.call(invocation, request).await,
        };
        invocation.note_answered(&answer);
        answer
    }

    /// Whether several calls may be in one sandbox at once.
    pub fn shares_sandboxes(&self) -> bool {
        let policy = self.code.recipe.policy;
        self.interface() == Interface::P3 && policy.reuse && policy.concurrency > 1
    }

    /// The interface it answers through.
    pub fn interface(&self) -> Interface {
        self.code.recipe.interface
    }

    /// Whether its code is in memory.
    pub fn is_loaded(&self) -> bool {
        self.code.is_loaded()
    }

    /// Lets code and idle sandboxes go, unless somebody calls the function or its code is nowhere else; the next call loads
    /// it again. Says whether it went.
    pub fn unload(&self) -> bool {
        self.code.unload()
    }

    /// What it imports.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// What its sandboxes take.
    pub fn usage(&self) -> &Arc<FunctionUse> {
        &self.usage
    }
}
