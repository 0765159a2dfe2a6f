//! Garbage collection: old revisions, blobs, compiled code and logs, within the disk budget.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use spillway_cluster::GcPolicy;
use spillway_types::api::GcSummary;
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::revision::Revision;

/// How often it runs by itself, beside once after deployments.
const EVERY: Duration = Duration::from_secs(600);
/// Deployments that come together are followed by one collection.
const SETTLE: Duration = Duration::from_secs(5);
/// How long an uploaded blob may wait for the deployment that names it.
const GRACE: Duration = Duration::from_secs(3600);

/// Collects now and then until told to stop.
pub(crate) async fn run(node: Arc<Node>, stop: CancellationToken) {
    loop {
        let due = async {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = node.deployed.notified() => tokio::time::sleep(SETTLE).await,
            }
        };
        tokio::select! {
            () = due => {}
            () = stop.cancelled() => return,
        }
        let worker = node.clone();
        match tokio::task::spawn_blocking(move || worker.collect()).await {
            Ok(Ok(summary)) => report(&summary),
            Ok(Err(error)) => tracing::error!(%error, "garbage collection failed"),
            Err(error) => tracing::error!(%error, "garbage collection panicked"),
        }
    }
}

/// A collection that freed nothing is no news.
fn report(summary: &GcSummary) {
    let GcSummary { freed_bytes, kept_bytes, .. } = summary;
    if *freed_bytes > 0 {
        tracing::info!(freed_bytes, kept_bytes, "collected");
    } else {
        tracing::debug!(kept_bytes, "nothing to collect");
    }
}

impl Node {
    /// Collects once. Blocks on the disk.
    ///
    /// The budget goes to compiled code first, a quarter, because it can be made again; logs get an eighth; what is left
    /// is for bundles and models.
    ///
    /// # Errors
    /// What could not be read or removed.
    pub(crate) fn collect(&self) -> anyhow::Result<GcSummary> {
        let budget = self.config.disk_budget_bytes;
        let held = self.held_revisions();
        let (removed_artefacts, freed_code, kept_code) =
            self.runtime.collect_code(budget / 4, held.iter().map(|revision| &revision.function))?;
        let kept_logs = self.logs().collect(budget / 8)?;
        let in_use: Vec<_> = held
            .iter()
            .flat_map(|revision| revision.manifest.model_digests().into_iter().chain([revision.bundle]))
            // Calls may still run on a revision that has gone, and their models be loaded again.
            .chain(self.models.known().into_iter().filter(|model| model.users > 0).map(|model| model.digest))
            .collect();
        let policy = GcPolicy {
            keep_revisions: self.config.keep_revisions,
            disk_budget_bytes: budget.saturating_sub(kept_code).saturating_sub(kept_logs),
            grace: GRACE,
            staging_max_age: GRACE,
        };
        let report = self.store.gc(&policy, &in_use, SystemTime::now())?;
        if report.kept_bytes > policy.disk_budget_bytes {
            tracing::warn!(
                kept_bytes = report.kept_bytes,
                budget_bytes = policy.disk_budget_bytes,
                "what serves takes more than the disk budget; raise --disk-budget or remove functions"
            );
        }
        Ok(GcSummary {
            removed_revisions: report.removed_revisions,
            removed_blobs: report.removed_blobs,
            removed_artefacts,
            freed_bytes: report.freed_bytes + freed_code,
            kept_bytes: report.kept_bytes + kept_code + kept_logs,
            removed_cluster_files: None,
            freed_cluster_bytes: None,
        })
    }

    /// Every revision in memory: those that serve and those kept for a rollback.
    fn held_revisions(&self) -> Vec<Arc<Revision>> {
        let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
        functions
            .values()
            .flat_map(|deployed| {
                deployed.active.as_ref().ok().into_iter().chain(&deployed.previous).cloned().collect::<Vec<_>>()
            })
            .collect()
    }
}
