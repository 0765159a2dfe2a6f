//! Asks each peer how it is, twice a second, and notices who no longer answers.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use spillway_placement::Capacity;
use spillway_placement::liveness::{Config, Probe};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bandwidth;
use super::table::{Peer, Peers};
use super::wire::{CAPACITY, GREETING, Greeting, WIRE_FORMAT};
use crate::cluster::NodeRecord;
use crate::deploy::millis;

/// How old a peer's capacity may be while nothing changes there but its load.
const CAPACITY_AGE_MAX: Duration = Duration::from_secs(1);

/// Probes until told to stop. Who is asked learns from `own` where the asker is: so two nodes find each other again though
/// the control store is gone and one of them has moved.
pub(crate) async fn probe(peers: Arc<Peers>, own: NodeRecord, stop: CancellationToken) {
    let own = Arc::new(own);
    let probes = TaskTracker::new();
    let tick = Config::default().tick();
    loop {
        tokio::select! {
            () = tokio::time::sleep(tick) => {}
            () = stop.cancelled() => break,
        }
        let mut due = Vec::new();
        peers.tell(|liveness, now| {
            let now = liveness.due(now);
            due = now.probes;
            now.transitions
        });
        for probe in due {
            let Some(peer) = peers.get(&probe.peer) else { continue };
            let (peers, own, stop) = (peers.clone(), own.clone(), stop.clone());
            probes.spawn(async move {
                tokio::select! {
                    () = ask(&peers, &peer, &own, probe) => {}
                    () = stop.cancelled() => {}
                }
            });
        }
    }
    probes.close();
    probes.wait().await;
}

async fn ask(peers: &Peers, peer: &Arc<Peer>, own: &NodeRecord, probe: Probe) {
    let timeout = Config::default().timeout;
    let (asked, asked_at) = (Instant::now(), SystemTime::now());
    let answered = match tokio::time::timeout(timeout, peer.client.post::<Greeting>(GREETING, own)).await {
        Ok(answered) => answered.map_err(|error| error.to_string()),
        Err(_) => {
            // A connection that is silent for this long is worth no second question.
            peer.client.forget();
            Err(format!("no answer within {timeout:?}"))
        }
    };
    match answered {
        Ok(greeting) => {
            let rtt = asked.elapsed();
            peers.tell(|liveness, now| liveness.answered(&probe.peer, probe.sent, now, rtt));
            let clock_ahead_ms = clock_ahead(greeting.clock_ms, asked_at, rtt);
            peer.note(|said| said.clock_ahead_ms = clock_ahead_ms);
            hear(peer, greeting).await;
            if peer.said().trouble.is_none() {
                bandwidth::measure(peer).await;
            }
        }
        Err(trouble) => {
            tracing::debug!(peer = %probe.peer, trouble, "probe failed");
            peer.note(|said| said.trouble = Some(trouble));
            peers.tell(|liveness, now| liveness.failed(&probe.peer, probe.sent, now));
        }
    }
}

/// Notes what a peer says, and asks for more where something is new.
async fn hear(peer: &Arc<Peer>, greeting: Greeting) {
    let before = peer.said();
    if greeting.format != WIRE_FORMAT {
        let trouble = format!(
            "it speaks version {} of the protocol between nodes, and this node version {WIRE_FORMAT}; run the same spillway on both",
            greeting.format
        );
        if before.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(peer = %peer.name(), trouble, "a peer of another version");
        }
        peer.note(|said| {
            (said.greeting, said.capacity, said.trouble) = (Some(greeting), None, Some(trouble));
        });
        return;
    }
    let news =
        before.greeting.as_ref().is_none_or(|old| old.changes != greeting.changes || old.folder != greeting.folder);
    if !news && before.measured.is_some_and(|measured| measured.elapsed() < CAPACITY_AGE_MAX) {
        peer.note(|said| (said.greeting, said.trouble) = (Some(greeting), None));
        return;
    }
    // A greeting whose changes were not read is not noted as read: the next probe asks again.
    match peer.client.get::<Capacity>(CAPACITY).await {
        Ok(capacity) => {
            peer.load(|load, now| load.said(capacity.work, now));
            peer.note(|said| {
                (said.greeting, said.trouble) = (Some(greeting), None);
                (said.capacity, said.measured) = (Some(Arc::new(capacity)), Some(Instant::now()));
            });
        }
        Err(error) => peer.note(|said| said.trouble = Some(error.to_string())),
    }
}

/// By how much the peer's clock is ahead, taking it that it looked at its clock half way through the exchange.
fn clock_ahead(theirs_ms: u64, asked_at: SystemTime, rtt: Duration) -> i64 {
    let ours = millis(asked_at + rtt / 2);
    i64::try_from(i128::from(theirs_ms) - i128::from(ours)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared_at_the_middle_of_the_exchange() {
        let asked_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        assert_eq!(clock_ahead(1_000_050, asked_at, Duration::from_millis(100)), 0);
        assert_eq!(clock_ahead(1_180_050, asked_at, Duration::from_millis(100)), 180_000);
        assert_eq!(clock_ahead(940_050, asked_at, Duration::from_millis(100)), -60_000);
    }
}
