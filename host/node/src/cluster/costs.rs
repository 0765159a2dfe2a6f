//! What functions have cost on all nodes of the cluster.

use std::time::Duration;

use futures::future::join_all;
use spillway_placement::liveness::PeerState;
use spillway_types::api::{CostReport, FunctionCost, NodeFault};

use super::Cluster;
use crate::node::Node;
use crate::peers::Peer;
use crate::peers::wire::COSTS;

/// How long a peer may take to say it.
const ANSWER_MAX: Duration = Duration::from_secs(2);

impl Node {
    /// Adds what all other nodes say to a report of this one.
    pub(crate) async fn others_costs(&self, cluster: &Cluster, report: &mut CostReport, days: u64) {
        let peers = cluster.peers().all();
        let asked = peers.iter().map(async |peer| {
            let node = peer.name().clone();
            if cluster.peers().state(&node) == PeerState::Dead {
                return Err(NodeFault { node, fault: "it does not answer".to_owned() });
            }
            ask(peer, days).await.map_err(|fault| NodeFault { node, fault })
        });
        for answer in join_all(asked).await {
            match answer {
                Ok(costs) => report.costs.extend(costs),
                Err(missing) => report.missing.push(missing),
            }
        }
    }
}

/// A peer speaks for itself only, whatever it says.
async fn ask(peer: &Peer, days: u64) -> Result<Vec<FunctionCost>, String> {
    let path = format!("{COSTS}{days}");
    let answered = tokio::time::timeout(ANSWER_MAX, peer.client.get::<Vec<FunctionCost>>(&path)).await;
    let costs = answered.map_err(|_| format!("no answer within {ANSWER_MAX:?}"))?.map_err(|error| error.to_string())?;
    Ok(costs.into_iter().map(|cost| FunctionCost { node: Some(peer.name().clone()), ..cost }).collect())
}
