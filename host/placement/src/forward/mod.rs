//! Which peers may take a call that this node does not run itself.

mod reason;

use std::time::Duration;

use spillway_types::{Digest, FunctionId, NodeIdentity, Residency};

pub use reason::Reason;

use crate::liveness::PeerState;
use crate::{Capacity, capacity::FunctionCapacity};

/// How often a call may be sent on. The first node is not counted: caller to `a` is none, `a` to `b` one, `b` to `c` two.
pub const MAX_HOPS: u8 = 2;

/// A call that looks for a node.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Which function.
    pub function: &'a FunctionId,
    /// The revision that has to answer.
    pub revision: u64,
    /// The bundle of that revision: a number alone could be another cluster's idea of it.
    pub bundle: Digest,
    /// How far its data may travel from `origin`.
    pub residency: Residency,
    /// The node that took the call from its caller.
    pub origin: &'a NodeIdentity,
    /// Size of its body as far as known.
    pub body_bytes: u64,
    /// How often it was sent on already.
    pub hops: u8,
}

/// What is known of a peer when a call has to go somewhere.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// Who it is and where it stands, as its certificate says.
    pub identity: &'a NodeIdentity,
    /// Whether it answers.
    pub state: PeerState,
    /// Whether it is giving its work away.
    pub draining: bool,
    /// Its latest report, if one has come.
    pub capacity: Option<&'a Capacity>,
    /// Smoothed round-trip time, if it was measured.
    pub rtt: Option<Duration>,
    /// Bytes per second on the way there, if they were measured.
    pub bandwidth_bytes_per_second: Option<f64>,
}

/// The peers that may take a call, and why the others may not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates<'a> {
    /// Best first.
    pub fit: Vec<Candidate<'a>>,
    /// In the order in which they were given.
    pub left_out: Vec<(&'a NodeIdentity, Reason)>,
}

/// A peer that may take a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Which node.
    pub node: &'a NodeIdentity,
    /// How long until the answer is expected here: the way there and back, waiting, running. `None` if the node has not
    /// told how long the function takes.
    pub finish: Option<Duration>,
    /// Whether it missed its latest probe.
    pub suspect: bool,
}

/// Which of `peers` may take `call` from the node `from`: those that answer, serve the call's revision, may see its data
/// and are not giving work away. The one that is expected to answer first comes first; after those, by name, the ones of
/// which that is not known. Those that missed their latest probe come last of all: better to try them than to refuse.
///
/// The receiver checks all this again by what it knows itself.
pub fn candidates<'a>(
    call: &Call<'_>,
    from: &NodeIdentity,
    peers: impl IntoIterator<Item = Peer<'a>>,
) -> Candidates<'a> {
    let mut candidates = Candidates::default();
    for peer in peers {
        match fits(call, from, &peer) {
            Ok(function) => {
                let finish = function.finish(call.body_bytes).map(|there| there.saturating_add(way(call, &peer)));
                let suspect = peer.state == PeerState::Suspect;
                candidates.fit.push(Candidate { node: peer.identity, finish, suspect });
            }
            Err(reason) => candidates.left_out.push((peer.identity, reason)),
        }
    }
    candidates.fit.sort_by(|a, b| {
        let key = |candidate: &Candidate<'_>| (candidate.suspect, candidate.finish.is_none(), candidate.finish);
        key(a).cmp(&key(b)).then_with(|| a.node.node.cmp(&b.node.node))
    });
    candidates
}

/// What lasts comes before what passes, so that the reason is the one that an operator has to change.
fn fits<'a>(call: &Call<'_>, from: &NodeIdentity, peer: &Peer<'a>) -> Result<&'a FunctionCapacity, Reason> {
    if peer.identity == from {
        return Err(Reason::Itself);
    }
    if peer.identity == call.origin {
        return Err(Reason::Origin);
    }
    if call.hops >= MAX_HOPS {
        return Err(Reason::TooManyHops);
    }
    if !call.residency.allows(call.origin, peer.identity) {
        return Err(Reason::Residency { residency: call.residency });
    }
    if !matches!(peer.state, PeerState::Alive | PeerState::Suspect) {
        return Err(Reason::NotAlive { state: peer.state });
    }
    if peer.draining {
        return Err(Reason::Draining);
    }
    let capacity = peer.capacity.ok_or(Reason::NoReport)?;
    let function = capacity.function(call.function).ok_or(Reason::NotServed)?;
    if function.revision != call.revision || function.bundle != call.bundle {
        return Err(Reason::OtherRevision { wanted: call.revision, serves: function.revision });
    }
    Ok(function)
}

