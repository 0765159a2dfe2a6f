//! Which peers are alive, from probes that somebody else sends.
//!
//! ```text
//!            timely answer             probe failed                silent for dead_after
//! Unknown ──────────────────> Alive <──────────────> Suspect ──────────────────────────> Dead
//!    │                          ^    timely answer                                        │ ^
//!    │                          └───────────────────── timely answer ────────────────────┘ │
//!    └───────────────────────────── silent for dead_after ─────────────────────────────────┘
//! ```
//!
//! A peer's silence is counted from when the latest *answered* probe was **sent**: an answer shows that the peer lived
//! then, and says nothing of later. So a peer that dies at some moment is dead here `dead_after` later, plus the time
//! between two calls of [`Liveness::due`], however long the last answer was under way.
//!
//! A peer is not declared dead on silence alone: a probe that was sent since must have failed. And silence of ours is no
//! silence of theirs: see [`Liveness::due`].

mod peer;
mod rtt;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use spillway_types::NodeName;

use peer::Peer;
pub use rtt::Rtt;

use crate::Time;

/// How patient the detector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Time between two probes of a peer.
    pub probe_every: Duration,
    /// A probe that has no answer for this long has failed.
    pub timeout: Duration,
    /// A peer that has been silent for this long is dead.
    pub dead_after: Duration,
}

/// What is known of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerState {
    /// It has not answered yet, and has not had the time to be dead.
    Unknown,
    /// It answered the latest probe of which the end is known.
    Alive,
    /// It did not, or answered too late, or we were stopped and know nothing new.
    Suspect,
    /// It has been silent for too long.
    Dead,
}

/// A probe to send. Its answer, or its failure, is told with the same `sent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// To whom.
    pub peer: NodeName,
    /// When, as said to [`Liveness::due`].
    pub sent: Time,
}

/// A peer has changed its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Which peer.
    pub peer: NodeName,
    /// What it was.
    pub from: PeerState,
    /// What it is.
    pub to: PeerState,
}

/// What is to be done now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Probes to send at once.
    pub probes: Vec<Probe>,
    /// What changed since the last call.
    pub transitions: Vec<Transition>,
}

/// The failure detector of one node for all its peers.
#[derive(Clone, Debug)]
pub struct Liveness {
    config: Config,
    peers: BTreeMap<NodeName, Peer>,
    /// When we were last called.
    called: Option<Time>,
    /// How long we have been running, our own pauses left out: the clock that everything is measured on.
    running: Duration,
}

impl Config {
    /// How often to call [`Liveness::due`].
    pub fn tick(&self) -> Duration {
        self.probe_every / 5
    }
}

impl Default for Config {
    /// Two probes in a row may be lost; the third makes a peer dead. One that dies is noticed 2.1 s later at the latest.
    fn default() -> Self {
        Self {
            probe_every: Duration::from_millis(500),
            timeout: Duration::from_secs(1),
            dead_after: Duration::from_secs(2),
        }
    }
}

impl Liveness {
    /// A detector without peers.
    ///
    /// # Panics
    ///
    /// If a silent peer would be due for death before one probe had the time to fail, or `probe_every` is zero.
    pub fn new(config: Config) -> Self {
        assert!(!config.probe_every.is_zero(), "probes without a pause between them would flood a peer");
        assert!(
            config.probe_every + config.tick() + config.timeout <= config.dead_after,
            "dead_after must leave one probe the time to be sent and to fail"
        );
        Self { config, peers: BTreeMap::new(), called: None, running: Duration::ZERO }
    }

    /// Probes a peer from now on, if it isn't already.
    pub fn add(&mut self, peer: NodeName, now: Time) -> Vec<Transition> {
        let transitions = self.advance(now);
        self.peers.entry(peer).or_insert_with(|| Peer::new(self.running));
        transitions
    }

    /// Forgets a peer; what comes of its probes is ignored.
    pub fn remove(&mut self, peer: &NodeName) {
        self.peers.remove(peer);
    }

    /// Which probes to send at `now`, and which peers have been silent for too long. Call it every [`Config::tick`].
    ///
    /// If it is not called for longer than `probe_every`, our process was stopped or starved, and the time beyond that is
    /// nobody's silence. After more than `dead_after` all that was known is old: probes under way are void, the living
    /// become suspect, are probed at once and get their full time again.
    pub fn due(&mut self, now: Time) -> Due {
        let mut due = Due { probes: Vec::new(), transitions: self.advance(now) };
        for (name, peer) in &mut self.peers {
            let before = peer.state();
            peer.expire(self.running, &self.config);
            due.transitions.extend(transition(name, before, peer.state()));
            if peer.probe(now, self.running, &self.config) {
                due.probes.push(Probe { peer: name.clone(), sent: now });
            }
        }
        due
    }

    /// The probe of `peer` that was sent at `sent` has its answer; it took `rtt`.
    pub fn answered(&mut self, peer: &NodeName, sent: Time, now: Time, rtt: Duration) -> Vec<Transition> {
        self.settle(peer, now, |peer, running, config| peer.answered(sent, rtt, running, config))
    }

    /// The probe of `peer` that was sent at `sent` has failed. A probe without answer fails by itself after `timeout`.
    pub fn failed(&mut self, peer: &NodeName, sent: Time, now: Time) -> Vec<Transition> {
        self.settle(peer, now, |peer, _, _| peer.failed(sent))
    }

    /// The state of a peer; `None` if it isn't probed.
    pub fn state(&self, peer: &NodeName) -> Option<PeerState> {
        self.peers.get(peer).map(Peer::state)
    }

    /// The round-trip time to a peer, once it has answered.
    pub fn rtt(&self, peer: &NodeName) -> Option<Rtt> {
        self.peers.get(peer)?.rtt()
    }

    /// All peers and their states, by name.
    pub fn peers(&self) -> impl Iterator<Item = (&NodeName, PeerState)> {
        self.peers.iter().map(|(name, peer)| (name, peer.state()))
    }

    /// The peers that are alive, by name.
    pub fn alive(&self) -> impl Iterator<Item = &NodeName> {
        self.peers().filter(|(_, state)| *state == PeerState::Alive).map(|(name, _)| name)
    }

    fn settle(
        &mut self,
        name: &NodeName,
        now: Time,
        end: impl FnOnce(&mut Peer, Duration, &Config),
    ) -> Vec<Transition> {
        let mut transitions = self.advance(now);
        if let Some(peer) = self.peers.get_mut(name) {
            let before = peer.state();
            end(peer, self.running, &self.config);
            transitions.extend(transition(name, before, peer.state()));
        }
        transitions
    }

    /// Moves our clock on, by no more than `probe_every` at once.
    fn advance(&mut self, now: Time) -> Vec<Transition> {
        let called = self.called.map_or(now, |called| called.max(now));
        let gap = self.called.replace(called).map_or(Duration::ZERO, |before| called.since(before));
        self.running += gap.min(self.config.probe_every);
        if gap <= self.config.dead_after {
            return Vec::new();
        }
        let mut transitions = Vec::new();
        for (name, peer) in &mut self.peers {
            let before = peer.state();
            peer.restart(self.running);
            transitions.extend(transition(name, before, peer.state()));
        }
        transitions
    }
}

fn transition(peer: &NodeName, from: PeerState, to: PeerState) -> Option<Transition> {
    (from != to).then(|| Transition { peer: peer.clone(), from, to })
}
