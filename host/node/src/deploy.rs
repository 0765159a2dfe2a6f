//! From a bundle to a serving revision, and back.
//!
//! | step | on failure |
//! | --- | --- |
//! | read the bundle, check the manifest | refused, nothing kept |
//! | routes free? | refused, nothing kept |
//! | bundle and embedded models to the blob store; are all models there? | blobs wait for collection |
//! | check imports, load models, compile, link, try a sandbox | as above |
//! | commit to the store | as above |
//! | swap the routes | cannot fail |
//!
//! Until the swap the old revision serves; calls in flight finish on the revision that they started on.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use spillway_cluster::{CommitError, Committed, NewRevision, RevisionRecord};
use spillway_runtime::{FunctionSpec, PrepareError, Prepared};
use spillway_types::api::Deployment;
use spillway_types::{
    Bundle, BundleError, Digest, Effects, FunctionId, FunctionName, Manifest, ModelName, Namespace, Origin, Problem,
    ProblemType, Route, RoutePattern,
};

use crate::logs::RevisionLog;
use crate::node::{Node, Target};
use crate::revision::Revision;
use crate::routes::RouteTable;

/// A deployed function in memory.
pub(crate) struct Deployed {
    /// The revision that serves, or why it cannot.
    pub(crate) active: Result<Arc<Revision>, Broken>,
    /// The revision before it, kept ready so that a rollback is a swap.
    pub(crate) previous: Option<Arc<Revision>>,
}

/// A revision that is deployed but cannot serve.
pub(crate) struct Broken {
    pub(crate) number: u64,
    pub(crate) bundle: Digest,
    pub(crate) manifest: Manifest,
    pub(crate) reason: String,
}

/// What a deployment of a component without a manifest must say.
#[derive(Debug, Default)]
pub(crate) struct DeployOptions {
    pub(crate) namespace: Namespace,
    pub(crate) name: Option<FunctionName>,
    pub(crate) routes: Vec<RoutePattern>,
    pub(crate) effects: Option<Effects>,
}

/// What was read from the bundle.
struct Parts {
    manifest: Manifest,
    component: Vec<u8>,
    stored: Vec<u8>,
}

impl Node {
    /// Deploys a bundle.
    ///
    /// # Errors
    /// The problem to tell the deployer; whatever served before still serves.
    pub(crate) async fn deploy(self: &Arc<Self>, bundle: Bytes, options: DeployOptions) -> Result<Deployment, Problem> {
        let node = self.clone();
        let staged = blocking(move || node.stage(&bundle, options)).await??;
        let Staged { id, parts, bundle, models } = staged;
        let log = self.logs().of(&id);
        let manifest = parts.manifest;
        let prepared = self.prepare(&id, manifest.clone(), parts.component, models, log.clone()).await?;

        let permit = self.changes.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (node, function, text) = (self.clone(), id.clone(), manifest.to_bundle_toml());
        let routes = manifest.routes.iter().map(|route| route.pattern.clone()).collect();
        let models = manifest.model_digests();
        let created_at_ms = millis(SystemTime::now());
        let committed = blocking(move || {
            node.store
                .commit(&NewRevision { function, bundle, manifest: text, models, routes, created_at_ms })
                .map_err(|error| commit_problem(&error))
        })
        .await??;
        let (compile, cached) = (prepared.compile, prepared.cached);
        self.swap(&id, &committed, bundle, manifest, prepared, &log);
        drop(permit);
        tracing::info!(function = %id, revision = committed.number, %bundle, cached, "deployed");
        let mut deployment = self.deployment(&id, &committed);
        deployment.compile_seconds = compile.as_secs_f64();
        deployment.compile_cached = cached;
        Ok(deployment)
    }

    /// Everything before compilation. Blocks on the disk.
    fn stage(&self, bytes: &[u8], options: DeployOptions) -> Result<Staged, Problem> {
        let bundle = Bundle::read(bytes).map_err(|error| bundle_problem(&error))?;
        let namespace = options.namespace.clone();
        let parts = read_parts(&bundle, options)?;
        let id = FunctionId::new(namespace, parts.manifest.name.clone());
        let patterns: Vec<RoutePattern> = parts.manifest.routes.iter().map(|route| route.pattern.clone()).collect();
        self.store.check_routes(&id, &patterns).map_err(|error| commit_problem(&error))?;
        for (digest, model) in bundle.models() {
            self.keep(model, *digest)?;
        }
        let models = self.granted_models(&parts.manifest)?;
        let digest = Digest::of(&parts.stored);
        self.keep(&parts.stored, digest)?;
        Ok(Staged { id, parts, bundle: digest, models })
    }

