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

mod problem;
mod release;
mod stage;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use spillway_cluster::{Committed, NewRevision, RevisionRecord, Store};
use spillway_inference::ModelSource;
use spillway_runtime::{FunctionSpec, Prepared};
use spillway_types::api::Deployment;
use spillway_types::{Bundle, Digest, FunctionId, Manifest, ModelName, Origin, Problem, ProblemType, Route};

use crate::cluster::Elsewhere;
use crate::logs::RevisionLog;
use crate::node::{Node, Routed, Target};
use crate::revision::Revision;
use crate::routes::RouteTable;
use problem::{bundle_problem, commit_problem, prepare_problem};
pub(crate) use problem::{host_problem, store_problem, unknown_function};
pub(crate) use stage::DeployOptions;
use stage::{Staged, plain_routes};

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

impl Node {
    /// Deploys a bundle.
    ///
    /// # Errors
    /// The problem to tell the deployer; whatever served before still serves.
    pub(crate) async fn deploy(self: &Arc<Self>, bundle: Bytes, options: DeployOptions) -> Result<Deployment, Problem> {
        let node = self.clone();
        // Taking a bundle apart and digesting it is work that calls need not wait for.
        let staged = self.runtime.in_background(move || node.stage(&bundle, options)).await;
        let staged =
            staged.ok_or_else(|| host_problem("taking the bundle apart failed; the node's log says where"))??;
        let Staged { id, manifest, component, bundle, models } = staged;
        let log = self.logs().of(&id);
        let prepared = self.prepare(&id, manifest.clone(), (bundle, component), models, log.clone()).await?;

        let permit = self.changes.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (node, function, text) = (self.clone(), id.clone(), manifest.to_bundle_toml());
        let routes = manifest.routes.iter().map(|route| route.pattern.clone()).collect();
        let models = manifest.model_digests();
        let created_at_ms = millis(SystemTime::now());
        let committed = blocking(move || {
            node.store
                .commit(&NewRevision { function, number: None, bundle, manifest: text, models, routes, created_at_ms })
                .map_err(|error| commit_problem(&error))
        })
        .await??;
        let (compile, cached) = (prepared.compile, prepared.cached);
        self.swap(&id, &committed, bundle, manifest, prepared, &log);
        drop(permit);
        self.deployed.notify_one();
        tracing::info!(function = %id, revision = committed.number, %bundle, cached, "deployed");
        let mut deployment = self.deployment(&id, &committed);
        deployment.compile_seconds = compile.as_secs_f64();
        deployment.compile_cached = cached;
        Ok(deployment)
    }

    async fn prepare(
        &self,
        id: &FunctionId,
        manifest: Manifest,
        (bundle, component): (Digest, Vec<u8>),
        models: BTreeMap<ModelName, ModelSource>,
        log: Arc<RevisionLog>,
    ) -> Result<Prepared, Problem> {
        let store = self.store.clone();
        let again = Arc::new(move || read_component(&store, bundle).map_err(|problem| problem.detail));
        let outbound = self.metrics().function(id);
        let memory = self.quotas.of(&id.namespace).memory().clone();
        let spec = FunctionSpec { id: id.clone(), manifest, component, models, again, memory, log, outbound };
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
        let quota = self.quotas.of(&id.namespace);
        let revision = Revision::new(id.clone(), committed.number, bundle, manifest, prepared.function, metrics, quota);
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
        drop(functions);
        self.refresh_routes();
    }

    /// Makes the routes those of what serves now, here and elsewhere.
    pub(crate) fn refresh_routes(&self) {
        // Whoever builds last has seen what the others changed.
        let _one = self.routing.lock().unwrap_or_else(PoisonError::into_inner);
        let table = {
            let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
            let elsewhere = self.cluster.as_ref().map(|cluster| cluster.elsewhere()).unwrap_or_default();
            table(&functions, &elsewhere)
        };
        self.set_routes(table);
        if let Some(cluster) = &self.cluster {
            cluster.note_change();
        }
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

    /// The component of a kept bundle. Blocks on the disk.
    fn component(&self, bundle: Digest) -> Result<Vec<u8>, Problem> {
        read_component(&self.store, bundle)
    }

    /// Makes a stored revision ready again.
    async fn revive(self: &Arc<Self>, id: &FunctionId, record: &RevisionRecord) -> Result<Arc<Revision>, Problem> {
        let (node, bundle, text) = (self.clone(), record.bundle, record.manifest.clone());
        let (manifest, component, models) = blocking(move || {
            let manifest = Manifest::parse(&text, Origin::Bundle).map_err(host_problem)?;
            let component = node.component(bundle)?;
            let models = node.granted_models(&manifest)?;
            Ok::<_, Problem>((manifest, component, models))
        })
        .await??;
        let log = self.logs().of(id);
        log.set_revision(record.number);
        let prepared = self.prepare(id, manifest.clone(), (bundle, component), models, log).await?;
        let metrics = self.metrics().function(id);
        let quota = self.quotas.of(&id.namespace);
        Ok(Arc::new(Revision::new(id.clone(), record.number, bundle, manifest, prepared.function, metrics, quota)))
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
        self.functions.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.refresh_routes();
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
            listen: self.listen_url(),
            compile_seconds: 0.0,
            compile_cached: true,
        }
    }
}

fn read_component(store: &Store, bundle: Digest) -> Result<Vec<u8>, Problem> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Problem::new(ProblemType::HostFault, format!("bundle {bundle} cannot be read: {error}"))
    };
    let mut bytes = Vec::new();
    let mut file = store.blobs().open(&bundle).map_err(|error| unreadable(&error))?;
    file.read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    Ok(Bundle::read(&bytes).map_err(|error| bundle_problem(&error))?.component())
}

fn table(functions: &BTreeMap<FunctionId, Deployed>, elsewhere: &[Arc<Elsewhere>]) -> RouteTable<Routed> {
    let mut table = RouteTable::default();
    let mut insert = |id: &FunctionId, routes: &[Route], target: &Target| {
        for route in routes {
            // Neither the store of a node nor a cluster lets two functions have one route, and a manifest has none twice.
            if let Err(error) = table.insert(route, Routed { target: target.clone(), auth: route.auth }) {
                tracing::error!(function = %id, error, "route cannot be added");
            }
        }
    };
    for (id, deployed) in functions {
        match &deployed.active {
            Ok(revision) => insert(id, &revision.manifest.routes, &Target::Here(revision.clone())),
            Err(broken) => insert(id, &broken.manifest.routes, &Target::Broken(id.clone())),
        }
    }
    // What is here answers here, however it came that it is elsewhere as well.
    for function in elsewhere.iter().filter(|function| !functions.contains_key(&function.id)) {
        insert(&function.id, &function.manifest.routes, &Target::Elsewhere(function.clone()));
    }
    table
}

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(host_problem)
}

/// Milliseconds since 1970.
pub(crate) fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
