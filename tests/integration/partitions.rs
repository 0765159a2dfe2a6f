//! Nodes whose network is bad: what may be served is served, and nothing is done twice.

use std::time::Duration;

use futures::future::join_all;
use spillway_tests::{Cluster, Way, bundle_file, wait_until};
use spillway_types::Effects;

use crate::clusters::{SPREAD_MAX, deploy, greets, state};
use crate::variants::variant;

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_cut_off_serves_alone_and_catches_up() {
    let cluster = Cluster::over_network(1).await;
    let one = cluster.join("one", "edge", "paris").await;
    let two = cluster.join("two", "edge", "paris").await;
    let far = cluster.join("far", "cloud", "cloud").await;
    cluster.settled(&[&one, &two, &far]).await;
    assert_eq!(deploy(&cluster, &far, "Salut").await.code, 0);
    for node in [&one, &two] {
        greets(node, "Salut").await;
    }
    let file = bundle_file("misbehave").display().to_string();
    assert_eq!(cluster.sign(&one, &["deploy", &file]).await.code, 0);
    for node in [&two, &far] {
        wait_until("calls go to the owner of the data", SPREAD_MAX, async || {
            node.call("/misbehave/count").await.status == 200
        })
        .await;
    }

    cluster.network().cut_off(&["one", "two"]);
    wait_until("each side takes the other for dead, and itself for alive", SPREAD_MAX, async || {
        let seen = [
            (&far, "one", "dead"),
            (&far, "two", "dead"),
            (&one, "far", "dead"),
            (&two, "far", "dead"),
            (&one, "two", "alive"),
            (&two, "one", "alive"),
        ];
        let states = join_all(seen.map(async |(node, name, expected)| state(node, name).await == expected));
        states.await.into_iter().all(|as_expected| as_expected)
    })
    .await;
    for node in [&one, &two, &far] {
        for _ in 0..20 {
            assert_eq!(node.call("/hello").await.ok(), "Salut, world!\n");
        }
    }
    // Within the site the owner is reached, and from outside nobody else takes over.
    let counted = two.call("/misbehave/count").await;
    assert_eq!((counted.header("spillway-node"), counted.status), (Some("one"), 200));
    let refused = far.call("/misbehave/count").await;
    refused.problem(spillway_types::ProblemType::OwnerUnreachable, &["one"]);
    let refused = deploy(&cluster, &one, "Ciao").await;
    assert_eq!(refused.code, 4, "{refused:#?}");
    assert!(refused.stderr.contains("unreachable"), "{refused:#?}");
    assert_eq!(deploy(&cluster, &far, "Hallo").await.code, 0);
    assert_eq!(one.call("/hello").await.ok(), "Salut, world!\n");

    cluster.network().mend();
    for node in [&one, &two] {
        greets(node, "Hallo").await;
    }
    cluster.settled(&[&one, &two, &far]).await;
    wait_until("the owner is reached again", SPREAD_MAX, async || far.call("/misbehave/count").await.status == 200)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_slow_way_that_breaks_again_and_again_no_call_is_run_twice() {
    let cluster = Cluster::over_network(2).await;
    let owner = cluster.join("owner", "edge", "paris").await;
    let other = cluster.join("other", "edge", "lyon").await;
    cluster.settled(&[&owner, &other]).await;
    // What the way is like is measured: a tenth of a second there and back, once delay is all there is.
    let slow = Way { delay: Duration::from_millis(50), ..Way::default() };
    cluster.network().set_all(slow);
    wait_until("the round-trip time is known", SPREAD_MAX, async || {
        let metrics = other.metrics().await;
        let rtt = metrics.sum("spillway_link_rtt_seconds", &[("peer", "owner")]).unwrap_or(0.0);
        let bandwidth = metrics.sum("spillway_link_bandwidth_bytes_per_second", &[("peer", "owner")]);
        (0.08..0.5).contains(&rtt) && bandwidth.is_some_and(|bandwidth| bandwidth > 1e6)
    })
    .await;
    // A bundle is many pieces, each of which may break its connection; a call is few.
    let bad = Way { delay: Duration::from_millis(20), jitter: Duration::from_millis(10), breaks_per_mille: 20 };
    cluster.network().set_all(Way { breaks_per_mille: 4, ..bad });
    let file = cluster.path("counts.wasm");
    let counts = variant("misbehave", |manifest| manifest.effects = Effects::Unsafe);
    std::fs::write(&file, counts).expect("tests may write files");
    wait_until("it is deployed over a way that breaks", SPREAD_MAX, async || {
        cluster.sign(&owner, &["deploy", &file]).await.code == 0
    })
    .await;
    wait_until("calls go to the owner", SPREAD_MAX, async || other.call("/misbehave/count").await.status == 200).await;
    cluster.network().set_all(bad);
    let before: u32 = owner.call("/misbehave/count").await.ok().trim().parse().expect("a number");

    let mut counted = Vec::new();
    let (mut refused, mut unclear) = (Vec::new(), 0);
    for _ in 0..200 {
        let answer = other.call("/misbehave/count").await;
        match answer.status {
            200 => counted.push(answer.ok().trim().parse::<u32>().expect("a number")),
            // Broken after it had gone out: it may have run.
            504 => unclear += 1,
            // Not sent at all.
            503 => refused.push(answer.json()["detail"].to_string()),
            status => panic!("{status}: {answer:?}"),
        }
    }
    cluster.network().set_all(Way::default());
    let after: u32 = owner.call("/misbehave/count").await.ok().trim().parse().expect("a number");
    let ran = after - before - 1;
    let answered = u32::try_from(counted.len()).expect("a count");
    assert!(counted.is_sorted_by(|a, b| a < b), "each call counted once: {counted:?}");
    assert!(answered >= 100, "{answered} of 200 were answered; {refused:#?}");
    assert!((answered..=answered + unclear).contains(&ran), "{ran} ran; {answered} answered, {unclear} unclear");
    assert!(unclear > 0 || ran == answered, "a way that breaks shows");
}
