//! Hears of statements and nodes from the control store, and tells the store what it lacks.
//!
//! The store is believed in nothing: a statement is verified, a node has to show its certificate. So a store that lost its
//! data, or was replaced by an empty one, is filled again by the nodes, and one that tells lies is not heard.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use spillway_cluster::{ControlError, Entry, Expected, Followed, follow};
use spillway_trust::{SignedStatement, Untrusted};
use tokio_util::sync::CancellationToken;

use super::desired::{DesiredState, Known};
use super::record::{Forgotten, NodeRecord};
use super::{Cluster, files};
use crate::node::Node;

/// A watch may miss something if the store has a fault; a listing does not. So everything is listed this often.
const RELIST: Duration = Duration::from_secs(30);
/// How long after a failed attempt to tell the store what it lacks.
const RETRY: Duration = Duration::from_secs(2);

/// Follows statements until told to stop.
pub(super) async fn statements(node: Arc<Node>, cluster: Arc<Cluster>, stop: CancellationToken) {
    let mut changes = follow(cluster.control.clone(), DesiredState::prefix(), RELIST);
    let mut tell = tokio::time::interval(RELIST);
    loop {
        tokio::select! {
            followed = changes.next() => match followed {
                Some(Followed::Changed(entry)) => cluster.hear_statement(&node, entry).await,
                Some(Followed::Connected) => {
                    cluster.set_link(None);
                    tell.reset_immediately();
                }
                Some(Followed::Disconnected(error)) => cluster.set_link(Some(error.to_string())),
                None => return,
            },
            () = cluster.recheck.notified() => tell.reset_immediately(),
            _ = tell.tick(), if cluster.link().trouble.is_none() => {
                if let Err(error) = cluster.tell(&node).await {
                    tracing::debug!(%error, "the control store could not be told what it lacks");
                    tell.reset_after(RETRY);
                }
            }
            () = stop.cancelled() => return,
        }
    }
}

/// Follows records of nodes until told to stop.
pub(super) async fn nodes(cluster: Arc<Cluster>, stop: CancellationToken) {
    let mut changes = follow(cluster.control.clone(), NodeRecord::prefix(), RELIST);
    loop {
        let followed = tokio::select! {
            followed = changes.next() => followed,
            () = stop.cancelled() => return,
        };
        match followed {
            Some(Followed::Changed(entry)) => cluster.hear_node(entry).await,
            Some(_) => {}
            None => return,
        }
    }
}

impl Cluster {
    /// Takes a statement from the store, if it may be believed and is newer than what holds.
    pub(super) async fn hear_statement(&self, node: &Node, entry: Entry) {
        // Nothing takes a function away but a statement that says so.
        let Some(value) = entry.value else {
            if self.desired.all().iter().any(|known| DesiredState::key(&known.statement.function) == entry.key) {
                tracing::warn!(key = %entry.key, "a statement was taken out of the control store; it goes back in");
                self.hear_again();
            }
            return;
        };
        // What holds was verified when it came: a listing of everything costs no signatures.
        if self.desired.holds(&entry.key, &value) {
            self.forget_disbelief(&entry.key);
            return;
        }
        let read = || -> anyhow::Result<Known> {
            let signed = SignedStatement::from_bytes(&value)?;
            let statement = signed.verify(&self.own.cluster, &node.trusted())?;
            anyhow::ensure!(
                DesiredState::key(&statement.function) == entry.key,
                "it is about {}, and stands under {}",
                statement.function,
                entry.key
            );
            Ok(Known { statement, signed })
        };
        let known = match read() {
            Ok(known) => known,
            Err(reason) => {
                tracing::warn!(key = %entry.key, %reason, "a statement in the control store is not believed");
                self.note_disbelief(&entry.key, &reason.to_string());
                // What an unknown key signed may be what other nodes believe already: that is only looked at from time to
                // time. All else is worth nothing to anybody.
                let unknown = matches!(reason.downcast_ref(), Some(Untrusted::UnknownKey { .. }));
                let is_ours =
                    self.desired.all().iter().any(|known| DesiredState::key(&known.statement.function) == entry.key);
                if is_ours && !unknown {
                    self.hear_again();
                }
                return;
            }
        };
        self.forget_disbelief(&entry.key);
        let (function, sequence) = (known.statement.function.clone(), known.statement.sequence);
        if self.desired.get(&function).is_some_and(|held| held.statement.sequence > sequence) {
            tracing::warn!(%function, sequence, "an old statement came back in the control store; the newer one holds");
            self.hear_again();
        }
        match self.desired.take(known).await {
            Ok(true) => {
                tracing::info!(%function, sequence, "heard of a new statement");
                self.changed.notify_one();
            }
            Ok(false) => {}
            Err(error) => tracing::error!(%function, %error, "a statement could not be kept"),
        }
    }

