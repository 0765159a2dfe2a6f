//! Releases of a cluster on this node: the same steps as a deployment's, under the cluster's numbers.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use spillway_cluster::NewRevision;
use spillway_runtime::Prepared;
use spillway_types::api::Deployment;
use spillway_types::{FunctionId, Manifest, Origin, Problem, Release};

use super::problem::{commit_problem, host_problem};
use super::{blocking, millis};
use crate::cluster::Cluster;
use crate::node::Node;
use crate::peers::wire::{Order, PeerFunction};
use crate::revision::{Revision, one_ends_in};

impl Node {
    /// The revision of a function that serves here.
    pub(crate) fn serving(&self, id: &FunctionId) -> Option<Arc<Revision>> {
        let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
        functions.get(id)?.active.as_ref().ok().cloned()
    }

    /// When a sandbox is expected to be free on a node that can make no more: some call has to end.
    pub(crate) fn sandbox_free_in(&self) -> Duration {
        let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
        let serving = functions.values().filter_map(|deployed| deployed.active.as_ref().ok());
        let run = |revision: &Revision| Some(revision.metrics.estimates.expect(0).run?.p50);
        one_ends_in(serving.map(|revision| (revision.running(), run(revision).unwrap_or_default())))
    }

    /// Whether the function is deployed here, serving or not.
    pub(crate) fn has(&self, id: &FunctionId) -> bool {
        self.functions.read().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }

    /// Whether exactly this serves here.
    pub(crate) fn runs(&self, id: &FunctionId, release: &Release) -> bool {
        self.serving(id).is_some_and(|revision| {
            revision.number == release.revision
                && revision.bundle == release.bundle
                && revision.manifest.to_bundle_toml() == release.manifest
        })
    }

    /// What this node serves, and what it cannot serve and why.
    pub(crate) fn peer_functions(&self) -> Vec<PeerFunction> {
        let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
        let known = functions.iter().map(|(function, deployed)| {
            let (revision, bundle, fault) = match &deployed.active {
                Ok(revision) => (revision.number, revision.bundle, None),
                Err(broken) => (broken.number, broken.bundle, Some(broken.reason.clone())),
            };
            PeerFunction { function: function.clone(), revision, bundle, fault }
        });
        let waiting = self.cluster.as_ref().map(|cluster| cluster.elsewhere()).unwrap_or_default();
        let waiting = waiting.iter().map(|function| PeerFunction {
            function: function.id.clone(),
            revision: function.release.revision,
            bundle: function.release.bundle,
            fault: Some(function.reason.to_string()),
        });
        known.chain(waiting).collect()
    }

    /// Compiles, loads the models and makes a sandbox, and keeps none of it but what caches keep. Says how long compiling
    /// took, and whether cached code spared it.
    ///
    /// # Errors
    /// Why the release cannot run here.
    pub(crate) async fn try_out(
        self: &Arc<Self>,
        id: &FunctionId,
        release: &Release,
        manifest: Manifest,
    ) -> Result<(Duration, bool), Problem> {
        let (id, release) = (id.clone(), release.clone());
        let node = self.clone();
        let routes: Vec<_> = manifest.routes.iter().map(|route| route.pattern.clone()).collect();
        let function = id.clone();
        blocking(move || node.store.check_routes(&function, &routes).map_err(|error| commit_problem(&error))).await??;
        let prepared = self.ready(&id, &release, manifest).await?;
        Ok((prepared.compile, prepared.cached))
    }

    /// Makes a release of the cluster the revision that serves here. Its files are here.
    ///
    /// # Errors
    /// Why it cannot be; what served before still serves.
    pub(crate) async fn install(
        self: &Arc<Self>,
        id: &FunctionId,
        release: &Release,
        manifest: Manifest,
    ) -> Result<(), Problem> {
        let prepared = self.ready(id, release, manifest.clone()).await?;
        let permit = self.changes.clone().acquire_owned().await.expect("the semaphore is never closed");
        let new = NewRevision {
            function: id.clone(),
            number: Some(release.revision),
            bundle: release.bundle,
            manifest: release.manifest.clone(),
            models: manifest.model_digests(),
            routes: manifest.routes.iter().map(|route| route.pattern.clone()).collect(),
            created_at_ms: millis(SystemTime::now()),
        };
        let node = self.clone();
        let committed = blocking(move || node.store.commit(&new).map_err(|error| commit_problem(&error))).await??;
        let log = self.logs().of(id);
        self.swap(id, &committed, release.bundle, manifest, prepared, &log);
        drop(permit);
        self.deployed.notify_one();
        tracing::info!(function = %id, revision = committed.number, bundle = %release.bundle, "serves a release of the cluster");
        Ok(())
    }

    async fn ready(
        self: &Arc<Self>,
        id: &FunctionId,
        release: &Release,
        manifest: Manifest,
    ) -> Result<Prepared, Problem> {
        self.check_models_fit(&manifest)?;
        let (node, bundle, granted) = (self.clone(), release.bundle, manifest.clone());
        let (component, models) =
            blocking(move || Ok::<_, Problem>((node.component(bundle)?, node.granted_models(&granted)?))).await??;
        let log = self.logs().of(id);
        let prepared = self.prepare(id, manifest.clone(), (bundle, component), models, log).await?;
        // Now their sizes in memory are known.
        self.check_models_fit(&manifest)?;
        Ok(prepared)
    }

    /// Carries an order out. A node that drains goes on with the calls it has, and gives new ones away.
    ///
    /// # Errors
    /// The order could not be kept.
    pub(crate) async fn obey(&self, cluster: &Cluster, order: Order) -> Result<(), Problem> {
        let orders = cluster.order(order).await.map_err(host_problem)?;
        tracing::info!(cordoned = orders.cordoned, draining = orders.draining, "an order is in force");
        Ok(())
    }

    /// What a deployer hears of a release.
    pub(crate) fn published(
        &self,
        id: &FunctionId,
        release: &Release,
        previous: Option<u64>,
        (compile, compile_cached): (Duration, bool),
    ) -> Deployment {
        let routes = Manifest::parse(&release.manifest, Origin::Bundle);
        Deployment {
            namespace: id.namespace.clone(),
            name: id.name.clone(),
            revision: release.revision,
            previous,
            bundle: release.bundle,
            unchanged: false,
            routes: routes.map(|manifest| manifest.routes).unwrap_or_default(),
            listen: self.listen_url(),
            compile_seconds: compile.as_secs_f64(),
            compile_cached,
        }
    }
}
