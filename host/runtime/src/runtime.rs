//! Makes functions out of bundles.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use spillway_inference::{Model, ModelSource, Models, OpenError};
use spillway_types::{Digest, FunctionId, Manifest, ModelName, SandboxPolicy};
use tokio::sync::{Semaphore, oneshot};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::{p2, p3};

use crate::code::{Code, Linked, ReadComponent, Recipe};
use crate::code_cache::{CacheError, CodeCache, CodeKey};
use crate::component::{Interface, Outside};
use crate::engines::Engines;
use crate::exclusive::Exclusive;
use crate::fault::Fault;
use crate::function::{Function, FunctionUse};
use crate::host::{KeyValue, LogSink, OutboundSink};
use crate::imports;
use crate::long_calls::Habit;
use crate::namespace_memory::NamespaceMemory;
use crate::outbound::{Egress, EgressConfig, Outbound};
use crate::sandbox::{Grants, SandboxState};
use crate::shared::Shared;
use crate::storage::Storage;

const PANICKED: &str = "the compiler panicked; the node's log says where";
/// How long trying out a new revision may take.
const TRY_MAX: Duration = Duration::from_secs(30);

/// What a runtime needs.
pub struct RuntimeConfig {
    /// Folder of compiled code.
    pub code_folder: PathBuf,
    /// Memory of the machine, or of the control group: how many sandboxes there can be, and what free ones keep, go by it.
    pub memory_bytes: u64,
    /// Components compiled at once. One compilation already uses every core.
    pub compilations: usize,
    /// Called on every thread that compiles when a component is compiled, for the allocator: what such a thread has freed, it
    /// may keep until it allocates again, which may be never.
    pub after_compiling: fn(),
    /// The node's models.
    pub models: Arc<Models>,
    /// The node's key-value store.
    pub keyvalue: Arc<dyn KeyValue>,
    /// What the node lets functions reach.
    pub egress: EgressConfig,
}

/// Compiles, links and tries functions. Lives as long as the node; cloning is cheap.
#[derive(Clone)]
pub struct Runtime {
    engines: Engines,
    linkers: Arc<Linkers>,
    cache: CodeCache,
    compiling: Arc<Semaphore>,
    after_compiling: fn(),
    models: Arc<Models>,
    keyvalue: Arc<Storage>,
    egress: Arc<Egress>,
}

struct Linkers {
    p3: Linker<SandboxState>,
    p2: Linker<SandboxState>,
}

/// A revision to be made ready.
pub struct FunctionSpec {
    /// Whose it is.
    pub id: FunctionId,
    /// Its manifest.
    pub manifest: Manifest,
    /// The bare component ([`spillway_types::Bundle::component`]).
    pub component: Vec<u8>,
    /// The models that the manifest grants.
    pub models: BTreeMap<ModelName, ModelSource>,
    /// The same component again, for when its compiled code has gone from the disk.
    pub again: ReadComponent,
    /// What its namespace holds, and may.
    pub memory: Arc<NamespaceMemory>,
    /// Where its log records go.
    pub log: Arc<dyn LogSink>,
    /// Counts the requests that it sends.
    pub outbound: Arc<dyn OutboundSink>,
}

/// A function ready to be called, and what that took.
pub struct Prepared {
    /// The function.
    pub function: Function,
    /// Compiling, or mapping compiled code.
    pub compile: Duration,
    /// Whether compiled code was there already.
    pub cached: bool,
}

/// Why a revision cannot be made ready. Every text is for the author.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The binary is damaged or not valid.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// It does not answer HTTP.
    #[error(
        "the component exports {}, but neither `wasi:http/handler@0.3` nor `wasi:http/incoming-handler@0.2`; \
         implement one, with `#[spillway_sdk::function]` in Rust or the `wasi:http/proxy` world elsewhere",
        if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") }
    )]
    NoHandler {
        /// What it exports instead.
        exports: Vec<String>,
    },
    /// It imports what no sandbox is linked with.
    #[error("the component imports {}; this node offers WASI 0.2 and 0.3, wasi:http, wasi:keyvalue@0.2.0-draft, wasi:config@0.2.0-rc.1, wasi:logging@0.1.0-draft, wasi:nn@0.2.0-rc-2024-10-28 and spillway:tensor@0.1.0", imports.join(", "))]
    UnknownImports {
        /// Their names.
        imports: Vec<String>,
    },
    /// It expects other types behind an import than the node has.
    #[error("an import does not match what this node offers: {0}")]
    Mismatch(String),
    /// Its HTTP handler is not what the interface says.
    #[error("the component's HTTP handler is not one: {0}")]
    BadHandler(String),
    /// A model cannot be loaded.
    #[error("model \"{name}\": {reason}")]
    Model {
        /// Its name in the manifest.
        name: ModelName,
        /// Its digest.
        digest: Digest,
        /// What the engine says.
        reason: String,
        /// Whether it is larger than all models of the node may be.
        is_too_large: bool,
    },
    /// A sandbox cannot be made.
    #[error("a sandbox cannot be made: {0}")]
    Sandbox(Fault),
    /// The node's fault.
    #[error("{0}")]
    Host(String),
}