    /// Learns where a node is.
    async fn hear_node(&self, entry: Entry) {
        let own = NodeRecord::key(&self.own.node);
        if entry.key == own {
            return;
        }
        if let Some(gone) = entry.value.as_deref().and_then(Forgotten::read) {
            self.forget_disbelief(&entry.key);
            if NodeRecord::key(&gone.forgotten) == entry.key {
                self.hear_forgotten(&gone.forgotten).await;
            }
            return;
        }
        match entry.value.as_deref().map(NodeRecord::read) {
            Some(Ok(record)) if record.identity.cluster != self.own.cluster => {
                tracing::warn!(key = %entry.key, "the record of a node of another cluster was ignored");
            }
            Some(Ok(record)) if NodeRecord::key(&record.identity.node) == entry.key => {
                self.forget_disbelief(&entry.key);
                self.meet(record).await;
            }
            Some(Ok(record)) => {
                tracing::warn!(key = %entry.key, node = %record.identity.node, "the record of a node stands under another's name");
            }
            Some(Err(reason)) => {
                tracing::warn!(key = %entry.key, reason, "the record of a node was ignored");
                self.note_disbelief(&entry.key, &reason);
            }
            // A store that lost its data knows no nodes; they are probed all the same, until somebody takes them away.
            None => self.forget_disbelief(&entry.key),
        }
    }

    /// Has everything heard again: what was not believed may be now.
    pub(crate) fn hear_again(&self) {
        self.recheck.notify_one();
    }

    /// Writes what this node knows and the store does not: its own record, newer statements, files. Hears all that is
    /// there on the way.
    async fn tell(&self, node: &Node) -> anyhow::Result<()> {
        self.tell_record().await?;
        let listing = self.control.list(&DesiredState::prefix()).await?;
        for entry in &listing.entries {
            self.hear_statement(node, entry.clone()).await;
        }
        for known in self.desired.all() {
            let key = DesiredState::key(&known.statement.function);
            let there = listing.entries.iter().find(|entry| entry.key == key);
            let expected = match there {
                None => Expected::Absent,
                Some(entry) if entry.value.as_deref() == Some(&known.signed.to_bytes()[..]) => continue,
                Some(entry) => {
                    let held = entry.value.as_deref().and_then(|value| SignedStatement::from_bytes(value).ok());
                    let believed = held.and_then(|signed| {
                        let statement = signed.verify(&self.own.cluster, &node.trusted()).ok()?;
                        Some(Known { statement, signed })
                    });
                    // What nobody may believe is written over by what was believed.
                    if believed.is_some_and(|there| !spillway_trust::is_newer(&known.rank(), &there.rank())) {
                        continue;
                    }
                    Expected::Version(entry.version)
                }
            };
            // Files before the statement: who hears of it finds them.
            files::offer(node, self, &known.statement).await?;
            match self.control.compare_and_set(&key, known.signed.to_bytes().into(), expected).await {
                Ok(_) => {
                    tracing::info!(function = %known.statement.function, "the control store lacked a statement; it has it again")
                }
                // Another node told it at the same time, or somebody deployed: the watch says so.
                Err(ControlError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn tell_record(&self) -> anyhow::Result<()> {
        let key = NodeRecord::key(&self.own.node);
        let bytes = self.record.to_bytes();
        let there = self.control.get(&key).await?;
        let expected = match there {
            Some(entry) if entry.value.as_deref() == Some(&bytes[..]) => return Ok(()),
            Some(entry) if entry.value.is_some() => Expected::Version(entry.version),
            _ => Expected::Absent,
        };
        self.control.compare_and_set(&key, bytes.into(), expected).await?;
        Ok(())
    }
}
