//! A node's name is its own: a lease in the control store keeps a second node from using it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use spillway_cluster::{ControlKey, ControlStore, Lease, LeaseError};
use spillway_types::NodeName;
use tokio_util::sync::CancellationToken;

use super::Cluster;

/// How long a node that vanished keeps its name.
const TTL: Duration = Duration::from_secs(10);
const RENEW: Duration = Duration::from_secs(3);

/// Who has a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    /// The data folder's name for itself: the same box, if it comes again.
    folder: String,
    /// One run of the process.
    run: String,
    /// Where it is, for people.
    peer: String,
}

/// What became of asking for the name.
pub(super) enum Claim {
    Ours(Lease),
    /// Somebody else has it; who.
    Taken(String),
    /// The control store does not answer.
    Unknown,
}

fn key(node: &NodeName) -> ControlKey {
    ControlKey::new(["names", node.as_str()]).expect("names of nodes are parts of keys")
}

/// Asks for the name once.
pub(super) async fn claim(control: &dyn ControlStore, node: &NodeName, folder: &str, peer: &str) -> Claim {
    let key = key(node);
    let own =
        Holder { folder: folder.to_owned(), run: format!("{:032x}", rand::random::<u128>()), peer: peer.to_owned() };
    let bytes: Bytes = serde_json::to_vec(&own).unwrap_or_default().into();
    for _ in 0..2 {
        let by = match control.acquire(&key, bytes.clone(), TTL).await {
            Ok(lease) => return Claim::Ours(lease),
            Err(LeaseError::Held { by, .. }) => by,
            Err(_) => return Claim::Unknown,
        };
        let holder: Option<Holder> = serde_json::from_slice(&by).ok();
        // An earlier run on this folder, whose lock we hold: it is gone, and need not be waited for.
        if holder.as_ref().is_some_and(|holder| holder.folder == folder) {
            if let Ok(Some(entry)) = control.get(&key).await
                && entry.value.as_ref() == Some(&by)
            {
                let _ = control.delete(&key, entry.version).await;
            }
            continue;
        }
        return Claim::Taken(holder.map_or_else(|| "unknown".to_owned(), |holder| holder.peer));
    }
    Claim::Unknown
}

/// Refuses to start where another node has the name. A control store that does not answer knows nothing of it.
///
/// # Errors
/// Who has the name.
pub(super) async fn check(
    control: &dyn ControlStore,
    node: &NodeName,
    folder: &str,
    peer: &str,
) -> anyhow::Result<Option<Lease>> {
    let until = tokio::time::Instant::now() + TTL + Duration::from_secs(1);
    loop {
        match claim(control, node, folder, peer).await {
            Claim::Ours(lease) => return Ok(Some(lease)),
            Claim::Unknown => return Ok(None),
            // A box that was set up anew has another folder, and its old lease runs out.
            Claim::Taken(_) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(500)).await
            }
            Claim::Taken(by) => anyhow::bail!(
                "a node named {node} is running already, at {by}; stop it, or give this one another name with `spillway ca issue`"
            ),
        }
    }
}

/// Keeps the name until told to stop, and gives it back then.
pub(super) async fn keep(cluster: Arc<Cluster>, mut lease: Option<Lease>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(RENEW) => {}
            () = stop.cancelled() => break,
        }
        if let Some(held) = &lease {
            match cluster.control.renew(held).await {
                Ok(()) | Err(LeaseError::Store(_)) => continue,
                Err(_) => lease = None,
            }
        }
        let record = &cluster.record;
        match claim(cluster.control.as_ref(), &cluster.own.node, &record.folder, &record.peer).await {
            Claim::Ours(ours) => {
                lease = Some(ours);
                cluster.set_name_taken(None);
            }
            Claim::Taken(by) => cluster.set_name_taken(Some(by)),
            Claim::Unknown => {}
        }
    }
    if let Some(lease) = lease {
        let _ = cluster.control.release(lease).await;
    }
}

impl Cluster {
    fn set_name_taken(&self, by: Option<String>) {
        let mut taken = self.name_taken.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(by) = &by
            && taken.as_ref() != Some(by)
        {
            tracing::error!(by, name = %self.own.node, "another node uses this node's name; stop one of them");
        }
        *taken = by;
    }

    /// Where the other node is that uses this one's name.
    pub(crate) fn name_taken(&self) -> Option<String> {
        self.name_taken.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