    /// Writes a blob unless it is there.
    fn keep(&self, bytes: &[u8], digest: Digest) -> Result<(), Problem> {
        let blobs = self.store.blobs();
        let written = || -> Result<(), spillway_cluster::BlobError> {
            if blobs.renew(&digest, SystemTime::now())? {
                return Ok(());
            }
            let mut writer = blobs.begin()?;
            writer.write(bytes)?;
            writer.finish(Some(digest)).map(|_| ())
        };
        written().map_err(host_problem)
    }

    /// Digest and file of each model that the manifest grants, all of which must be here.
    fn granted_models(
        &self,
        manifest: &Manifest,
    ) -> Result<BTreeMap<ModelName, (Digest, std::path::PathBuf)>, Problem> {
        let blobs = self.store.blobs();
        let mut granted = BTreeMap::new();
        let (mut errors, mut missing) = (Vec::new(), Vec::new());
        for (name, grant) in &manifest.models {
            let digest = grant.digest.ok_or_else(|| host_problem("a checked manifest lacks a digest"))?;
            if !blobs.renew(&digest, SystemTime::now()).map_err(host_problem)? {
                errors.push(format!(
                    "model \"{name}\" ({digest}) is not on this node; upload it with PUT /api/v1/blobs/{digest}, or build with --bundle-models"
                ));
                missing.push(digest);
            }
            granted.insert(name.clone(), (digest, blobs.path(&digest)));
        }
        if errors.is_empty() {
            return Ok(granted);
        }
        let mut problem = Problem::new(ProblemType::MissingModel, errors.join("; "));
        problem.missing = missing;
        Err(problem)
    }

    async fn prepare(
        &self,
        id: &FunctionId,
        manifest: Manifest,
        component: Vec<u8>,
        models: BTreeMap<ModelName, (Digest, std::path::PathBuf)>,
        log: Arc<RevisionLog>,
    ) -> Result<Prepared, Problem> {
        let spec = FunctionSpec { id: id.clone(), manifest, component, models, log };
        self.runtime.prepare(spec).await.map_err(|error| prepare_problem(&error))
    }

    /// Makes a committed revision the one that serves.
    fn swap(
        &self,
        id: &FunctionId,
        committed: &Committed,
        bundle: Digest,
        manifest: Manifest,
        prepared: Prepared,
        log: &RevisionLog,
    ) {
        log.set_revision(committed.number);
        let metrics = self.metrics().function(id);
        let revision = Revision::new(id.clone(), committed.number, bundle, manifest, prepared.function, metrics);
        self.put(id, Ok(Arc::new(revision)));
    }

    fn put(&self, id: &FunctionId, active: Result<Arc<Revision>, Broken>) {
        let mut functions = self.functions.write().unwrap_or_else(PoisonError::into_inner);
        let previous = match functions.remove(id) {
            Some(Deployed { active: Ok(old), previous }) => match &active {
                // Deploying what serves already keeps the revision to go back to.
                Ok(new) if new.number == old.number => previous,
                _ => Some(old),
            },
            Some(Deployed { previous, .. }) => previous,
            None => None,
        };
        functions.insert(id.clone(), Deployed { active, previous });
        self.set_routes(table(&functions));
    }

    /// Goes back to a kept revision: the one before, or the one asked for.
    ///
    /// # Errors
    /// The problem to tell the operator; whatever served before still serves.
    pub(crate) async fn rollback(self: &Arc<Self>, id: FunctionId, number: Option<u64>) -> Result<Deployment, Problem> {
        let permit = self.changes.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (node, function) = (self.clone(), id.clone());
        let (record, active) = blocking(move || node.revision_to(&function, number)).await??;
        let ready = {
            let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
            let deployed = functions.get(&id);
            let held = deployed.and_then(|deployed| deployed.previous.clone());
            held.filter(|revision| revision.number == record.number)
        };
        let revision = match ready {
            Some(revision) => revision,
            None => self.revive(&id, &record).await?,
        };
        let (node, function, number) = (self.clone(), id.clone(), record.number);
        let committed =
            blocking(move || node.store.activate(&function, number).map_err(|error| commit_problem(&error))).await??;
        self.put(&id, Ok(revision));
        drop(permit);
        tracing::info!(function = %id, revision = committed.number, from = active, "rolled back");
        Ok(self.deployment(&id, &committed))
    }

