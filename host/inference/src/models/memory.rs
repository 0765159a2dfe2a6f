//! Which models are in memory, and which have to leave it.
//!
//! Locks: the registry's first, a model's or that of the graphs second, none while something large is freed.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use spillway_types::{Digest, Specialization};
use tokio::sync::{Notify, oneshot};

use super::flight::{Boarding, Flight, Loaded, Waiter};
use super::load::Origin;
use super::status::{ModelPolicy, UnloadReason, Unloaded};
use super::usage::{Tally, Usage};
use super::{OpenError, load};
use crate::model::{Form, Model};
use crate::{Engine, Graphs, KernelThreads, Screening};

/// What all models of a node share.
pub(crate) struct Shared {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) threads: Arc<KernelThreads>,
    /// Where models that guests bring are loaded, one after the other, once there is one; `None` if the system refuses a
    /// thread.
    guests: OnceLock<Option<KernelThreads>>,
    pub(super) policy: ModelPolicy,
    pub(super) tally: Arc<Tally>,
    /// Told when a model has been loaded, for whoever watches over idle ones.
    pub(super) changed: Notify,
    /// Who is asked about a model before its first load, if anybody.
    pub(super) screening: OnceLock<Arc<dyn Screening>>,
    registry: Mutex<Registry>,
    /// Kept ones hold the files of weights that they use.
    pub(super) graphs: Graphs,
}

/// What makes two loaded models two: the file, and what is fixed about it.
type ModelKey = (Digest, Specialization);

#[derive(Default)]
struct Registry {
    entries: HashMap<ModelKey, Entry>,
    /// Estimates of the loads under way, in bytes.
    reserved_bytes: usize,
}

struct Entry {
    model: Weak<Model>,
    /// Keeps a model that is in memory there for the next opener, if it can be loaded again from a file.
    kept: Option<Arc<Model>>,
}

/// What left memory; freed where this is dropped, which takes a while for gigabytes of weights.
#[derive(Default)]
struct Freed {
    forms: Vec<Arc<Loaded>>,
    models: Vec<Arc<Model>>,
}

impl Shared {
    pub(super) fn new(engine: Arc<dyn Engine>, threads: Arc<KernelThreads>, policy: ModelPolicy) -> Arc<Self> {
        let (tally, changed, registry) = (Tally::new(), Notify::new(), Mutex::default());
        let (guests, screening) = (OnceLock::new(), OnceLock::new());
        let graphs = Graphs::default();
        Arc::new(Self { engine, threads, guests, policy, tally, changed, screening, registry, graphs })
    }

    /// The threads that load from `origin`. Guests may bring models one after the other, each as slow to load as a check
    /// lets it be: they wait for each other, and not the runs of others for them.
    pub(super) fn loaders(&self, origin: &Origin) -> &KernelThreads {
        match origin {
            Origin::File(_) => &self.threads,
            Origin::Bytes(_) => {
                let started = self.guests.get_or_init(|| {
                    let started = KernelThreads::named("guest-model", NonZeroUsize::MIN, None);
                    started.inspect_err(|error| tracing::error!(%error, "no thread for the models of guests")).ok()
                });
                started.as_ref().unwrap_or(&self.threads)
            }
        }
    }

    /// The handle of the model, which may or may not be loaded. One opened with a `file` can be loaded again from now on.
    pub(super) fn handle(self: &Arc<Self>, key: ModelKey, file: Option<PathBuf>) -> Arc<Model> {
        let mut registry = self.registry();
        registry.entries.retain(|_, entry| entry.model.strong_count() > 0);
        let known = registry.entries.get(&key).and_then(|entry| entry.model.upgrade());
        let model = known.unwrap_or_else(|| {
            let model = Model::new(key.0, key.1.clone(), Usage::new(self), self.threads.clone());
            registry.entries.insert(key.clone(), Entry { model: Arc::downgrade(&model), kept: None });
            model
        });
        if let Some(file) = file {
            model.set_file(file);
            if let (Form::Loaded(_), Some(entry)) = (&*model.form(), registry.entries.get_mut(&key)) {
                entry.kept = Some(model.clone());
            }
        }
        model
    }

