//! Takes a node away that will not come back: without this, it stays in every list as dead.
//!
//! A node that lives cannot be forgotten: it tells the others where it is each time it asks them how they are.

use spillway_cluster::{ControlStore as _, Expected};
use spillway_placement::liveness::PeerState;
use spillway_types::{NodeName, Problem, ProblemType};

use super::record::{Forgotten, NodeRecord};
use super::{Cluster, publish};

impl Cluster {
    /// Has all nodes forget `name`.
    ///
    /// # Errors
    /// There is no such node, it is not dead, it has data of functions, or the control store cannot be told.
    pub(crate) async fn forget(&self, name: &NodeName) -> Result<(), Problem> {
        let conflict = |detail: String| Err(Problem::new(ProblemType::Conflict, detail));
        if *name == self.own.node {
            return conflict(format!("{name} is the node that was asked; stop it, and ask another"));
        }
        if self.peers.get(name).is_none() {
            let detail = format!("there is no node `{name}`; `spillway nodes` lists them");
            return Err(Problem::new(ProblemType::NotFound, detail));
        }
        if self.peers.state(name) != PeerState::Dead {
            return conflict(format!("{name} is not dead; stop it first, then forget it"));
        }
        let owned = self.desired.all();
        let owned = owned.iter().filter(|known| known.owner() == Some(name));
        let owned: Vec<String> = owned.map(|known| known.statement.function.to_string()).collect();
        if !owned.is_empty() {
            let owned = owned.join(", ");
            return conflict(format!("the data of {owned} is on {name}; remove these functions first"));
        }
        let key = NodeRecord::key(name);
        let there = self.control.get(&key).await.map_err(|error| publish::control_problem(&error))?;
        let expected = there.map_or(Expected::Absent, |entry| Expected::Version(entry.version));
        let told = self.control.compare_and_set(&key, Forgotten::of(name).to_bytes().into(), expected).await;
        told.map_err(|error| publish::control_problem(&error))?;
        self.drop_peer(name).await;
        Ok(())
    }

    /// Hears that a node is to be forgotten, which whoever can write into the store could say of any.
    pub(super) async fn hear_forgotten(&self, name: &NodeName) {
        match self.peers.state(name) {
            _ if self.peers.get(name).is_none() => {}
            PeerState::Alive | PeerState::Suspect => {
                tracing::warn!(peer = %name, "the control store says to forget a node that is alive");
            }
            PeerState::Dead | PeerState::Unknown => self.drop_peer(name).await,
        }
    }

    async fn drop_peer(&self, name: &NodeName) {
        self.peers.remove(name);
        let key = NodeRecord::key(name);
        let dropped = async {
            match self.disk.get(&key).await? {
                Some(entry) if entry.value.is_some() => self.disk.delete(&key, entry.version).await,
                _ => Ok(()),
            }
        };
        match dropped.await {
            Ok(()) => tracing::info!(peer = %name, "a peer was forgotten"),
            Err(error) => tracing::warn!(peer = %name, %error, "a peer was forgotten until the next start only"),
        }
    }
}
