//! What an operator is told about the cluster.

use std::sync::PoisonError;
use std::time::Duration;

use spillway_cluster::{ControlError, ControlKey, ControlStore as _, Durability, Expected};
use spillway_placement::Capacity;
use spillway_placement::liveness::PeerState;
use spillway_types::FunctionId;
use spillway_types::api::{ClusterStatus, NodeSummary};

use super::record::NodeRecord;
use super::{Cluster, Orders};
use crate::node::Node;
use crate::peers::Peer;
use crate::peers::wire::{Greeting, Order, WIRE_FORMAT};

/// Clocks further apart than this confuse people who compare logs; nothing in Spillway depends on them.
const CLOCK_WARNING: Duration = Duration::from_secs(10);

impl Cluster {
    pub(super) fn set_durability(&self, durability: Durability) {
        *self.durability.write().unwrap_or_else(PoisonError::into_inner) = durability;
    }

    /// Notes that an entry of the control store is not believed, and why.
    pub(super) fn note_disbelief(&self, key: &ControlKey, reason: &str) {
        self.disbelieved.write().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), reason.to_owned());
    }

    pub(super) fn forget_disbelief(&self, key: &ControlKey) {
        self.disbelieved.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Learns where a node is.
    pub(crate) async fn meet(&self, record: NodeRecord) {
        if self.peers.get(&record.identity.node).is_some_and(|known| known.record == record) {
            return;
        }
        self.keep_peer(&record).await;
        self.peers.put(record);
    }

    /// Keeps a peer's record on disk, so that the peer is found while the control store is gone.
    async fn keep_peer(&self, record: &NodeRecord) {
        let key = NodeRecord::key(&record.identity.node);
        let bytes = record.to_bytes();
        let kept = async {
            let there = self.disk.get(&key).await?;
            let expected = match there {
                Some(entry) if entry.value.as_deref() == Some(&bytes[..]) => return Ok(()),
                Some(entry) if entry.value.is_some() => Expected::Version(entry.version),
                _ => Expected::Absent,
            };
            self.disk.compare_and_set(&key, bytes.into(), expected).await.map(|_| ())
        };
        if let Err(error) = kept.await {
            tracing::warn!(node = %record.identity.node, %error, "where a peer is could not be kept");
        }
    }

    /// Notes an order; peers hear of it when they ask next.
    ///
    /// # Errors
    /// The disk failed.
    pub(crate) async fn order(&self, order: Order) -> Result<Orders, ControlError> {
        let orders = self.orders.note(order).await?;
        self.note_change();
        self.changed.notify_one();
        Ok(orders)
    }

    /// Lets a function be changed by one task at a time.
    pub(super) fn applying(&self, function: &FunctionId) -> std::sync::Arc<tokio::sync::Mutex<()>> {
        let mut applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        applying.retain(|_, lock| std::sync::Arc::strong_count(lock) > 1);
        applying.entry(function.clone()).or_default().clone()
    }

    /// What may need an operator, a line each; none of it keeps this node from serving.
    pub(crate) fn concerns(&self) -> Vec<String> {
        let mut concerns = Vec::new();
        let link = self.link();
        if let Some(trouble) = &link.trouble {
            let since = link.since.elapsed().as_secs();
            concerns.push(format!("the control store has not answered for {since} s ({trouble}); deployments are refused, calls are served"));
        }
        let durability = self.durability.read().unwrap_or_else(PoisonError::into_inner).clone();
        if !durability.is_safe() {
            concerns.push(format!("the control store may lose what it acknowledged: {durability}"));
        }
        if let Some(by) = self.name_taken() {
            concerns.push(format!("another node, at {by}, uses the name {} as well; stop one of them", self.own.node));
        }
        let disbelieved = self.disbelieved.read().unwrap_or_else(PoisonError::into_inner);
        concerns.extend(
            disbelieved.iter().map(|(key, reason)| format!("{key} in the control store is not believed: {reason}")),
        );
        for peer in self.peers.all() {
            let (name, said) = (peer.name(), peer.said());
            match self.peers.state(name) {
                PeerState::Dead => {
                    let trouble = said.trouble.unwrap_or_default();
                    concerns.push(format!("node {name} is dead: {trouble}"));
                }
                _ => {
                    let apart = Duration::from_millis(said.clock_ahead_ms.unsigned_abs());
                    if apart > CLOCK_WARNING {
                        concerns
                            .push(format!("the clock of node {name} is {} s apart from this one's", apart.as_secs()));
                    }
                    concerns.extend(
                        said.trouble
                            .filter(|_| said.greeting.is_some())
                            .map(|trouble| format!("node {name}: {trouble}")),
                    );
                }
            }
        }
        concerns
    }

    /// What `GET /api/v1/node` says of the cluster.
    pub(crate) fn status(&self) -> ClusterStatus {
        let orders = self.orders();
        ClusterStatus {
            identity: self.own.clone(),
            peer: self.record.peer.clone(),
            control: self.link().trouble.unwrap_or_else(|| "connected".to_owned()),
            durability: self.durability.read().unwrap_or_else(PoisonError::into_inner).to_string(),
            cordoned: orders.cordoned,
            draining: orders.draining,
            certificate_until: humantime::format_rfc3339_seconds(self.identity.current().not_after).to_string(),
            concerns: self.concerns(),
        }
    }
}

