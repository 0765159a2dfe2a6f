//! The models of one node: each is loaded once, whatever the number of sandboxes, and leaves memory when nobody needs it.
//!
//! ```text
//!             open, run                    the engine is done
//!  Unloaded ─────────────> Loading ──────────────────────────────> Loaded
//!     ^                       │ failed: all who wait are told         │ idle, pressure, asked,
//!     └───────────────────────┴───────────────────────────────────────┘ and nobody runs it
//! ```

mod error;
mod flight;
mod load;
mod memory;
mod status;
mod usage;

use std::sync::Arc;
use std::time::Instant;

use spillway_types::{Digest, Specialization};

pub use self::error::OpenError;
pub(crate) use self::flight::{Boarding, Loaded, Waiter};
pub(crate) use self::memory::Shared;
pub use self::status::{ModelCounts, ModelPolicy, ModelSource, ModelStatus, UnloadReason, Unloaded};
pub(crate) use self::usage::Usage;
use crate::{Engine, Graphs, KernelThreads, Model, Screening};

/// Loads models on the kernel threads and keeps them by digest, within a [`ModelPolicy`].
///
/// A load belongs to the node, not to whoever asked first: an opener that goes away takes nothing from the others, and
/// the model stays for the next. A handle costs no more than a few names: the weights behind it come and go.
pub struct Models {
    shared: Arc<Shared>,
}

impl Models {
    /// An empty cache that loads with `engine` on `threads`, and unloads nothing by itself.
    pub fn new(engine: Arc<dyn Engine>, threads: Arc<KernelThreads>) -> Self {
        Self::with_policy(engine, threads, ModelPolicy::default())
    }

    /// An empty cache that loads with `engine` on `threads`. Idle models leave it only while somebody
    /// [tends](Self::tend) it.
    pub fn with_policy(engine: Arc<dyn Engine>, threads: Arc<KernelThreads>, policy: ModelPolicy) -> Self {
        Self { shared: Shared::new(engine, threads, policy) }
    }

    /// Asks `screening` about every model before the engine sees it for the first time.
    pub fn with_screening(self, screening: Arc<dyn Screening>) -> Self {
        // Set once, before the first model.
        let _ = self.shared.screening.set(screening);
        self
    }

    /// The model of `source`, loaded from its file unless it is in memory or another opener is loading it already. All
    /// who open it meanwhile share the outcome; after a failure the next opener tries anew.
    ///
    /// # Errors
    /// [`OpenError`]. The file's digest is verified before the engine sees a byte of it.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the load running, for the others and for the cache.
    pub async fn open(&self, source: ModelSource) -> Result<Arc<Model>, OpenError> {
        let ModelSource { digest, specialization, file } = source;
        let model = self.shared.handle((digest, specialization), Some(file));
        self.board(model, None).await
    }

    /// The model that `bytes` are: one with the same digest if it is there, else loaded now.
    ///
    /// There is no file to load it from again, so it stays in memory as long as somebody holds it, and no longer. (Its
    /// bytes could be kept instead, but they are about as many as its weights.) Such loads have one thread for all, so
    /// that they delay each other and no run. Once [`open`](Self::open) has been
    /// called with a file of the same digest it is a model like any other.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// # Cancel safety
    /// As [`open`](Self::open).
    pub async fn open_bytes(&self, bytes: Vec<u8>) -> Result<Arc<Model>, OpenError> {
        let hashed = self.shared.threads.spawn(move |_| (Digest::of(&bytes), bytes)).await;
        let (digest, bytes) = hashed.map_err(|_| OpenError::Stopped)?;
        let model = self.shared.handle((digest, Specialization::default()), None);
        self.board(model, Some(bytes)).await
    }

    /// The models in memory, by digest.
    pub fn loaded(&self) -> Vec<ModelStatus> {
        let mut models = self.known();
        models.retain(|status| status.is_loaded);
        models
    }

    /// The models that are in memory or held by somebody, by digest.
    pub fn known(&self) -> Vec<ModelStatus> {
        let engine = self.shared.engine.name();
        let known = self.shared.known();
        // One that has never been loaded has nothing to tell.
        let described = known.iter().filter_map(|(model, users)| model.status(engine, *users));
        let mut models: Vec<_> = described.collect();
        models.sort_by(|a, b| (a.digest, &a.specialization).cmp(&(b.digest, &b.specialization)));
        models
    }

    /// Frees the memory of the models of `digest` unless they are in use. Those who hold them go on: the next run loads
    /// them again.
    pub fn unload(&self, digest: Digest) -> Unloaded {
        self.shared.unload_digest(digest)
    }

    /// Unloads models as they become idle, until it is dropped. One such task is enough for a node. It needs a Tokio
    /// runtime with time enabled.
    pub async fn tend(&self) {
        loop {
            let changed = self.shared.changed.notified();
            match self.shared.unload_idle(Instant::now()) {
                None => changed.await,
                // Either way it is time to look again.
                Some(due) => _ = tokio::time::timeout_at(due.into(), changed).await,
            }
        }
    }

    /// The name of the engine that loads and runs the models.
    pub fn engine(&self) -> &'static str {
        self.shared.engine.name()
    }

    /// What has happened to all models so far.
    pub fn counts(&self) -> ModelCounts {
        self.shared.tally.counts()
    }

    /// When models give their memory back.
    pub fn policy(&self) -> ModelPolicy {
        self.shared.policy
    }

    /// The threads that load and run the models.
    pub fn threads(&self) -> &Arc<KernelThreads> {
        &self.shared.threads
    }

    /// The graphs of the node's functions.
    pub fn graphs(&self) -> &Graphs {
        &self.shared.graphs
    }

    async fn board(&self, model: Arc<Model>, bytes: Option<Vec<u8>>) -> Result<Arc<Model>, OpenError> {
        let boarding = self.shared.board(&model, bytes)?;
        if matches!(boarding, Boarding::Landed(_)) {
            model.usage().note_hit();
        }
        boarding.wait().await?;
        Ok(model)
    }
}
