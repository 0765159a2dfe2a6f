//! What the detector knows of one peer.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Config, PeerState, Rtt};
use crate::Time;

#[derive(Clone, Debug)]
pub(super) struct Peer {
    state: PeerState,
    /// When the latest answered probe was sent, on the detector's own clock; before the first, when the peer was added.
    confirmed: Duration,
    /// When to send the next probe, on the detector's own clock.
    next_probe: Duration,
    /// Probes whose end may still matter, oldest first.
    probes: VecDeque<Sent>,
    /// The latest probe of which the end is known. Ends of earlier ones come too late to say what the peer is now.
    settled: Option<Time>,
    rtt: Option<Rtt>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    /// By which the caller names it.
    at: Time,
    /// The same on the detector's own clock.
    running: Duration,
    /// Kept all the same: its answer may come late.
    failed: bool,
}

impl Peer {
    pub(super) fn new(running: Duration) -> Self {
        Self {
            state: PeerState::Unknown,
            confirmed: running,
            next_probe: running,
            probes: VecDeque::new(),
            settled: None,
            rtt: None,
        }
    }

    pub(super) fn state(&self) -> PeerState {
        self.state
    }

    pub(super) fn rtt(&self) -> Option<Rtt> {
        self.rtt
    }

    /// We were stopped: nothing that we know is new.
    pub(super) fn restart(&mut self, running: Duration) {
        self.probes.clear();
        self.confirmed = running;
        self.next_probe = running;
        if self.state == PeerState::Alive {
            self.state = PeerState::Suspect;
        }
    }

    /// Notes a probe as sent, if one is due.
    pub(super) fn probe(&mut self, now: Time, running: Duration, config: &Config) -> bool {
        // Two probes of one moment could not be told apart.
        if running < self.next_probe || self.probes.back().is_some_and(|last| last.at >= now) {
            return false;
        }
        self.next_probe = running + config.probe_every;
        self.probes.push_back(Sent { at: now, running, failed: false });
        true
    }

    /// Fails probes that waited for too long, and the peer if it was silent for too long.
    pub(super) fn expire(&mut self, running: Duration, config: &Config) {
        while let Some(waiting) =
            self.probes.iter().find(|probe| !probe.failed && running - probe.running >= config.timeout)
        {
            self.failed(waiting.at);
        }
        // A probe as old as `confirmed` may be the one that went out when the peer was added.
        let asked_since = self.probes.iter().any(|probe| probe.failed && probe.running >= self.confirmed);
        if running - self.confirmed >= config.dead_after && asked_since {
            self.state = PeerState::Dead;
        }
        // An answer to one of these would show a life that has been over for `dead_after`.
        self.probes.retain(|probe| running - probe.running < config.dead_after);
    }

    pub(super) fn answered(&mut self, sent: Time, rtt: Duration, running: Duration, config: &Config) {
        let Some(index) = self.probes.iter().position(|probe| probe.at == sent) else { return };
        let Some(probe) = self.probes.remove(index) else { return };
        self.rtt = Some(self.rtt.map_or(Rtt::first(rtt), |before| before.next(rtt)));
        self.confirmed = self.confirmed.max(probe.running);
        if running - self.confirmed >= config.dead_after {
            return;
        }
        let timely = !probe.failed && rtt <= config.timeout;
        if self.settle(sent) && timely {
            self.state = PeerState::Alive;
        } else if matches!(self.state, PeerState::Unknown | PeerState::Dead) {
            self.state = PeerState::Suspect;
        }
    }

    pub(super) fn failed(&mut self, sent: Time) {
        let Some(probe) = self.probes.iter_mut().find(|probe| probe.at == sent) else { return };
        probe.failed = true;
        if self.settle(sent) && self.state == PeerState::Alive {
            self.state = PeerState::Suspect;
        }
    }

    /// The end of a probe is known; whether no later one's is.
    fn settle(&mut self, sent: Time) -> bool {
        let latest = self.settled.is_none_or(|settled| settled <= sent);
        if latest {
            self.settled = Some(sent);
        }
        latest
    }
}