impl Runtime {
    /// Makes both engines and everything that guests can import.
    ///
    /// # Errors
    /// If the folder of compiled code cannot be used, or the kernel refuses the address space.
    pub fn new(config: RuntimeConfig) -> Result<Self, CacheError> {
        let engines = Engines::new(config.memory_bytes);
        let cache = CodeCache::open(&config.code_folder)?;
        let engines = engines.map_err(|error| CacheError::Io {
            path: config.code_folder.clone(),
            source: std::io::Error::other(format!("wasmtime cannot start: {error:#}")),
        })?;
        let linkers = Linkers {
            p3: imports::linker(&engines.p3, Interface::P3).expect("the imports are the same in every build"),
            p2: imports::linker(&engines.p2, Interface::P2).expect("the imports are the same in every build"),
        };
        Ok(Self {
            engines,
            linkers: Arc::new(linkers),
            cache,
            compiling: Arc::new(Semaphore::new(config.compilations.max(1))),
            after_compiling: config.after_compiling,
            models: config.models,
            keyvalue: Arc::new(Storage::new(config.keyvalue)),
            egress: Arc::new(Egress::new(config.egress)),
        })
    }

    /// Makes a revision ready: checks its imports, compiles it, loads its models, links it and makes one sandbox.
    ///
    /// # Errors
    /// What is wrong with the revision; the node is as before.
    pub async fn prepare(&self, spec: FunctionSpec) -> Result<Prepared, PrepareError> {
        let component = spec.component;
        let read = on_compilers(move || (Outside::read(&component), component)).await;
        let (outside, component) = read.ok_or_else(|| PrepareError::Host(PANICKED.to_owned()))?;
        let outside = outside.map_err(PrepareError::Invalid)?;
        let Some(interface) = outside.interface else {
            return Err(PrepareError::NoHandler { exports: outside.exports });
        };
        let unknown = outside.unknown_imports(interface);
        if !unknown.is_empty() {
            return Err(PrepareError::UnknownImports { imports: unknown });
        }
        let models = self.open_models(&spec.models).await?;
        let start = Instant::now();
        let compiled = self.compile(component, interface).await?;
        let compile = start.elapsed();

        let usage = Arc::new(FunctionUse { namespace: spec.memory, ..FunctionUse::default() });
        let policy = spec.manifest.sandbox;
        let http = spec.manifest.capabilities.http;
        let (limits, egress) = (&spec.manifest.limits, self.egress.clone());
        let outbound = Outbound::new(spec.id.clone(), http, limits, egress, spec.log.clone(), spec.outbound);
        let grants = Arc::new(Grants {
            owner: spec.id.namespace.as_str().into(),
            function: spec.id,
            limits: spec.manifest.limits,
            models,
            node_models: self.models.clone(),
            config: spec.manifest.config,
            buckets: spec.manifest.capabilities.keyvalue,
            keyvalue: self.keyvalue.clone(),
            log: spec.log,
            outbound: Arc::new(outbound),
            total: usage.clone(),
            long_calls: self.engines.long_calls.clone(),
            habit: Habit::default(),
        });
        let linked = self.link(&compiled.component, interface, grants.clone(), policy)?;
        match &linked {
            Linked::Shared(shared) => within_try_max(shared.try_instantiate()).await?,
            Linked::Exclusive(exclusive) => within_try_max(exclusive.try_instantiate()).await?,
        }
        let Compiled { key, is_kept, was_there, .. } = compiled;
        let (runtime, component) = (self.clone(), spec.again);
        let code = Code::new(linked, Recipe { runtime, interface, key, grants, policy, component, is_kept });
        Ok(Prepared { function: Function { code, imports: outside.imports, usage }, compile, cached: was_there })
    }

    fn link(
        &self,
        component: &Component,
        interface: Interface,
        grants: Arc<Grants>,
        policy: SandboxPolicy,
    ) -> Result<Linked, PrepareError> {
        let mismatch = |error: wasmtime::Error| PrepareError::Mismatch(format!("{error:#}"));
        let bad_handler = |error: wasmtime::Error| PrepareError::BadHandler(format!("{error:#}"));
        let engine = self.engines.of(interface);
        Ok(match interface {
            Interface::P3 => {
                let pre = self.linkers.p3.instantiate_pre(component).map_err(mismatch)?;
                let pre = p3::bindings::ServicePre::new(pre).map_err(bad_handler)?;
                Linked::Shared(Shared::new(engine, pre, grants, policy))
            }
            Interface::P2 => {
                let pre = self.linkers.p2.instantiate_pre(component).map_err(mismatch)?;
                let pre = p2::bindings::ProxyPre::new(pre).map_err(bad_handler)?;
                Linked::Exclusive(Exclusive::new(engine, pre, grants, policy))
            }
        })
    }

