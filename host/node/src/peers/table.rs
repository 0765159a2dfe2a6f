//! The peers that there are, and what is known of each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use spillway_placement::admission::PeerLoad;
use spillway_placement::liveness::{Config, PeerState, Rtt, Transition};
use spillway_placement::{Capacity, Liveness, Time};
use spillway_trust::ReloadingIdentity;
use spillway_types::{FunctionId, NodeIdentity, NodeName};

use super::client::PeerClient;
use super::wire::Greeting;
use crate::cluster::NodeRecord;

/// All peers. Lives as long as the node.
pub(crate) struct Peers {
    /// What this node shows when it calls.
    identity: Arc<ReloadingIdentity>,
    /// Never locked across a wait.
    peers: RwLock<BTreeMap<NodeName, Arc<Peer>>>,
    /// Who is alive. It reads no clock; `started` makes its times.
    liveness: Mutex<Liveness>,
    started: Instant,
}

/// One peer.
pub(crate) struct Peer {
    /// What it says of itself in the control store. Only its certificate is believed.
    pub(crate) record: NodeRecord,
    pub(crate) client: PeerClient,
    /// What it said last. Never locked across a wait.
    said: Mutex<Said>,
    /// How busy it is. Shared with the record of it that stood here before, if it is somewhere else now.
    load: Arc<Mutex<PeerLoad>>,
    started: Instant,
}

/// What a peer said last, and what kept it from saying more.
#[derive(Clone, Default)]
pub(crate) struct Said {
    pub(crate) greeting: Option<Greeting>,
    /// By how much its clock is ahead of ours, in milliseconds.
    pub(crate) clock_ahead_ms: i64,
    pub(crate) capacity: Option<Arc<Capacity>>,
    /// When `capacity` was asked for.
    pub(super) measured: Option<Instant>,
    /// How fast a large answer comes from it.
    pub(crate) bandwidth_bytes_per_second: Option<f64>,
    /// When that was looked at last.
    pub(super) bandwidth_asked: Option<Instant>,
    /// Why the last probe failed; `None` after one that did not.
    pub(crate) trouble: Option<String>,
}

impl Said {
    pub(crate) fn is_draining(&self) -> bool {
        self.greeting.as_ref().is_some_and(|greeting| greeting.draining)
    }
}

impl Peer {
    pub(crate) fn name(&self) -> &NodeName {
        &self.record.identity.node
    }

    pub(crate) fn said(&self) -> Said {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn note(&self, note: impl FnOnce(&mut Said)) {
        note(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Asks how busy it is, or notes it.
    pub(crate) fn load<T>(&self, work: impl FnOnce(&mut PeerLoad, Time) -> T) -> T {
        let now = Time::from_start(self.started.elapsed());
        work(&mut self.load.lock().unwrap_or_else(PoisonError::into_inner), now)
    }

    /// The revision of a function that it serves, by its own word.
    pub(crate) fn serves(&self, function: &FunctionId) -> Option<u64> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        Some(said.capacity.as_ref()?.function(function)?.revision)
    }
}

impl Peers {
    pub(crate) fn new(identity: Arc<ReloadingIdentity>) -> Self {
        let liveness = Mutex::new(Liveness::new(Config::default()));
        Self { identity, peers: RwLock::default(), liveness, started: Instant::now() }
    }

    /// Learns of a peer, or that it is somewhere else now.
    pub(crate) fn put(&self, record: NodeRecord) {
        let name = record.identity.node.clone();
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        if peers.get(&name).is_some_and(|known| known.record == record) {
            return;
        }
        let client = PeerClient::new(record.identity.clone(), record.peer.clone(), self.identity.clone());
        // What it said lasts until it says something else: to be found elsewhere changes nothing of that.
        let known = peers.get(&name);
        let said = Mutex::new(known.map(|known| known.said()).unwrap_or_default());
        let load = known.map(|known| known.load.clone()).unwrap_or_default();
        peers.insert(name.clone(), Arc::new(Peer { record, client, said, load, started: self.started }));
        drop(peers);
        self.tell(|liveness, now| liveness.add(name, now));
    }

    /// Makes all connections anew when they are needed next; requests on the old ones go on.
    pub(crate) fn connect_again(&self) {
        self.all().iter().for_each(|peer| peer.client.forget());
    }

    /// Forgets a peer.
    pub(crate) fn remove(&self, name: &NodeName) {
        self.peers.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.tell(|liveness, _| {
            liveness.remove(name);
            Vec::new()
        });
    }

    pub(crate) fn all(&self) -> Vec<Arc<Peer>> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn get(&self, name: &NodeName) -> Option<Arc<Peer>> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn state(&self, name: &NodeName) -> PeerState {
        self.ask(|liveness, _| liveness.state(name)).unwrap_or(PeerState::Unknown)
    }

    /// Smoothed round-trip time, once the peer has answered.
    pub(crate) fn rtt(&self, name: &NodeName) -> Option<Rtt> {
        self.ask(|liveness, _| liveness.rtt(name))
    }

    /// Whether the identity is that of a known peer: its place and role as well as its name.
    pub(crate) fn knows(&self, identity: &NodeIdentity) -> bool {
        self.get(&identity.node).is_some_and(|peer| peer.record.identity == *identity)
    }

    /// Asks the failure detector.
    pub(super) fn ask<T>(&self, work: impl FnOnce(&mut Liveness, Time) -> T) -> T {
        let now = Time::from_start(self.started.elapsed());
        work(&mut self.liveness.lock().unwrap_or_else(PoisonError::into_inner), now)
    }

    /// Tells the failure detector something, and the log what changed by it.
    pub(super) fn tell(&self, work: impl FnOnce(&mut Liveness, Time) -> Vec<Transition>) {
        for Transition { peer, from, to } in self.ask(work) {
            match to {
                PeerState::Dead => {
                    let trouble = self.get(&peer).and_then(|peer| peer.said().trouble).unwrap_or_default();
                    tracing::warn!(%peer, trouble, "a peer is dead");
                }
                PeerState::Alive if from != PeerState::Suspect => tracing::info!(%peer, "a peer is alive"),
                _ => tracing::debug!(%peer, ?from, ?to, "a peer's state changed"),
            }
        }
    }
}
