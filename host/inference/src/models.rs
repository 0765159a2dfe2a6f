//! The models of one node: each digest is loaded once, whatever the number of sandboxes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use spillway_types::{Digest, Specialization};
use tokio::sync::watch;

use crate::job::contain;
use crate::{Engine, KernelThreads, LoadError, Model, TensorType};

/// Loads models on the kernel threads and keeps them by digest.
///
/// A load belongs to the node, not to whoever asked first: an opener that goes away takes nothing from the others, and
/// the model stays for the next.
pub struct Models {
    engine: Arc<dyn Engine>,
    threads: Arc<KernelThreads>,
    cache: Arc<Cache>,
}

type Cache = Mutex<HashMap<ModelKey, Entry>>;

/// What makes two loaded models two: the file, and what is fixed about it.
type ModelKey = (Digest, Specialization);

enum Entry {
    /// All who open it meanwhile wait here.
    Loading(watch::Receiver<Outcome>),
    Loaded(Arc<Model>),
}

/// `None` while the load is under way.
type Outcome = Option<Result<Arc<Model>, OpenError>>;

/// Which model to open, and where its file is.
#[derive(Debug, Clone)]
pub struct ModelSource {
    /// What the model is named by.
    pub digest: Digest,
    /// What is fixed about it.
    pub specialization: Specialization,
    /// The file to load it from.
    pub file: PathBuf,
}

impl ModelSource {
    /// The model as its file has it.
    pub fn new(digest: Digest, file: impl Into<PathBuf>) -> Self {
        Self { digest, specialization: Specialization::default(), file: file.into() }
    }
}

/// One loaded model, for listings and metrics.
#[derive(Debug, Clone)]
pub struct ModelStatus {
    /// What the model is named by.
    pub digest: Digest,
    /// What is fixed about it.
    pub specialization: Specialization,
    /// The engine that runs it.
    pub engine: &'static str,
    /// Memory that it occupies, in bytes; the engine's estimate.
    pub memory_bytes: usize,
    /// How long reading, parsing and optimising took.
    pub load_time: Duration,
    /// Its inputs.
    pub inputs: Vec<TensorType>,
    /// Its outputs.
    pub outputs: Vec<TensorType>,
    /// Runs that have ended with outputs since it was loaded.
    pub runs: u64,
    /// Handles to it that others hold now.
    pub users: usize,
}

/// A model that could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// The file could not be read.
    #[error("model {digest} cannot be read: {cause}")]
    Read {
        /// The model that was asked for.
        digest: Digest,
        /// What the system said; shared, because all who wait get it.
        cause: Arc<io::Error>,
    },
    /// The file holds something else.
    #[error("model {expected} is damaged: its file has digest {found}; deploy it again")]
    WrongDigest {
        /// The model that was asked for.
        expected: Digest,
        /// What the file holds.
        found: Digest,
    },
    /// The engine does not take the file.
    #[error("model {digest} cannot be loaded: {cause}")]
    Load {
        /// The model that was asked for.
        digest: Digest,
        /// Why, in words for the author of the function.
        cause: LoadError,
    },
    /// The engine broke on the file.
    #[error("model {digest} broke the engine `{engine}` while loading: {message}")]
    EngineFailed {
        /// The model that was asked for.
        digest: Digest,
        /// The engine.
        engine: &'static str,
        /// The message of its panic.
        message: String,
    },
    /// The node is shutting down.
    #[error("the node is shutting down")]
    Stopped,
}

