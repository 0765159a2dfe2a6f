//! What the detector does, step by step.

use super::*;

fn at(ms: u64) -> Time {
    Time::from_start(Duration::from_millis(ms))
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

/// A detector of one peer `a`, alive by a probe sent at 0.
fn alive() -> Liveness {
    let mut liveness = Liveness::new(Config::default());
    liveness.add(name("a"), at(0));
    assert_eq!(liveness.due(at(0)).probes, [Probe { peer: name("a"), sent: at(0) }]);
    let [first] = &liveness.answered(&name("a"), at(0), at(10), ms(10))[..] else { panic!("no transition") };
    assert_eq!((first.from, first.to), (PeerState::Unknown, PeerState::Alive));
    liveness
}

/// Calls `due` every tick and answers nothing; when which probes were sent and what the peer became.
fn silence(liveness: &mut Liveness, from: u64, to: u64) -> (Vec<u64>, Vec<(u64, PeerState)>) {
    let (mut sent, mut became) = (Vec::new(), Vec::new());
    for now in (from..=to).step_by(100) {
        let due = liveness.due(at(now));
        sent.extend(due.probes.iter().map(|_| now));
        became.extend(due.transitions.iter().map(|transition| (now, transition.to)));
    }
    (sent, became)
}

#[test]
fn a_peer_that_falls_silent_is_suspect_when_a_probe_fails_and_dead_after_two_seconds() {
    let (sent, became) = silence(&mut alive(), 100, 3000);
    assert_eq!(sent, [500, 1000, 1500, 2000, 2500, 3000]);
    assert_eq!(became, [(1500, PeerState::Suspect), (2000, PeerState::Dead)]);
}

#[test]
fn a_peer_that_never_answers_is_dead_without_having_been_alive() {
    let mut liveness = Liveness::new(Config::default());
    liveness.add(name("a"), at(0));
    assert_eq!(silence(&mut liveness, 0, 3000).1, [(2000, PeerState::Dead)]);
}

#[test]
fn a_refused_probe_makes_suspect_at_once_and_dead_no_sooner() {
    let mut liveness = alive();
    silence(&mut liveness, 100, 500);
    assert_eq!(liveness.failed(&name("a"), at(500), at(501))[0].to, PeerState::Suspect);
    assert_eq!(liveness.alive().count(), 0);
    assert_eq!(silence(&mut liveness, 600, 2500).1, [(2000, PeerState::Dead)]);
}

#[test]
fn silence_alone_kills_nobody_before_a_probe_has_had_its_time() {
    let mut liveness = Liveness::new(Config { dead_after: ms(1600), ..Config::default() });
    liveness.add(name("a"), at(0));
    liveness.due(at(0));
    liveness.answered(&name("a"), at(0), at(10), ms(10));
    // Called so late that the next probe goes out at 990.
    for now in [490, 990, 1490, 1700] {
        liveness.due(at(now));
        assert_eq!(liveness.state(&name("a")), Some(PeerState::Alive), "at {now}");
    }
    assert_eq!(liveness.due(at(1990)).transitions[0].to, PeerState::Dead);
}

#[test]
fn a_dead_peer_that_answers_is_alive_again() {
    let mut liveness = alive();
    silence(&mut liveness, 100, 5000);
    assert_eq!(liveness.state(&name("a")), Some(PeerState::Dead));
    let back = liveness.answered(&name("a"), at(5000), at(5020), ms(20));
    assert_eq!((back[0].from, back[0].to), (PeerState::Dead, PeerState::Alive));
    assert_eq!(liveness.alive().collect::<Vec<_>>(), [&name("a")]);
}

#[test]
fn a_peer_that_answers_after_the_timeout_stays_suspect_and_never_dies() {
    let mut liveness = alive();
    for now in (100..20_000).step_by(100) {
        liveness.due(at(now));
        let sent = now.saturating_sub(1200);
        liveness.answered(&name("a"), at(sent), at(now), ms(1200));
        let expected = if now < 1500 { PeerState::Alive } else { PeerState::Suspect };
        assert_eq!(liveness.state(&name("a")), Some(expected), "at {now}");
    }
}

#[test]
fn an_answer_to_an_older_probe_does_not_hide_that_a_newer_one_failed() {
    let mut liveness = alive();
    silence(&mut liveness, 100, 1000);
    liveness.failed(&name("a"), at(1000), at(1001));
    assert!(liveness.answered(&name("a"), at(500), at(1100), ms(600)).is_empty());
    assert_eq!(liveness.state(&name("a")), Some(PeerState::Suspect));
    // But it lived at 500, so that it is not dead before 2500.
    assert_eq!(silence(&mut liveness, 1200, 3000).1, [(2500, PeerState::Dead)]);
}

#[test]
fn a_node_that_was_stopped_for_a_minute_asks_again_before_it_judges() {
    let mut liveness = alive();
    // One that was nearly dead when we were stopped.
    silence(&mut liveness, 100, 1900);
    let due = liveness.due(at(61_900));
    assert_eq!((due.probes.len(), due.transitions.len()), (1, 0));
    // What the minute did to older probes says nothing.
    assert!(liveness.failed(&name("a"), at(1500), at(61_900)).is_empty());
    assert!(liveness.answered(&name("a"), at(1500), at(61_900), ms(60_400)).is_empty());
    assert_eq!(liveness.rtt(&name("a")).unwrap().smoothed, ms(10), "the minute is no round trip");
    assert_eq!(silence(&mut liveness, 62_000, 65_000).1, [(63_900, PeerState::Dead)]);
}

#[test]
fn what_was_alive_before_a_pause_is_suspect_until_it_answers() {
    let mut liveness = alive();
    let late = liveness.failed(&name("a"), at(0), at(60_000));
    assert_eq!((late[0].from, late[0].to), (PeerState::Alive, PeerState::Suspect));
    let probes = liveness.due(at(60_000)).probes;
    assert_eq!(liveness.answered(&name("a"), probes[0].sent, at(60_005), ms(5))[0].to, PeerState::Alive);
}

#[test]
fn removed_peers_and_unknown_answers_are_ignored() {
    let mut liveness = alive();
    assert!(liveness.answered(&name("b"), at(0), at(20), ms(20)).is_empty());
    assert!(liveness.answered(&name("a"), at(0), at(30), ms(30)).is_empty(), "answered twice");
    liveness.remove(&name("a"));
    assert_eq!(liveness.due(at(500)), Due::default());
    assert!(liveness.failed(&name("a"), at(0), at(600)).is_empty());
    assert_eq!(liveness.state(&name("a")), None);
}

#[test]
fn a_clock_that_is_told_out_of_order_does_no_harm() {
    let mut liveness = alive();
    liveness.due(at(1000));
    liveness.due(at(400));
    assert!(liveness.answered(&name("a"), at(1000), at(900), ms(1)).is_empty());
    assert_eq!(liveness.state(&name("a")), Some(PeerState::Alive));
}

#[test]
#[should_panic(expected = "dead_after must leave one probe the time")]
fn a_detector_that_would_judge_before_it_asked_is_refused() {
    Liveness::new(Config { dead_after: ms(1000), ..Config::default() });
}