    /// The loaded form of `model`, or the load that brings it: one under way, or one that this starts.
    pub(crate) fn board(self: &Arc<Self>, model: &Arc<Model>, bytes: Option<Vec<u8>>) -> Result<Boarding, OpenError> {
        let (waiter, outcome) = oneshot::channel();
        let mut form = model.form();
        match &mut *form {
            Form::Loaded(loaded) => return Ok(Boarding::Landed(loaded.clone())),
            Form::Loading(waiters) => {
                waiters.push(waiter);
                return Ok(Boarding::Underway(outcome));
            }
            Form::Unloaded => {}
        }
        let origin = match bytes {
            Some(bytes) => Origin::Bytes(bytes),
            None => Origin::File(model.file().ok_or_else(|| {
                // Only after a failed load, whose bytes are gone with it.
                load::unreadable(model.digest())(std::io::ErrorKind::NotFound.into())
            })?),
        };
        *form = Form::Loading(vec![waiter]);
        // The job is dropped where it stands if the threads are closed, and then wants the lock.
        drop(form);
        Flight::new(self.clone(), model.clone(), origin).take_off();
        Ok(Boarding::Underway(outcome))
    }

    /// Sets `bytes` aside for a load, and unloads what is in their way and does not run.
    pub(super) fn reserve(&self, digest: Digest, bytes: usize) -> Result<(), OpenError> {
        self.check_size(digest, bytes)?;
        let mut registry = self.registry();
        registry.reserved_bytes += bytes;
        let freed = self.fit(&mut registry);
        drop(registry);
        drop(freed);
        Ok(())
    }

    /// Gives back what [`reserve`](Self::reserve) set aside.
    pub(super) fn release(&self, bytes: usize) {
        self.registry().reserved_bytes -= bytes;
    }

    /// Whether a model of so many bytes fits the budget when it is alone.
    pub(super) fn check_size(&self, digest: Digest, needed_bytes: usize) -> Result<(), OpenError> {
        let budget_bytes = self.policy.memory_bytes;
        if needed_bytes <= budget_bytes {
            return Ok(());
        }
        Err(OpenError::TooLarge { digest, needed_bytes, budget_bytes })
    }

    /// Puts a model in the place that was reserved for it, and returns those who wait for it.
    pub(super) fn admit(&self, model: &Arc<Model>, loaded: &Arc<Loaded>, reserved_bytes: usize) -> Vec<Waiter> {
        let mut registry = self.registry();
        registry.reserved_bytes -= reserved_bytes;
        model.describe(loaded);
        let waiters = model.change_form(Form::Loaded(loaded.clone()));
        let key = (model.digest(), model.specialization().clone());
        if let (Some(_), Some(entry)) = (model.file(), registry.entries.get_mut(&key)) {
            entry.kept = Some(model.clone());
        }
        // It may occupy more than was estimated. It stays itself, because the caller holds it.
        let freed = self.fit(&mut registry);
        drop(registry);
        drop(freed);
        self.changed.notify_one();
        waiters
    }

    /// Unloads what the budget demands, now that something has ended.
    pub(crate) fn relieve(&self) {
        let mut registry = self.registry();
        let freed = self.fit(&mut registry);
        drop(registry);
        drop(freed);
    }

