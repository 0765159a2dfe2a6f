//! Brings bundles and models here, from the cluster's store or from peers, and offers ours.

use std::collections::BTreeSet;

use spillway_cluster::{BlobStore, BlobStoreError, Blobs, fetch_blob};
use spillway_placement::liveness::PeerState;
use spillway_types::{Desired, Digest, Manifest, Origin, Release, Statement};

use super::Cluster;
use crate::deploy::blocking;
use crate::node::Node;

/// The files that a release needs: its bundle and its models.
///
/// # Errors
/// The manifest cannot be read by this version.
pub(super) fn needed(release: &Release) -> anyhow::Result<BTreeSet<Digest>> {
    let manifest = Manifest::parse(&release.manifest, Origin::Bundle)?;
    Ok(manifest.model_digests().into_iter().chain([release.bundle]).collect())
}

/// Makes sure that a file is here: its digest is computed on the way, and what differs is thrown away.
///
/// # Errors
/// Nobody who answers has it, or the disk is full.
pub(super) async fn fetch(node: &Node, cluster: &Cluster, digest: Digest) -> anyhow::Result<()> {
    let blobs = node.store.blobs();
    let here = blobs.clone();
    if blocking(move || here.renew(&digest, std::time::SystemTime::now()))
        .await
        .map_err(|p| anyhow::anyhow!(p.detail))??
    {
        return Ok(());
    }
    let mut reasons = Vec::new();
    let is_damaged;
    match fetch_blob(cluster.files.as_ref(), &blobs, &digest, |_| {}).await {
        Ok(bytes) => {
            tracing::info!(%digest, bytes, "fetched a file from the cluster's store");
            return Ok(());
        }
        Err(error) => {
            is_damaged = matches!(error, BlobStoreError::Corrupt { .. });
            if is_damaged {
                tracing::warn!(%digest, %error, "the copy in the cluster's store is damaged");
            }
            reasons.push(format!("the cluster's store: {error}"));
        }
    }
    for peer in cluster.peers.all() {
        if cluster.peers.state(peer.name()) == PeerState::Dead {
            continue;
        }
        let name = peer.name().clone();
        let fetched = async {
            let Some((bytes, content)) = peer.blob(&digest).await? else { return anyhow::Ok(false) };
            blobs.write(&digest, bytes, content).await?;
            Ok(true)
        };
        match fetched.await {
            Ok(true) => {
                tracing::info!(%digest, peer = %name, "fetched a file from a peer");
                if is_damaged && let Err(error) = replace(cluster, &blobs, &digest).await {
                    tracing::warn!(%digest, %error, "the damaged copy in the cluster's store could not be replaced");
                }
                return Ok(());
            }
            Ok(false) => {}
            Err(error) => reasons.push(format!("{name}: {error}")),
        }
    }
    anyhow::bail!("{digest} cannot be fetched ({})", reasons.join("; "))
}

/// Puts our sound copy in the place of the cluster's.
async fn replace(cluster: &Cluster, blobs: &Blobs, digest: &Digest) -> anyhow::Result<()> {
    cluster.files.remove(digest).await?;
    cluster.files.write(digest, blobs.size(digest)?, BlobStore::read(blobs, digest).await?).await?;
    tracing::info!(%digest, "replaced the damaged copy in the cluster's store");
    Ok(())
}

/// Writes the files of a statement to the cluster's store, where it lacks them and this node has them.
///
/// # Errors
/// The store cannot be reached, or is full.
pub(super) async fn offer(node: &Node, cluster: &Cluster, statement: &Statement) -> anyhow::Result<()> {
    let Desired::Serve(release) = &statement.desired else { return Ok(()) };
    let Ok(digests) = needed(release) else { return Ok(()) };
    for digest in digests {
        if cluster.files.contains(&digest).await? {
            continue;
        }
        let blobs = node.store.blobs();
        // Another node may have what this one has not.
        if BlobStore::contains(&blobs, &digest).await? {
            let bytes = blobs.size(&digest)?;
            cluster.files.write(&digest, bytes, BlobStore::read(&blobs, &digest).await?).await?;
        }
    }
    Ok(())
}
