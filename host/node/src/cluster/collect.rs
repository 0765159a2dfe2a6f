//! Takes files out of the cluster's store that no function needs any more.
//!
//! A deployment writes its files first and its statement last, so that young files may be about to be needed. In its last
//! step, under the lock of deployments, it makes sure of its files again; what is removed here is removed under that lock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use spillway_cluster::Blob;
use spillway_placement::liveness::PeerState;
use spillway_trust::SignedStatement;
use spillway_types::{Desired, Digest};
use tokio_util::sync::CancellationToken;

use super::desired::DesiredState;
use super::{Cluster, files};

/// How often it is done by itself, by one of the nodes.
const EVERY: Duration = Duration::from_secs(3600);
/// How long a file may wait for its statement.
const GRACE: Duration = Duration::from_secs(3600);

/// What was taken away.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Collected {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Collects now and then until told to stop, where this node is the first by name of those that live.
pub(super) async fn run(cluster: Arc<Cluster>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        let peers = cluster.peers.all();
        let is_first = peers
            .iter()
            .filter(|peer| cluster.peers.state(peer.name()) == PeerState::Alive)
            .all(|peer| cluster.own.node < *peer.name());
        if !is_first || cluster.link().trouble.is_some() {
            continue;
        }
        match cluster.collect_files().await {
            Ok(Collected { files: 0, .. }) => tracing::debug!("no file of the cluster's store to collect"),
            Ok(Collected { files, bytes }) => tracing::info!(files, bytes, "collected files of the cluster's store"),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "files of the cluster's store were not collected")
            }
        }
    }
}

impl Cluster {
    /// Collects once.
    ///
    /// # Errors
    /// The store cannot be reached, or has a statement that cannot be read: then nobody can say what it needs.
    pub(crate) async fn collect_files(&self) -> anyhow::Result<Collected> {
        let now = SystemTime::now();
        let is_old = |blob: &Blob| now.duration_since(blob.renewed).is_ok_and(|age| age >= GRACE);
        let mut old: Vec<Blob> = self.files.list().await?.into_iter().filter(is_old).collect();
        let needed = self.needed_files().await?;
        old.retain(|blob| !needed.contains(&blob.digest));
        let mut collected = Collected::default();
        // One at a time, so that no deployment waits for long.
        for Blob { digest, bytes, .. } in old {
            let lock = self.lock_deployments().await.map_err(|problem| anyhow::anyhow!(problem.detail))?;
            let removed = async {
                if self.needed_files().await?.contains(&digest) {
                    return Ok(false);
                }
                self.files.remove(&digest).await?;
                anyhow::Ok(true)
            }
            .await;
            let _ = self.control.release(lock).await;
            if removed? {
                collected.files += 1;
                collected.bytes += bytes;
            }
        }
        Ok(collected)
    }

    /// The files of all functions, by what the store says and by what this node knows. Whether a statement is to be
    /// believed is not asked: another node may believe it.
    async fn needed_files(&self) -> anyhow::Result<BTreeSet<Digest>> {
        let listing = self.control.list(&DesiredState::prefix()).await?;
        let stored = listing.entries.iter().filter_map(|entry| {
            let value = entry.value.as_deref()?;
            let read = SignedStatement::from_bytes(value).and_then(|signed| signed.statement_unverified());
            Some(read.with_context(|| format!("{} cannot be read", entry.key)))
        });
        let known = self.desired.all();
        let known = known.iter().map(|known| Ok(known.statement.clone()));
        let mut needed = BTreeSet::new();
        for statement in stored.chain(known) {
            if let Desired::Serve(release) = statement?.desired {
                needed.extend(files::needed(&release)?);
            }
        }
        Ok(needed)
    }
}