impl Node {
    /// How this node is, for a peer that asks.
    pub(crate) fn greeting(&self, cluster: &Cluster) -> Greeting {
        let orders = cluster.orders();
        Greeting {
            format: WIRE_FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            folder: cluster.record.folder.clone(),
            clock_ms: crate::deploy::millis(std::time::SystemTime::now()),
            cordoned: orders.cordoned,
            // Nor are calls for one that starts or stops.
            draining: orders.draining || !self.is_ready(),
            changes: cluster.changes(),
        }
    }

    /// All nodes of the cluster, this one first.
    pub(crate) fn nodes(&self, cluster: &Cluster) -> Vec<NodeSummary> {
        let orders = cluster.orders();
        let own = NodeSummary {
            cordoned: orders.cordoned,
            draining: orders.draining,
            trouble: self.health.trouble(),
            ..summary(&cluster.record, "self", Some(&self.capacity(Some(cluster))))
        };
        let peers = cluster.peers.all();
        std::iter::once(own).chain(peers.iter().map(|peer| peer_summary(cluster, peer))).collect()
    }
}

fn peer_summary(cluster: &Cluster, peer: &Peer) -> NodeSummary {
    let (name, said) = (peer.name(), peer.said());
    let state = match cluster.peers.state(name) {
        PeerState::Unknown => "unknown",
        PeerState::Alive => "alive",
        PeerState::Suspect => "suspect",
        PeerState::Dead => "dead",
    };
    let greeting = said.greeting.as_ref();
    NodeSummary {
        cordoned: greeting.is_some_and(|greeting| greeting.cordoned),
        draining: greeting.is_some_and(|greeting| greeting.draining),
        rtt_seconds: cluster.peers.rtt(name).map(|rtt| rtt.smoothed.as_secs_f64()),
        bandwidth_bytes_per_second: said.bandwidth_bytes_per_second,
        clock_ahead_seconds: greeting.map(|_| said.clock_ahead_ms as f64 / 1000.0),
        trouble: said.trouble.clone(),
        ..summary(&peer.record, state, said.capacity.as_deref())
    }
}

fn summary(record: &NodeRecord, state: &str, capacity: Option<&Capacity>) -> NodeSummary {
    NodeSummary {
        identity: record.identity.clone(),
        state: state.to_owned(),
        version: record.version.clone(),
        listen: record.listen.clone(),
        peer: record.peer.clone(),
        cordoned: false,
        draining: false,
        rtt_seconds: None,
        bandwidth_bytes_per_second: None,
        clock_ahead_seconds: None,
        functions: capacity.map(|capacity| capacity.functions.len()),
        capacity: capacity.and_then(|capacity| serde_json::to_value(capacity).ok()),
        trouble: None,
    }
}
