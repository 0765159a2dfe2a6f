//! A function's code in memory: there while it is called, away while nobody does.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwapOption, Guard};
use spillway_types::SandboxPolicy;
use tokio::sync::Semaphore;

use crate::code_cache::CodeKey;
use crate::component::Interface;
use crate::exclusive::Exclusive;
use crate::fault::Fault;
use crate::invocation::Invocation;
use crate::runtime::Runtime;
use crate::sandbox::Grants;
use crate::shared::Shared;

/// Reads a function's component again, should its compiled code be gone. Blocks on the disk.
pub type ReadComponent = Arc<dyn Fn() -> Result<Vec<u8>, String> + Send + Sync>;

/// Linked code, and the sandboxes that run it.
pub(crate) enum Linked {
    /// WASI 0.3: several invocations share a sandbox.
    Shared(Shared),
    /// WASI 0.2: a sandbox serves one invocation at a time.
    Exclusive(Exclusive),
}

impl Linked {
    /// Whether no call is in it, and no sandbox that could not be made anew.
    fn is_at_rest(&self) -> bool {
        match self {
            Self::Shared(shared) => shared.is_at_rest(),
            Self::Exclusive(exclusive) => exclusive.is_at_rest(),
        }
    }
}

/// A function's code, wherever it is now. Lives as long as the function.
pub(crate) struct Code {
    linked: ArcSwapOption<Linked>,
    /// One task at a time loads it; the others wait for that one.
    loading: Semaphore,
    pub(crate) recipe: Recipe,
}

/// How the code is loaded.
pub(crate) struct Recipe {
    pub(crate) runtime: Runtime,
    pub(crate) interface: Interface,
    pub(crate) key: CodeKey,
    pub(crate) grants: Arc<Grants>,
    pub(crate) policy: SandboxPolicy,
    pub(crate) component: ReadComponent,
    /// Whether it can be loaded from the disk; what had no room there stays in memory.
    pub(crate) is_kept: bool,
}

impl Code {
    pub(crate) fn new(linked: Linked, recipe: Recipe) -> Self {
        Self { linked: ArcSwapOption::from_pointee(linked), loading: Semaphore::new(1), recipe }
    }

    /// The code, loaded if it is away. Calls hold on to what they have got, so that it stays until they end.
    pub(crate) async fn get(&self, invocation: &Invocation) -> Result<Guard<Option<Arc<Linked>>>, Fault> {
        let linked = self.linked.load();
        if linked.is_some() {
            return Ok(linked);
        }
        let loaded = tokio::time::timeout_at(invocation.deadline.into(), self.load(invocation)).await;
        loaded.map_err(|_| Fault::Deadline)?
    }

    async fn load(&self, invocation: &Invocation) -> Result<Guard<Option<Arc<Linked>>>, Fault> {
        let _turn = self.loading.acquire().await.expect("the semaphore is never closed");
        let linked = self.linked.load();
        if linked.is_some() {
            return Ok(linked);
        }
        let start = Instant::now();
        let linked = Arc::new(self.recipe.runtime.load(&self.recipe).await?);
        self.linked.store(Some(linked.clone()));
        invocation.note_init(start.elapsed());
        Ok(Guard::from_inner(Some(linked)))
    }

    /// Whether it is in memory.
    pub(crate) fn is_loaded(&self) -> bool {
        self.linked.load().is_some()
    }

    /// Lets it go unless somebody uses it. Says whether it went.
    pub(crate) fn unload(&self) -> bool {
        let idle = |linked: &Option<Arc<Linked>>| linked.as_ref().is_some_and(|linked| linked.is_at_rest());
        if !self.recipe.is_kept || !idle(&self.linked.load()) {
            return false;
        }
        // A call that has just got it keeps it; the next one loads it again.
        self.linked.store(None);
        true
    }
}
