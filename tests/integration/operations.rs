//! What operators do with a cluster beside deploying: look, forget, drain, collect, and give a node less.

use std::time::Duration;

use serde_json::json;
use spillway_tests::{Cluster, Node, Quota, bundle_file, wait_until};
use spillway_types::ProblemType;

use crate::clusters::{SPREAD_MAX, deploy, greets, state};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_forgotten_by_all_and_is_back_when_it_is_started_again() {
    let cluster = Cluster::start().await;
    let one = cluster.join("one", "edge", "paris").await;
    let two = cluster.join("two", "edge", "paris").await;
    let gone = cluster.join("gone", "edge", "paris").await;
    cluster.settled(&[&one, &two, &gone]).await;
    let refused = one.cli(&["nodes", "forget", "gone"]).await;
    assert_eq!(refused.code, 4, "{refused:#?}");
    assert!(refused.stderr.contains("gone is not dead"), "{refused:#?}");
    let file = bundle_file("misbehave").display().to_string();
    assert_eq!(cluster.sign(&gone, &["deploy", &file]).await.code, 0);
    gone.kill();
    for node in [&one, &two] {
        wait_until("it is dead", SPREAD_MAX, async || state(node, "gone").await == "dead").await;
    }
    wait_until("its data is in the way", SPREAD_MAX, async || {
        one.cli(&["nodes", "forget", "gone"]).await.stderr.contains("the data of default/misbehave is on gone")
    })
    .await;
    assert_eq!(cluster.sign(&one, &["rm", "misbehave", "--yes"]).await.code, 0);
    let unknown = one.cli(&["nodes", "forget", "nobody"]).await;
    assert!(unknown.stderr.contains("there is no node `nobody`"), "{unknown:#?}");

    let forgotten = one.cli(&["nodes", "forget", "gone"]).await;
    assert_eq!((forgotten.code, forgotten.stdout.as_str()), (0, "gone is forgotten\n"), "{forgotten:#?}");
    for node in [&one, &two] {
        wait_until("it is on no list", SPREAD_MAX, async || state(node, "gone").await.is_empty()).await;
    }
    // Nor after a restart, though the store is gone, too.
    two.kill();
    let two = cluster.join("two", "edge", "paris").await;
    assert_eq!(state(&two, "gone").await, "");

    let gone = cluster.join("gone", "edge", "paris").await;
    cluster.settled(&[&one, &two, &gone]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_inspected_on_all_nodes_from_any_of_them() {
    let cluster = Cluster::start().await;
    let owner = cluster.join("owner", "edge", "paris").await;
    let other = cluster.join("other", "edge", "paris").await;
    cluster.settled(&[&owner, &other]).await;
    let file = bundle_file("misbehave").display().to_string();
    assert_eq!(cluster.sign(&owner, &["deploy", &file]).await.code, 0);
    assert_eq!(deploy(&cluster, &owner, "Salut").await.code, 0);
    greets(&other, "Salut").await;
    let whereabouts = json!([{ "node": "other", "revision": 1 }, { "node": "owner", "revision": 1 }]);
    assert_eq!(other.get("/functions/default/hello").await["whereabouts"], whereabouts);

    // Where it does not run, what is known of it is said all the same.
    let detail = other.get("/functions/default/misbehave").await;
    let whereabouts = json!([
        { "node": "other", "revision": 1, "fault": "its data is on owner" },
        { "node": "owner", "revision": 1 },
    ]);
    assert_eq!((&detail["whereabouts"], &detail["keyvalue"]), (&whereabouts, &json!(["default"])));
    let shown = other.cli(&["inspect", "misbehave"]).await;
    assert_eq!(shown.code, 0, "{shown:#?}");
    assert!(shown.stdout.contains("on other nodes: its data is on owner"), "{shown:#?}");
    let missing = other.cli(&["inspect", "nothing"]).await;
    assert!(missing.stderr.contains("no function default/nothing"), "{missing:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_drains_runs_what_no_other_takes() {
    let cluster = Cluster::start().await;
    let one = cluster.join("one", "edge", "paris").await;
    let two = cluster.join("two", "edge", "paris").await;
    cluster.settled(&[&one, &two]).await;
    assert_eq!(deploy(&cluster, &one, "Salut").await.code, 0);
    greets(&two, "Salut").await;
    assert_eq!(one.cli(&["drain", "one"]).await.code, 0);
    wait_until("its calls go to the other", SPREAD_MAX, async || {
        one.call("/hello").await.header("spillway-node") == Some("two")
    })
    .await;
    // At once, while nobody knows yet that it is dead; and with a body.
    two.kill();
    for _ in 0..20 {
        let answer = one.call("/hello").await;
        assert_eq!(answer.header("spillway-node"), None);
        assert_eq!(answer.ok(), "Salut, world!\n");
    }
    wait_until("it is known to be dead", SPREAD_MAX, async || state(&one, "two").await == "dead").await;
    assert_eq!(one.call("/hello").await.ok(), "Salut, world!\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_sent_on_never_pass_through_the_control_store() {
    let cluster = Cluster::start().await;
    let owner = cluster.join("owner", "edge", "paris").await;
    let other = cluster.join("other", "edge", "paris").await;
    cluster.settled(&[&owner, &other]).await;
    let file = bundle_file("misbehave").display().to_string();
    assert_eq!(cluster.sign(&owner, &["deploy", &file]).await.code, 0);
    wait_until("calls go to the owner", SPREAD_MAX, async || other.call("/misbehave/count").await.status == 200).await;
    let traffic = async || {
        let url = format!("{}/varz", cluster.nats.monitoring_url());
        let said: serde_json::Value =
            other.http().get(url).send().await.expect("NATS tells").json().await.expect("in JSON");
        said["in_bytes"].as_u64().expect("a count") + said["out_bytes"].as_u64().expect("a count")
    };
    let before = traffic().await;
    for _ in 0..200 {
        let call = other.request(reqwest::Method::POST, "/misbehave/body").body(vec![b'x'; 60_000]);
        let answer = Node::send(call).await;
        assert_eq!(answer.header("spillway-node"), Some("owner"));
        assert_eq!(answer.ok(), "60000\n");
    }
    // Twelve megabytes went from node to node; NATS has its own keep-alives and listings.
    let through_nats = traffic().await - before;
    assert!(through_nats < 500_000, "{through_nats} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_no_function_needs_are_collected_and_those_needed_stay() {
    let cluster = Cluster::start().await;
    let one = cluster.join("one", "edge", "paris").await;
    assert_eq!(deploy(&cluster, &one, "Salut").await.code, 0);
    assert_eq!(deploy(&cluster, &one, "Ciao").await.code, 0);
    let young = one.cli(&["gc", "--json"]).await.json();
    assert_eq!(young["removed_cluster_files"], 0, "they are too young: {young}");
    // By the clock of this one they have waited long enough.
    let late = cluster.builder("late", "edge", "paris").await.clock("+2h").start().await;
    greets(&late, "Ciao").await;
    let collected = late.cli(&["gc", "--json"]).await.json();
    assert_eq!(collected["removed_cluster_files"], 1, "{collected}");
    assert!(collected["freed_cluster_bytes"].as_u64() > Some(100_000), "{collected}");
    // What serves is there for a node that comes; what was collected is stored again by whoever goes back to it.
    let two = cluster.join("two", "edge", "paris").await;
    greets(&two, "Ciao").await;
    let back = cluster.sign(&one, &["rollback", "hello"]).await;
    assert_eq!(back.code, 0, "{back:#?}");
    for node in [&one, &late, &two] {
        greets(node, "Salut").await;
    }
    drop((one, late, two));
    let fresh = cluster.join("fresh", "edge", "paris").await;
    greets(&fresh, "Salut").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_may_use_is_what_its_control_group_gives_it() {
    let Some(quota) = Quota::cores(1.0) else {
        // cgroups(7), version 1, as root: some machines have none.
        eprintln!("no control groups for tests on this machine");
        return;
    };
    let cluster = Cluster::start().await;
    let entrance = quota.entrance();
    let entrance: Vec<&str> = entrance.iter().map(String::as_str).collect();
    let small = cluster.builder("small", "edge", "paris").await.under(&entrance).start().await;
    assert_eq!(deploy(&cluster, &small, "Salut").await.code, 0);
    wait_until("it says so", Duration::from_secs(10), async || {
        let capacity = small.get("/nodes").await[0]["capacity"].clone();
        (capacity["cores"] == 1) && capacity["utilisation"]["cpu_ratio"].as_f64().is_some_and(|ratio| ratio <= 1.0)
    })
    .await;
    small.call("/nothing").await.problem(ProblemType::UnknownRoute, &["/nothing"]);
}
