//! How a function is on each node of the cluster.

use std::time::Duration;

use futures::future::join_all;
use spillway_placement::liveness::PeerState;
use spillway_types::FunctionId;
use spillway_types::api::FunctionOnNode;

use super::Cluster;
use crate::node::Node;
use crate::peers::Peer;
use crate::peers::wire::{FUNCTIONS, PeerFunction};

/// How long a peer may take to say it.
const ANSWER_MAX: Duration = Duration::from_secs(1);

impl Node {
    /// Asks all nodes that are not dead, this one first. Those that do not know the function are left out.
    pub(crate) async fn whereabouts(&self, cluster: &Cluster, id: &FunctionId) -> Vec<FunctionOnNode> {
        let find = |functions: Vec<PeerFunction>| functions.into_iter().find(|function| function.function == *id);
        let own = find(self.peer_functions()).map(|function| FunctionOnNode {
            node: cluster.identity().node.clone(),
            revision: Some(function.revision),
            fault: function.fault,
        });
        let peers = cluster.peers().all();
        let peers = peers.iter().filter(|peer| cluster.peers().state(peer.name()) != PeerState::Dead);
        let others = join_all(peers.map(async |peer| {
            let (revision, fault) = match ask(peer).await {
                Ok(functions) => find(functions).map(|function| (Some(function.revision), function.fault))?,
                Err(trouble) => (None, Some(trouble)),
            };
            Some(FunctionOnNode { node: peer.name().clone(), revision, fault })
        }));
        own.into_iter().chain(others.await.into_iter().flatten()).collect()
    }
}

async fn ask(peer: &Peer) -> Result<Vec<PeerFunction>, String> {
    match tokio::time::timeout(ANSWER_MAX, peer.client.get(FUNCTIONS)).await {
        Ok(answered) => answered.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {ANSWER_MAX:?}")),
    }
}