    fn revision_to(&self, id: &FunctionId, number: Option<u64>) -> Result<(RevisionRecord, u64), Problem> {
        let record = self.store.get(id).map_err(host_problem)?.ok_or_else(|| unknown_function(id))?;
        let none = || Problem::new(ProblemType::NotFound, format!("{id} has no earlier revision to go back to"));
        let number = number.or(record.previous).ok_or_else(none)?;
        let kept = record.revisions.iter().map(|r| r.number.to_string()).collect::<Vec<_>>().join(", ");
        let revision = record.revision(number).cloned().ok_or_else(|| {
            Problem::new(ProblemType::NotFound, format!("{id} has no revision {number}; kept are {kept}"))
        })?;
        Ok((revision, record.active))
    }

    /// Makes a stored revision ready again.
    async fn revive(self: &Arc<Self>, id: &FunctionId, record: &RevisionRecord) -> Result<Arc<Revision>, Problem> {
        let (node, bundle, text) = (self.clone(), record.bundle, record.manifest.clone());
        let (manifest, component, models) = blocking(move || {
            let manifest = Manifest::parse(&text, Origin::Bundle).map_err(host_problem)?;
            let bytes = std::fs::read(node.store.blobs().path(&bundle))
                .map_err(|error| host_problem(format!("bundle {bundle} cannot be read: {error}")))?;
            let component = Bundle::read(&bytes).map_err(|error| bundle_problem(&error))?.component();
            let models = node.granted_models(&manifest)?;
            Ok::<_, Problem>((manifest, component, models))
        })
        .await??;
        let log = self.logs().of(id);
        log.set_revision(record.number);
        let prepared = self.prepare(id, manifest.clone(), component, models, log).await?;
        let metrics = self.metrics().function(id);
        Ok(Arc::new(Revision::new(id.clone(), record.number, bundle, manifest, prepared.function, metrics)))
    }

    /// Takes a function away, with its revisions and log. Calls in flight finish.
    ///
    /// # Errors
    /// If there is no such function.
    pub(crate) async fn remove(self: &Arc<Self>, id: FunctionId) -> Result<(), Problem> {
        let permit = self.changes.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (node, function) = (self.clone(), id.clone());
        blocking(move || {
            node.store.remove(&function).map_err(|error| commit_problem(&error))?;
            node.logs().forget(&function);
            Ok::<_, Problem>(())
        })
        .await??;
        let mut functions = self.functions.write().unwrap_or_else(PoisonError::into_inner);
        functions.remove(&id);
        self.set_routes(table(&functions));
        drop(functions);
        drop(permit);
        tracing::info!(function = %id, "removed");
        Ok(())
    }

    /// Makes everything ready that was deployed when the node last stopped. One function's trouble is its own.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn restore(self: &Arc<Self>) -> anyhow::Result<()> {
        let node = self.clone();
        let records = tokio::task::spawn_blocking(move || node.store.list()).await??;
        for record in records {
            let Some(active) = record.revision(record.active) else { continue };
            let revived = self.revive(&record.id, active).await;
            let state = match revived {
                Ok(revision) => Ok(revision),
                Err(problem) => {
                    tracing::error!(function = %record.id, reason = problem.detail, "function cannot serve");
                    let manifest = Manifest::parse(&active.manifest, Origin::Bundle)
                        .unwrap_or_else(|_| Manifest::plain(record.id.name.clone(), plain_routes(&active.routes)));
                    Err(Broken { number: active.number, bundle: active.bundle, manifest, reason: problem.detail })
                }
            };
            self.put(&record.id, state);
        }
        Ok(())
    }

    fn deployment(&self, id: &FunctionId, committed: &Committed) -> Deployment {
        let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
        let active = functions.get(id).and_then(|deployed| deployed.active.as_ref().ok());
        Deployment {
            namespace: id.namespace.clone(),
            name: id.name.clone(),
            revision: committed.number,
            previous: committed.previous,
            bundle: active.map_or_else(|| Digest::of(b""), |revision| revision.bundle),
            unchanged: committed.unchanged,
            routes: active.map(|revision| revision.manifest.routes.clone()).unwrap_or_default(),
            listen: format!("http://{}", self.addresses.listen),
            compile_seconds: 0.0,
            compile_cached: true,
        }
    }
}

