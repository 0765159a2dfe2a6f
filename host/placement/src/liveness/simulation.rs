//! Random networks and random pauses against what the detector promises.

use std::collections::BTreeMap;
use std::time::Duration;

use spillway_types::NodeName;

use super::{Config, Liveness, PeerState};
use crate::Time;

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// What can go wrong in a run.
struct World {
    /// Share of probes, in percent, of which nothing is heard again.
    lost_percent: u64,
    /// Longest round trip in ms.
    slowest: u64,
    /// Longest time between two calls of `due` in ms, pauses left out.
    longest_tick: u64,
    /// Longest pause of our own process in ms; 0 for none.
    longest_pause: u64,
    /// Whether peers die and come back.
    flapping: bool,
}

/// What comes of a probe, when it reaches our process.
enum End {
    Answer { rtt: u64 },
    Failure,
}

/// One peer: when it last died or came back, and which of both.
struct Host {
    name: NodeName,
    up: bool,
    since: u64,
}

const MINUTES_2: u64 = 120_000;
const PEERS: usize = 3;

fn at(ms: u64) -> Time {
    Time::from_start(Duration::from_millis(ms))
}

/// Runs a world for two minutes and calls `check` after each call of `due` with the peer, how long it has been as it is
/// and how long we have been running since our last pause, in ms.
fn run(seed: u64, world: &World, mut check: impl FnMut(u64, &Host, PeerState, u64)) {
    let mut random = Seeded(seed);
    let mut liveness = Liveness::new(Config::default());
    let mut hosts: Vec<Host> =
        (0..PEERS).map(|index| Host { name: format!("peer-{index}").parse().unwrap(), up: true, since: 0 }).collect();
    for host in &hosts {
        liveness.add(host.name.clone(), at(0));
    }
    // By when it reaches us, and a number to tell those of one moment apart, in random order.
    let mut ends: BTreeMap<(u64, u64), (usize, u64, End)> = BTreeMap::new();
    let (mut now, mut resumed) = (0, 0);
    while now < MINUTES_2 {
        for (index, probe) in liveness
            .due(at(now))
            .probes
            .into_iter()
            .map(|probe| (hosts.iter().position(|host| host.name == probe.peer).unwrap(), probe))
        {
            assert_eq!(probe.sent, at(now));
            let rtt = 1 + random.below(world.slowest);
            let lost = random.below(100) < world.lost_percent;
            let order = random.below(u64::MAX);
            if hosts[index].up && !lost {
                ends.insert((now + rtt, order), (index, now, End::Answer { rtt }));
            } else if !hosts[index].up && random.below(2) == 0 {
                // Refused, as by a machine whose process is gone; else nothing is heard.
                ends.insert((now + rtt, order), (index, now, End::Failure));
            }
        }
        for host in &hosts {
            check(now, host, liveness.state(&host.name).unwrap(), now - resumed);
        }
        for host in &mut hosts {
            if world.flapping && now - host.since > 200 && random.below(40) == 0 {
                (host.up, host.since) = (!host.up, now);
            }
        }
        let mut next = now + 1 + random.below(world.longest_tick);
        if world.longest_pause > 0 && random.below(100) == 0 {
            next += random.below(world.longest_pause);
            resumed = next;
        }
        // While we are stopped nothing reaches us; then everything does at once, before or after the first call of `due`.
        let after_due = resumed == next && random.below(2) == 0;
        let later = ends.split_off(&(next, 0));
        for ((time, _), (index, sent, end)) in std::mem::replace(&mut ends, later) {
            if after_due {
                ends.insert((next + 1, random.below(u64::MAX)), (index, sent, end));
                continue;
            }
            let heard = if resumed == next { next } else { time };
            match end {
                End::Answer { rtt } => {
                    let rtt = Duration::from_millis(rtt.max(heard - sent));
                    liveness.answered(&hosts[index].name, at(sent), at(heard), rtt);
                }
                End::Failure => drop(liveness.failed(&hosts[index].name, at(sent), at(heard))),
            }
        }
        now = next;
    }
}

#[test]
fn a_dead_node_is_noticed_in_under_three_seconds_whatever_happens() {
    let mut noticed = 0;
    for seed in 0..300 {
        let random = &mut Seeded(seed);
        let world = World {
            lost_percent: random.below(60),
            slowest: [5, 100, 1000, 3000][random.below(4) as usize],
            // As long as a probe's interval: our own process is that slow.
            longest_tick: 100 + random.below(400),
            longest_pause: [0, 1000, 60_000][random.below(3) as usize],
            flapping: true,
        };
        run(seed, &world, |now, host, state, running| {
            let down_for = if host.up { 0 } else { now - host.since };
            // While we were stopped we could not notice anything.
            if down_for.min(running) >= 2_900 {
                assert_eq!(state, PeerState::Dead, "seed {seed}: {} at {now}", host.name);
                noticed += 1;
            }
        });
    }
    assert!(noticed > 1000, "only {noticed} looks at a dead peer");
}

#[test]
fn a_node_that_answers_is_never_declared_dead_however_often_we_are_stopped() {
    let mut looks = 0;
    for seed in 0..300 {
        let random = &mut Seeded(seed);
        let world = World {
            lost_percent: 0,
            slowest: [5, 100, 400][random.below(3) as usize],
            longest_tick: 100 + random.below(300),
            longest_pause: [1000, 3000, 60_000][random.below(3) as usize],
            flapping: false,
        };
        run(seed, &world, |now, host, state, _| {
            assert_ne!(state, PeerState::Dead, "seed {seed}: {} at {now}", host.name);
            looks += 1;
        });
    }
    assert!(looks > 1000);
}

#[test]
fn a_node_that_comes_back_is_alive_within_two_seconds_when_nothing_is_lost() {
    let mut alive = 0;
    for seed in 0..300 {
        let world = World { lost_percent: 0, slowest: 500, longest_tick: 200, longest_pause: 0, flapping: true };
        run(seed, &world, |now, host, state, _| {
            if host.up && now - host.since >= 2_000 {
                assert_eq!(state, PeerState::Alive, "seed {seed}: {} at {now}", host.name);
                alive += 1;
            }
        });
    }
    assert!(alive > 1000, "only {alive} looks at a living peer");
}

#[test]
fn one_lost_probe_in_ten_kills_hardly_anybody() {
    let (mut looks, mut dead) = (0u64, 0u64);
    for seed in 0..100 {
        let world = World { lost_percent: 10, slowest: 50, longest_tick: 100, longest_pause: 0, flapping: false };
        run(seed, &world, |_, _, state, _| {
            looks += 1;
            dead += u64::from(state == PeerState::Dead);
        });
    }
    // Three probes in a row are lost once in a thousand.
    assert!(dead * 500 < looks, "{dead} of {looks}");
}