impl Models {
    /// An empty cache that loads with `engine` on `threads`.
    pub fn new(engine: Arc<dyn Engine>, threads: Arc<KernelThreads>) -> Self {
        Self { engine, threads, cache: Arc::default() }
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
        let mut outcome = match self.find_or_load(source) {
            Entry::Loaded(model) => return Ok(model),
            Entry::Loading(outcome) => outcome,
        };
        match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().expect("waited until it is there"),
            // The load was dropped with the queue of the kernel threads.
            Err(_) => Err(OpenError::Stopped),
        }
    }

    /// The loaded models, by digest.
    pub fn loaded(&self) -> Vec<ModelStatus> {
        let cache = lock(&self.cache);
        let models = cache.values().filter_map(|entry| match entry {
            Entry::Loaded(model) => Some(self.status(model)),
            Entry::Loading(_) => None,
        });
        let mut models: Vec<_> = models.collect();
        models.sort_by_key(|status| status.digest);
        models
    }

    /// Forgets the model of `digest`, and says whether it was loaded. Those who hold it can go on running it, and its
    /// memory is freed when the last of them lets go; a model that is still loading is left alone.
    pub fn unload(&self, digest: Digest) -> bool {
        let mut cache = lock(&self.cache);
        let forgotten: Vec<_> =
            cache.extract_if(|(of, _), entry| *of == digest && matches!(entry, Entry::Loaded(_))).collect();
        // Freeing gigabytes of weights takes a while; nobody should wait for the lock meanwhile.
        drop(cache);
        !forgotten.is_empty()
    }

    /// The threads that load and run the models.
    pub fn threads(&self) -> &Arc<KernelThreads> {
        &self.threads
    }

    fn find_or_load(&self, source: ModelSource) -> Entry {
        let key = (source.digest, source.specialization.clone());
        let mut cache = lock(&self.cache);
        match cache.get(&key) {
            Some(Entry::Loaded(model)) => return Entry::Loaded(model.clone()),
            Some(Entry::Loading(outcome)) => return Entry::Loading(outcome.clone()),
            None => {}
        }
        let (sender, outcome) = watch::channel(None);
        cache.insert(key.clone(), Entry::Loading(outcome.clone()));
        // The job may be dropped where it stands if the threads are closed, and then wants the lock.
        drop(cache);
        let flight = Flight { key, cache: self.cache.clone(), sender, has_landed: false };
        let (engine, threads) = (self.engine.clone(), self.threads.clone());
        self.threads.spawn(move |_| flight.land(load(&source, engine.as_ref(), threads))).detach();
        Entry::Loading(outcome)
    }

    fn status(&self, model: &Arc<Model>) -> ModelStatus {
        ModelStatus {
            digest: model.digest(),
            specialization: model.specialization().clone(),
            engine: self.engine.name(),
            memory_bytes: model.memory_bytes(),
            load_time: model.load_time(),
            inputs: model.inputs().to_vec(),
            outputs: model.outputs().to_vec(),
            runs: model.runs(),
            users: Arc::strong_count(model) - 1,
        }
    }
}

/// A load under way. Whatever becomes of it, the cache does not keep waiting for it.
struct Flight {
    key: ModelKey,
    cache: Arc<Cache>,
    sender: watch::Sender<Outcome>,
    has_landed: bool,
}

impl Flight {
    fn land(mut self, result: Result<Arc<Model>, OpenError>) {
        self.has_landed = true;
        match &result {
            Ok(model) => {
                let (seconds, bytes) = (model.load_time().as_secs_f64(), model.memory_bytes());
                tracing::info!(digest = %self.key.0, load_seconds = seconds, memory_bytes = bytes, "model loaded");
                lock(&self.cache).insert(self.key.clone(), Entry::Loaded(model.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "model not loaded");
                lock(&self.cache).remove(&self.key);
            }
        }
        // After the cache, so that an opener who is told of a failure and tries again starts a new load.
        self.sender.send_replace(Some(result));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.has_landed {
            lock(&self.cache).remove(&self.key);
        }
    }
}

/// Reads, verifies and loads on the calling thread; an engine's panic is an error.
fn load(source: &ModelSource, engine: &dyn Engine, threads: Arc<KernelThreads>) -> Result<Arc<Model>, OpenError> {
    let started = Instant::now();
    let ModelSource { digest, specialization, file } = source;
    let digest = *digest;
    let bytes = read_verified(digest, file)?;
    let loaded = contain(|| engine.load(bytes, specialization))
        .map_err(|message| OpenError::EngineFailed { digest, engine: engine.name(), message })?
        .map_err(|cause| OpenError::Load { digest, cause })?;
    Ok(Arc::new(Model::new(digest, specialization.clone(), loaded, threads, started.elapsed())))
}

/// The whole file, in memory: what was hashed is what the engine gets, even if somebody writes to the file meanwhile.
fn read_verified(expected: Digest, file: &Path) -> Result<Vec<u8>, OpenError> {
    let failed = |cause| OpenError::Read { digest: expected, cause: Arc::new(cause) };
    let mut bytes = Vec::new();
    File::open(file).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(failed)?;
    let found = Digest::of(&bytes);
    if found == expected { Ok(bytes) } else { Err(OpenError::WrongDigest { expected, found }) }
}

fn lock(cache: &Cache) -> MutexGuard<'_, HashMap<ModelKey, Entry>> {
    cache.lock().expect("nothing panics while it holds the lock of the models")
}