    /// Loads a function's code that was let go; compiles it anew where the disk has it no more.
    pub(crate) async fn load(&self, recipe: &Recipe) -> Result<Linked, Fault> {
        let (engine, cache, key) = (self.engines.of(recipe.interface).clone(), self.cache.clone(), recipe.key);
        let read = recipe.component.clone();
        let found = tokio::task::spawn_blocking(move || match cache.load(&engine, key) {
            Some(component) => Ok(Ok(component)),
            None => read().map(Err),
        });
        let found = found.await.map_err(|panic| Fault::Host(format!("loading code failed: {panic}")))?;
        let failed = |error: PrepareError| Fault::Host(error.to_string());
        let component = match found.map_err(Fault::Host)? {
            Ok(component) => component,
            Err(bytes) => self.compile(bytes, recipe.interface).await.map_err(failed)?.component,
        };
        self.link(&component, recipe.interface, recipe.grants.clone(), recipe.policy).map_err(failed)
    }

    async fn open_models(
        &self,
        granted: &BTreeMap<ModelName, ModelSource>,
    ) -> Result<BTreeMap<String, Arc<Model>>, PrepareError> {
        let mut models = BTreeMap::new();
        for (name, source) in granted {
            let model = self.models.open(source.clone()).await.map_err(|error| PrepareError::Model {
                name: name.clone(),
                digest: source.digest,
                reason: error.to_string(),
                is_too_large: matches!(error, OpenError::TooLarge { .. }),
            })?;
            models.insert(name.as_str().to_owned(), model);
        }
        Ok(models)
    }

    async fn compile(&self, bytes: Vec<u8>, interface: Interface) -> Result<Compiled, PrepareError> {
        let engine = self.engines.of(interface).clone();
        let cache = self.cache.clone();
        let permit = self.compiling.clone().acquire_owned().await.expect("the semaphore is never closed");
        let compiled = on_compilers(move || {
            let _permit = permit;
            let key = CodeKey::new(&engine, &Digest::of(&bytes));
            if let Some(component) = cache.load(&engine, key) {
                return Ok(Compiled { component, key, was_there: true, is_kept: true });
            }
            let code =
                engine.precompile_component(&bytes).map_err(|error| PrepareError::Invalid(format!("{error:#}")))?;
            let kept = match cache.store(key, &code) {
                Ok(()) => cache.load(&engine, key),
                Err(error) => {
                    // A full disk costs compiling again at the next start, and no function.
                    tracing::warn!(%error, "compiled code is not kept");
                    None
                }
            };
            let is_kept = kept.is_some();
            let component = match kept {
                Some(component) => component,
                None => from_memory(&engine, &code).map_err(|error| PrepareError::Sandbox(Fault::of(&error)))?,
            };
            Ok(Compiled { component, key, was_there: false, is_kept })
        });
        let compiled = compiled.await.unwrap_or_else(|| Err(PrepareError::Host(PANICKED.to_owned())));
        let after = self.after_compiling;
        rayon::spawn_broadcast(move |_| after());
        compiled
    }

    /// Does something that may block on threads that let calls go first. `None` if it panicked.
    pub async fn in_background<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        on_compilers(work).await
    }

    /// Drops compiled code used longest ago until at most `budget_bytes` remain, never that of `live` functions.
    /// Returns how many artefacts went, their bytes, and the bytes that remain. Blocks on the disk.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn collect_code<'a>(
        &self,
        budget_bytes: u64,
        live: impl IntoIterator<Item = &'a Function>,
    ) -> Result<(u64, u64, u64), CacheError> {
        let live: Vec<CodeKey> = live.into_iter().map(|function| function.code.recipe.key).collect();
        self.cache.collect(budget_bytes, &live)
    }
}

/// A component that is in memory.
struct Compiled {
    component: Component,
    key: CodeKey,
    /// Its code was on the disk before.
    was_there: bool,
    /// Its code is on the disk now.
    is_kept: bool,
}

/// Does something on the threads that compile, which let others go first; all of it, since the parts that one thread does
/// alone take a core as well. `None` if it panicked.
async fn on_compilers<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, finished) = oneshot::channel();
    rayon::spawn(move || {
        // A panic that left would end the process.
        if let Ok(result) = catch_unwind(AssertUnwindSafe(work)) {
            let _ = done.send(result);
        }
    });
    finished.await.ok()
}

/// Loads what was just compiled.
fn from_memory(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    #[allow(
        unsafe_code,
        reason = "loading compiled code is unsafe unless it is ours, and this never left this process"
    )]
    // SAFETY: `code` is what `Engine::precompile_component` has just returned.
    unsafe {
        Component::deserialize(engine, code)
    }
}

async fn within_try_max(tried: impl Future<Output = Result<(), Fault>>) -> Result<(), PrepareError> {
    match tokio::time::timeout(TRY_MAX, tried).await {
        Ok(tried) => tried.map_err(PrepareError::Sandbox),
        Err(_) => Err(PrepareError::Sandbox(Fault::Deadline)),
    }
}