struct Staged {
    id: FunctionId,
    parts: Parts,
    bundle: Digest,
    models: BTreeMap<ModelName, (Digest, std::path::PathBuf)>,
}

fn table(functions: &BTreeMap<FunctionId, Deployed>) -> RouteTable<Target> {
    let mut table = RouteTable::default();
    for (id, deployed) in functions {
        let (routes, target): (_, Target) = match &deployed.active {
            Ok(revision) => (&revision.manifest.routes, Ok(revision.clone())),
            Err(broken) => (&broken.manifest.routes, Err(id.clone())),
        };
        for route in routes {
            // The store lets no two functions have one route, and a manifest has none twice.
            if let Err(error) = table.insert(route, target.clone()) {
                tracing::error!(function = %id, error, "route cannot be added");
            }
        }
    }
    table
}

fn read_parts(bundle: &Bundle<'_>, options: DeployOptions) -> Result<Parts, Problem> {
    let component = bundle.component();
    if let Some(text) = bundle.manifest() {
        let manifest = Manifest::parse(text, Origin::Bundle).map_err(|error| {
            let count = error.diagnostics.len();
            let mut problem = Problem::new(ProblemType::InvalidManifest, format!("the manifest has {count} errors"));
            problem.errors = error.diagnostics.iter().map(ToString::to_string).collect();
            problem
        })?;
        return Ok(Parts { manifest, component, stored: bundle.without_models() });
    }
    let Some(name) = options.name else {
        let detail = "the component has no manifest; build it with `spillway build`, or give --name and --route";
        return Err(Problem::new(ProblemType::InvalidManifest, detail));
    };
    if options.routes.is_empty() {
        let detail = format!("the component has no manifest; give --route, as in `--route /{name}`");
        return Err(Problem::new(ProblemType::InvalidManifest, detail));
    }
    let mut manifest = Manifest::plain(name, plain_routes(&options.routes));
    if let Some(effects) = options.effects {
        manifest.effects = effects;
    }
    Ok(Parts { manifest, stored: component.clone(), component })
}

fn plain_routes(patterns: &[RoutePattern]) -> Vec<Route> {
    patterns.iter().map(|pattern| Route { pattern: pattern.clone(), methods: Vec::new() }).collect()
}

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(host_problem)
}

/// The node's own fault: the cause goes to the log, the deployer hears that it was not theirs.
pub(crate) fn host_problem(cause: impl std::fmt::Display) -> Problem {
    tracing::error!(%cause, "control request failed");
    Problem::new(ProblemType::HostFault, format!("the node failed: {cause}"))
}

pub(crate) fn unknown_function(id: &FunctionId) -> Problem {
    Problem::new(ProblemType::NotFound, format!("there is no function {id}; `spillway ls` lists them"))
}

fn bundle_problem(error: &BundleError) -> Problem {
    Problem::new(ProblemType::InvalidBundle, error.to_string())
}

fn prepare_problem(error: &PrepareError) -> Problem {
    let kind = match error {
        PrepareError::Invalid(_) | PrepareError::NoHandler { .. } | PrepareError::Sandbox(_) => {
            ProblemType::InvalidBundle
        }
        PrepareError::UnknownImports { .. } | PrepareError::Mismatch(_) => ProblemType::UnknownImport,
        PrepareError::Model { .. } => ProblemType::InvalidModel,
        PrepareError::Host(_) => return host_problem(error),
    };
    Problem::new(kind, error.to_string())
}

fn commit_problem(error: &CommitError) -> Problem {
    match error {
        CommitError::RouteTaken { .. } => Problem::new(ProblemType::RouteTaken, error.to_string()),
        CommitError::UnknownFunction(id) => unknown_function(id),
        CommitError::UnknownRevision { .. } => Problem::new(ProblemType::NotFound, error.to_string()),
        CommitError::MissingBlob(_) | CommitError::Fault(_) => host_problem(error),
    }
}

/// Milliseconds since 1970.
pub(crate) fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