    /// Unloads what has been idle for too long, and says when the next may be.
    pub(super) fn unload_idle(&self, now: Instant) -> Option<Instant> {
        if let Some(idle) = self.policy.idle {
            self.graphs.release(idle);
        }
        let mut registry = self.registry();
        let mut freed = self.fit(&mut registry);
        let mut next: Option<Instant> = None;
        if let Some(idle) = self.policy.idle {
            for entry in registry.entries.values_mut() {
                let Some(model) = entry.kept.clone() else { continue };
                let due = model.usage().last_used() + idle;
                if due > now {
                    next = Some(next.map_or(due, |next| next.min(due)));
                } else if !self.unload(entry, UnloadReason::Idle, &mut freed) {
                    // It runs: it is idle that long after its end at the earliest.
                    next = Some(next.map_or(now + idle, |next| next.min(now + idle)));
                }
            }
        }
        drop(registry);
        self.free_elsewhere(freed);
        next
    }

    /// Unloads every model of `digest`, whatever is fixed about it.
    pub(super) fn unload_digest(&self, digest: Digest) -> Unloaded {
        self.graphs.release(Duration::ZERO);
        let mut registry = self.registry();
        let mut freed = Freed::default();
        let mut result = Unloaded::WasNot;
        for (_, entry) in registry.entries.iter_mut().filter(|((of, _), _)| *of == digest) {
            let Some(model) = entry.model.upgrade() else { continue };
            let is_in_memory = !matches!(&*model.form(), Form::Unloaded);
            freed.models.push(model);
            if self.unload(entry, UnloadReason::Asked, &mut freed) {
                result = if result == Unloaded::InUse { result } else { Unloaded::Yes };
            } else if is_in_memory {
                result = Unloaded::InUse;
            }
        }
        drop(registry);
        self.free_elsewhere(freed);
        result
    }

    /// Every model that is in memory or held by somebody, and handles that others hold.
    pub(super) fn known(&self) -> Vec<(Arc<Model>, usize)> {
        let registry = self.registry();
        let known = registry.entries.values().filter_map(|entry| {
            let model = entry.model.upgrade()?;
            let users = Arc::strong_count(&model) - 1 - usize::from(entry.kept.is_some());
            Some((model, users))
        });
        known.collect()
    }

    /// Unloads the least recently used of those that do not run, until the rest fits the budget.
    fn fit(&self, registry: &mut Registry) -> Freed {
        let mut freed = Freed::default();
        let mut total_bytes = registry.reserved_bytes;
        let mut candidates = Vec::new();
        for entry in registry.entries.values_mut() {
            let Some(model) = entry.model.upgrade() else { continue };
            let bytes = model.memory_bytes();
            total_bytes = total_bytes.saturating_add(bytes);
            if entry.kept.is_some() {
                candidates.push((model.usage().last_used(), bytes, entry));
            }
            freed.models.push(model);
        }
        if total_bytes > self.policy.memory_bytes {
            // Before anything else: they keep the files of weights that they were built of. Those stay with their models.
            self.graphs.release(Duration::ZERO);
            candidates.sort_unstable_by_key(|(last_used, _, _)| *last_used);
            for (_, bytes, entry) in candidates {
                if total_bytes <= self.policy.memory_bytes {
                    break;
                }
                if self.unload(entry, UnloadReason::Pressure, &mut freed) {
                    total_bytes -= bytes;
                }
            }
        }
        self.tally.is_over_budget.store(total_bytes > self.policy.memory_bytes, Relaxed);
        freed
    }

    /// Empties the entry if its model can be loaded again and nobody runs it.
    fn unload(&self, entry: &mut Entry, reason: UnloadReason, freed: &mut Freed) -> bool {
        let Some(form) = entry.kept.as_ref().and_then(|model| model.take_idle_form()) else { return false };
        if let Some(model) = entry.kept.take() {
            tracing::info!(digest = %model.digest(), reason = reason.as_str(), "model unloaded");
            freed.models.push(model);
        }
        self.tally.note_unload(reason);
        freed.forms.push(form);
        true
    }

    /// Frees on a kernel thread, because the caller may be an async one.
    fn free_elsewhere(&self, freed: Freed) {
        let Freed { forms, models: _ } = freed;
        if !forms.is_empty() {
            self.threads.spawn(move |_| drop(forms)).detach();
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // An engine that panics when asked for its memory leaves nothing half-changed.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
