//! Makes this node run what it shall run: after each change, and again and again for what did not work.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use spillway_types::{Desired, FunctionId, Manifest, Origin, Problem, ProblemType, Release};
use tokio_util::sync::CancellationToken;

use super::elsewhere::{Elsewhere, Reason};
use super::{Cluster, Known, files};
use crate::node::Node;

/// The first wait before something that failed is tried again, and the longest; it doubles in between.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Even when nothing is known to have changed.
const SWEEP: Duration = Duration::from_secs(30);

/// When to try a function again that could not be made ready.
struct Retry {
    sequence: u64,
    at: Instant,
    wait: Duration,
}

/// Reconciles until told to stop.
pub(super) async fn run(node: Arc<Node>, cluster: Arc<Cluster>, stop: CancellationToken) {
    let mut retries: BTreeMap<FunctionId, Retry> = BTreeMap::new();
    loop {
        for known in cluster.desired.all() {
            let function = known.statement.function.clone();
            let sequence = known.statement.sequence;
            if retries.get(&function).is_some_and(|retry| retry.sequence == sequence && retry.at > Instant::now()) {
                continue;
            }
            let applied = tokio::select! {
                applied = node.reconcile(&cluster, &function) => applied,
                () = stop.cancelled() => return,
            };
            match applied {
                Ok(()) => {
                    retries.remove(&function);
                }
                Err(reason) => {
                    let before = retries.get(&function).filter(|retry| retry.sequence == sequence);
                    let wait = before.map_or(RETRY_MIN, |retry| (retry.wait * 2).min(RETRY_MAX));
                    tracing::warn!(%function, sequence, reason = format!("{reason:#}"), ?wait, "what shall be cannot be yet");
                    retries.insert(function.clone(), Retry { sequence, at: Instant::now() + wait, wait });
                    cluster.note_not_ready(&node, &known, &format!("{reason:#}"));
                }
            }
        }
        let next = retries.values().map(|retry| retry.at).min();
        let next = next.map_or(SWEEP, |at| at.saturating_duration_since(Instant::now()).min(SWEEP));
        tokio::select! {
            () = cluster.changed.notified() => {}
            () = tokio::time::sleep(next) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Routes what shall run and is not here to other nodes, before the first caller comes. What may run here follows.
pub(super) fn route_elsewhere(node: &Node, cluster: &Cluster) {
    for known in cluster.desired.all() {
        let Desired::Serve(release) = &known.statement.desired else { continue };
        let id = &known.statement.function;
        let Ok(manifest) = Manifest::parse(&release.manifest, Origin::Bundle) else { continue };
        if node.has(id) {
            continue;
        }
        let not_yet = || match node.check_models_fit(&manifest) {
            Ok(()) => Reason::NotReady("it is being made ready".to_owned()),
            Err(problem) => Reason::TooLarge(problem.detail),
        };
        let reason = node.reason_against(cluster, id, release, &manifest).unwrap_or_else(not_yet);
        cluster.elsewhere.put(Elsewhere { id: id.clone(), release: release.clone(), manifest, reason });
    }
    node.refresh_routes();
}

impl Node {
    /// Makes one function what it shall be here, by the newest statement. Does nothing where it is that already.
    ///
    /// # Errors
    /// Why it cannot be; what served before still serves.
    pub(super) async fn reconcile(self: &Arc<Self>, cluster: &Arc<Cluster>, id: &FunctionId) -> anyhow::Result<()> {
        let _one = cluster.applying(id).lock_owned().await;
        // Asked for under the lock: whoever held it may have brought a newer statement about.
        match cluster.desired.get(id) {
            Some(known) => self.apply(cluster, &known).await,
            None => Ok(()),
        }
    }

    async fn apply(self: &Arc<Self>, cluster: &Arc<Cluster>, known: &Known) -> anyhow::Result<()> {
        let id = &known.statement.function;
        let release = match &known.statement.desired {
            Desired::Serve(release) => release,
            Desired::Removed => {
                if cluster.elsewhere.remove(id) {
                    self.refresh_routes();
                }
                if self.has(id) {
                    self.remove(id.clone()).await.map_err(|problem| anyhow::anyhow!(problem.detail))?;
                }
                return Ok(());
            }
        };
        let manifest = Manifest::parse(&release.manifest, Origin::Bundle)
            .context("its manifest cannot be read by this version of spillway")?;
        if let Some(reason) = self.reason_against(cluster, id, release, &manifest) {
            let new = cluster.elsewhere.get(id).is_none_or(|old| old.release != *release || old.reason != reason);
            if self.has(id) {
                self.remove(id.clone()).await.map_err(|problem| anyhow::anyhow!(problem.detail))?;
            }
            if new {
                tracing::info!(function = %id, %reason, "runs on other nodes");
                cluster.elsewhere.put(Elsewhere { id: id.clone(), release: release.clone(), manifest, reason });
                self.refresh_routes();
            }
            return Ok(());
        }
        if !self.runs(id, release)
            && let Err(problem) = self.bring(cluster, id, release, manifest).await?
        {
            if !problem.is(ProblemType::ModelsTooLarge) || release.owner.is_some() {
                anyhow::bail!(problem.detail);
            }
            // Other nodes run it, and this one as long as this release holds does not try again.
            cluster.note_too_large(id, release, problem.detail);
            return Box::pin(self.apply(cluster, known)).await;
        }
        if cluster.elsewhere.remove(id) {
            self.refresh_routes();
        }
        Ok(())
    }

    /// Fetches what a release needs, and makes it serve. Files of models that are known not to fit are not fetched.
    async fn bring(
        self: &Arc<Self>,
        cluster: &Arc<Cluster>,
        id: &FunctionId,
        release: &Release,
        manifest: Manifest,
    ) -> anyhow::Result<Result<(), Problem>> {
        if let Err(problem) = self.check_models_fit(&manifest) {
            return Ok(Err(problem));
        }
        for digest in files::needed(release)? {
            files::fetch(self, cluster, digest).await?;
        }
        Ok(self.install(id, release, manifest).await)
    }

    /// Why a function shall not run here, if it shall not.
    pub(super) fn reason_against(
        &self,
        cluster: &Cluster,
        id: &FunctionId,
        release: &Release,
        manifest: &Manifest,
    ) -> Option<Reason> {
        match &release.owner {
            Some(owner) if *owner != cluster.own.node => return Some(Reason::Owned(owner.clone())),
            // The data is here: nothing but its owner may run it, whatever else is said.
            Some(_) => return None,
            None => {}
        }
        if !manifest.placement.admits(&cluster.own) {
            return Some(Reason::NotAdmitted);
        }
        if let Some(reason) = cluster.too_large(id, release) {
            return Some(Reason::TooLarge(reason));
        }
        (cluster.orders().cordoned && !self.has(id)).then_some(Reason::Cordoned)
    }
}

impl Cluster {
    /// Notes that the models of a release do not fit here.
    pub(super) fn note_too_large(&self, id: &FunctionId, release: &Release, reason: String) {
        let mut too_large = self.too_large.lock().unwrap_or_else(PoisonError::into_inner);
        too_large.insert(id.clone(), (release.clone(), reason));
    }

    /// Why the models of a release do not fit here, if that has been seen.
    fn too_large(&self, id: &FunctionId, release: &Release) -> Option<String> {
        let too_large = self.too_large.lock().unwrap_or_else(PoisonError::into_inner);
        too_large.get(id).filter(|(seen, _)| seen == release).map(|(_, reason)| reason.clone())
    }

    /// Until a function is ready here, its routes lead to nodes where it is.
    fn note_not_ready(&self, node: &Node, known: &Known, reason: &str) {
        let Desired::Serve(release) = &known.statement.desired else { return };
        let id = &known.statement.function;
        // An older revision that serves goes on serving.
        if node.has(id) {
            return;
        }
        let Ok(manifest) = Manifest::parse(&release.manifest, Origin::Bundle) else { return };
        let reason = Reason::NotReady(reason.to_owned());
        self.elsewhere.put(Elsewhere { id: id.clone(), release: release.clone(), manifest, reason });
        node.refresh_routes();
    }
}