/// How long the call and its answer are under way.
fn way(call: &Call<'_>, peer: &Peer<'_>) -> Duration {
    let body = peer
        .bandwidth_bytes_per_second
        .and_then(|bandwidth| Duration::try_from_secs_f64(call.body_bytes as f64 / bandwidth).ok())
        .unwrap_or_default();
    peer.rtt.unwrap_or_default().saturating_add(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ServiceTimes, Time};

    const FORMAT_1: &str = include_str!("../../tests/capacity-1.json");

    fn node(site: &str, name: &str) -> NodeIdentity {
        format!("spiffe://acme/region/eu/site/{site}/edge/{name}").parse().unwrap()
    }

    /// A node that serves revision 3 of `default/ocr` in 100 ms, one call at a time.
    fn capacity(queued: u32) -> Capacity {
        let mut times = ServiceTimes::new(Duration::from_secs(60));
        times.record(0, Duration::from_millis(100), Time::START);
        let mut capacity = Capacity::from_json(FORMAT_1.as_bytes()).unwrap();
        capacity.functions = vec![FunctionCapacity {
            function: "ocr".parse().unwrap(),
            revision: 3,
            bundle: Digest::of(b"ocr"),
            queued,
            running: 1,
            concurrency: 1,
            service_times: times.summary(Time::START),
            resident_models: Vec::new(),
        }];
        capacity
    }

    fn peer<'a>(identity: &'a NodeIdentity, capacity: &'a Capacity, rtt_ms: u64) -> Peer<'a> {
        Peer {
            identity,
            state: PeerState::Alive,
            draining: false,
            capacity: Some(capacity),
            rtt: Some(Duration::from_millis(rtt_ms)),
            bandwidth_bytes_per_second: None,
        }
    }

    fn call<'a>(function: &'a FunctionId, origin: &'a NodeIdentity) -> Call<'a> {
        let bundle = Digest::of(b"ocr");
        Call { function, revision: 3, bundle, residency: Residency::Any, origin, body_bytes: 0, hops: 0 }
    }

    fn names(candidates: &Candidates<'_>) -> Vec<String> {
        candidates.fit.iter().map(|candidate| candidate.node.node.to_string()).collect()
    }

    #[test]
    fn the_one_that_is_expected_to_answer_first_comes_first() {
        let (function, here) = ("ocr".parse().unwrap(), node("paris", "here"));
        let (near, far, new, newer) =
            (node("paris", "near"), node("lyon", "far"), node("paris", "x"), node("paris", "y"));
        let (busy, idle, mut silent) = (capacity(3), capacity(0), capacity(0));
        silent.functions[0].service_times = Default::default();
        let peers = [peer(&newer, &silent, 1), peer(&near, &busy, 1), peer(&new, &silent, 1), peer(&far, &idle, 80)];
        let found = candidates(&call(&function, &here), &here, peers);
        assert_eq!(names(&found), ["far", "near", "x", "y"]);
        assert!(found.left_out.is_empty());
        // One call ahead and the call itself, 100 ms each within 5 %, and the way.
        let finish = found.fit[0].finish.unwrap();
        assert!((Duration::from_millis(270)..Duration::from_millis(290)).contains(&finish), "{finish:?}");

        let far_away = [peer(&near, &busy, 1), peer(&far, &idle, 800)];
        assert_eq!(names(&candidates(&call(&function, &here), &here, far_away)), ["near", "far"]);
    }

    #[test]
    fn one_that_missed_a_probe_is_tried_when_all_others_have_been() {
        let (function, here) = ("ocr".parse().unwrap(), node("paris", "here"));
        let (near, far) = (node("paris", "near"), node("lyon", "far"));
        let (busy, idle) = (capacity(3), capacity(0));
        let suspect = Peer { state: PeerState::Suspect, ..peer(&near, &idle, 1) };
        assert_eq!(
            names(&candidates(&call(&function, &here), &here, [suspect, peer(&far, &busy, 80)])),
            ["far", "near"]
        );
        assert_eq!(names(&candidates(&call(&function, &here), &here, [suspect])), ["near"]);
    }

    #[test]
    fn a_large_body_goes_where_the_way_is_wide() {
        let (function, here) = ("ocr".parse().unwrap(), node("paris", "here"));
        let (wide, narrow) = (node("lyon", "wide"), node("lyon", "narrow"));
        let idle = capacity(0);
        let on = |identity, rtt, bandwidth| Peer {
            bandwidth_bytes_per_second: Some(bandwidth),
            ..peer(identity, &idle, rtt)
        };
        let peers = [on(&wide, 50, 1e8), on(&narrow, 1, 1e6)];
        let mut call = call(&function, &here);
        assert_eq!(names(&candidates(&call, &here, peers)), ["narrow", "wide"]);
        call.body_bytes = 10_000_000;
        assert_eq!(names(&candidates(&call, &here, peers)), ["wide", "narrow"]);
        // A report of no bandwidth at all is no measurement.
        assert_eq!(candidates(&call, &here, [on(&wide, 1, 0.0)]).fit.len(), 1);
    }

    #[test]
    fn every_peer_that_is_left_out_has_its_reason() {
        let function = "ocr".parse().unwrap();
        let [here, origin, other] = ["here", "origin", "other"].map(|name| node("paris", name));
        let lyon = node("lyon", "other");
        let good = capacity(0);
        let mut other_revision = capacity(0);
        other_revision.functions[0].revision = 4;
        let mut other_bundle = capacity(0);
        other_bundle.functions[0].bundle = Digest::of(b"forged");
        let mut elsewhere = capacity(0);
        elsewhere.functions.clear();

        let call = call(&function, &origin);
        let alone = Call { residency: Residency::Site, ..call };
        let tired = Call { hops: MAX_HOPS, ..call };
        let fine = peer(&other, &good, 1);
        let dead = PeerState::Dead;
        let cases = [
            (call, peer(&here, &good, 1), Reason::Itself),
            (call, peer(&origin, &good, 1), Reason::Origin),
            (tired, fine, Reason::TooManyHops),
            (alone, peer(&lyon, &good, 1), Reason::Residency { residency: Residency::Site }),
            (call, Peer { state: dead, ..fine }, Reason::NotAlive { state: dead }),
            (call, Peer { draining: true, ..fine }, Reason::Draining),
            (call, Peer { capacity: None, ..fine }, Reason::NoReport),
            (call, peer(&other, &elsewhere, 1), Reason::NotServed),
            (call, peer(&other, &other_revision, 1), Reason::OtherRevision { wanted: 3, serves: 4 }),
            (call, peer(&other, &other_bundle, 1), Reason::OtherRevision { wanted: 3, serves: 3 }),
        ];
        for (call, peer, reason) in cases {
            let found = candidates(&call, &here, [peer]);
            assert_eq!((found.fit.len(), &found.left_out[..]), (0, &[(peer.identity, reason)][..]));
        }
        let allowed = candidates(&Call { hops: MAX_HOPS - 1, ..alone }, &here, [fine]);
        assert_eq!((names(&allowed), allowed.left_out.len()), (vec!["other".to_owned()], 0));
    }

    #[test]
    fn data_stays_near_the_node_that_took_the_call_wherever_it_was_sent_on() {
        let function = "ocr".parse().unwrap();
        let (origin, here, beside_here) = (node("paris", "origin"), node("lyon", "here"), node("lyon", "beside"));
        let good = capacity(0);
        let call = Call { residency: Residency::Site, hops: 1, ..call(&function, &origin) };
        let found = candidates(&call, &here, [peer(&beside_here, &good, 1)]);
        assert_eq!(found.left_out[0].1, Reason::Residency { residency: Residency::Site });
    }
}
