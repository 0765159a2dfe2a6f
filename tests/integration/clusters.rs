//! Several nodes that are one platform: what is deployed on one serves on all, and nobody is believed without proof.

use std::time::{Duration, Instant};

use spillway_tests::{Cluster, Node, Ran, bundle_file, wait_until};
use spillway_types::ProblemType;

use crate::variants::hello_that_says;

/// What the issue allows from a deployment on one node to its first answer on another, and room for a busy machine: a
/// test must not depend on the time of day.
pub(crate) const SPREAD_MAX: Duration = Duration::from_secs(20);

/// Deploys `hello` with another greeting by a node.
pub(crate) async fn deploy(cluster: &Cluster, node: &Node, greeting: &str) -> Ran {
    let file = cluster.path(&format!("{greeting}.wasm"));
    std::fs::write(&file, hello_that_says(greeting)).expect("tests may write files");
    cluster.sign(node, &["deploy", &file]).await
}

/// Waits until a node greets with `greeting`.
pub(crate) async fn greets(node: &Node, greeting: &str) {
    let expected = format!("{greeting}, world!\n");
    wait_until(&format!("{} greets with {greeting}", node.listen()), SPREAD_MAX, async || {
        node.call("/hello").await.text() == expected
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deployed_on_one_node_serves_on_all_and_is_rolled_back_on_all() {
    let cluster = Cluster::start().await;
    let nodes = [
        cluster.join("box-1", "edge", "paris").await,
        cluster.join("box-2", "edge", "lyon").await,
        cluster.join("big", "cloud", "cloud").await,
    ];
    cluster.settled(&nodes.each_ref()).await;

    let deployed = deploy(&cluster, &nodes[0], "Salut").await;
    assert_eq!(deployed.code, 0, "{deployed:#?}");
    // The node that was asked serves when it says so.
    assert_eq!(nodes[0].call("/hello").await.ok(), "Salut, world!\n");
    for node in &nodes {
        greets(node, "Salut").await;
    }
    assert_eq!(deploy(&cluster, &nodes[1], "Ciao").await.code, 0);
    for node in &nodes {
        greets(node, "Ciao").await;
    }
    let back = cluster.sign(&nodes[2], &["rollback", "hello"]).await;
    assert!(back.stdout.contains("serves revision 1 (was 2)"), "{back:#?}");
    for node in &nodes {
        greets(node, "Salut").await;
        // It is the same revision everywhere, and each node says where it is.
        wait_until("the list names all nodes", SPREAD_MAX, async || {
            let functions = node.get("/functions").await;
            let nodes = functions[0]["nodes"].as_array().map_or(0, Vec::len);
            (functions[0]["revision"] == 1, nodes) == (true, 3)
        })
        .await;
    }
    let removed = cluster.sign(&nodes[0], &["rm", "hello", "--yes"]).await;
    assert_eq!(removed.code, 0, "{removed:#?}");
    for node in &nodes {
        wait_until("hello is gone", SPREAD_MAX, async || node.call("/hello").await.status == 404).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_deployments_at_once_one_wins_and_the_other_is_told_why() {
    let cluster = Cluster::start().await;
    let (one, two) = (cluster.join("one", "edge", "paris").await, cluster.join("two", "edge", "paris").await);
    for (round, (first, second)) in [("A", "B"), ("C", "D"), ("E", "F")].into_iter().enumerate() {
        let ran = tokio::join!(deploy(&cluster, &one, first), deploy(&cluster, &two, second));
        let winners: Vec<&str> = [(first, &ran.0), (second, &ran.1)]
            .into_iter()
            .filter(|(_, ran)| ran.code == 0)
            .map(|(greeting, _)| greeting)
            .collect();
        for ran in [&ran.0, &ran.1].into_iter().filter(|ran| ran.code != 0) {
            assert_eq!(ran.code, 4, "{ran:#?}");
            assert!(ran.stderr.contains("deploy again"), "{ran:#?}");
        }
        // Both may come through, one after the other; both may never win at once.
        assert!(!winners.is_empty(), "round {round}: {ran:#?}");
        wait_until("both nodes serve what one of the winners deployed", SPREAD_MAX, async || {
            let greetings = [one.call("/hello").await.text(), two.call("/hello").await.text()];
            greetings[0] == greetings[1] && winners.iter().any(|winner| greetings[0] == format!("{winner}, world!\n"))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_control_store_gone_calls_are_served_and_a_node_starts_again() {
    let mut cluster = Cluster::start().await;
    let one = cluster.join("one", "edge", "paris").await;
    let two = cluster.join("two", "edge", "paris").await;
    cluster.settled(&[&one, &two]).await;
    assert_eq!(deploy(&cluster, &one, "Salut").await.code, 0);
    greets(&two, "Salut").await;

    cluster.nats.stop();
    let stopped = Instant::now();
    wait_until("the node says so", SPREAD_MAX, async || {
        let ready = one.http().get(format!("{}/readyz", one.api_url())).send().await.expect("the node answers");
        ready.status() == 200 && ready.text().await.expect("a text").contains("control store has not answered")
    })
    .await;
    for _ in 0..50 {
        assert_eq!(one.call("/hello").await.ok(), "Salut, world!\n");
    }
    // Refused at once and as a whole.
    let refused = deploy(&cluster, &one, "Ciao").await;
    assert_eq!(refused.code, 4, "{refused:#?}");
    assert!(refused.stderr.contains("unreachable"), "{refused:#?}");
    assert_eq!(one.call("/hello").await.ok(), "Salut, world!\n");

    two.kill();
    let two = cluster.join("two", "edge", "paris").await;
    assert_eq!(two.call("/hello").await.ok(), "Salut, world!\n");
    // Who else is there was kept, too.
    cluster.settled(&[&one, &two]).await;
    // A whole minute long nobody who calls notices.
    while stopped.elapsed() < Duration::from_secs(60) {
        for node in [&one, &two] {
            assert_eq!(node.call("/hello").await.ok(), "Salut, world!\n", "after {:?}", stopped.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let made_ready = || one.stderr().matches("serves a release of the cluster").count();
    let before = made_ready();
    cluster.nats.start_again();
    let again = Instant::now();
    wait_until("the store is back", SPREAD_MAX, async || one.get("/node").await["cluster"]["control"] == "connected")
        .await;
    // What is healthy is left alone.
    assert_eq!(made_ready(), before, "after {:?}", again.elapsed());
    assert_eq!(deploy(&cluster, &two, "Ciao").await.code, 0);
    greets(&one, "Ciao").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_store_that_lost_its_data_is_filled_by_the_nodes() {
    let mut cluster = Cluster::start().await;
    let one = cluster.join("one", "edge", "paris").await;
    assert_eq!(deploy(&cluster, &one, "Salut").await.code, 0);
    cluster.nats.stop();
    cluster.nats.lose_data();
    cluster.nats.start_again();
    // A node that never heard of it before gets everything from what the other had signed and kept.
    wait_until("the store is back", SPREAD_MAX, async || one.get("/node").await["cluster"]["control"] == "connected")
        .await;
    let two = cluster.join("two", "edge", "lyon").await;
    greets(&two, "Salut").await;
    assert_eq!(deploy(&cluster, &two, "Ciao").await.code, 0);
    greets(&one, "Ciao").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_nodes_are_noticed_by_the_others_and_come_back_with_all_they_had() {
    let cluster = Cluster::start().await;
    let names = ["one", "two", "three"];
    let mut nodes = Vec::new();
    for name in names {
        nodes.push(cluster.join(name, "edge", "paris").await);
    }
    cluster.settled(&nodes.iter().collect::<Vec<_>>()).await;
    assert_eq!(deploy(&cluster, &nodes[0], "Salut").await.code, 0);
    for node in &nodes {
        greets(node, "Salut").await;
    }
    for (index, name) in names.into_iter().enumerate() {
        let killed = nodes.remove(index);
        killed.kill();
        for node in &nodes {
            wait_until("the dead node is noticed", SPREAD_MAX, async || state(node, name).await == "dead").await;
            assert_eq!(node.call("/hello").await.ok(), "Salut, world!\n");
        }
        let again = cluster.join(name, "edge", "paris").await;
        assert_eq!(again.call("/hello").await.ok(), "Salut, world!\n");
        for node in &nodes {
            wait_until("it is alive again", SPREAD_MAX, async || state(node, name).await == "alive").await;
        }
        nodes.insert(index, again);
    }
}

/// What a node knows of another.
pub(crate) async fn state(node: &Node, name: &str) -> String {
    let nodes = node.get("/nodes").await;
    let found = nodes.as_array().expect("a list").iter().find(|other| other["identity"]["node"] == name).cloned();
    found.map_or_else(String::new, |node| node["state"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_drains_under_load_fails_no_call() {
    let cluster = Cluster::start().await;
    let one = cluster.join("one", "edge", "paris").await;
    let two = cluster.join("two", "edge", "paris").await;
    cluster.settled(&[&one, &two]).await;
    assert_eq!(deploy(&cluster, &one, "Salut").await.code, 0);
    greets(&two, "Salut").await;
    wait_until("one knows that two serves", SPREAD_MAX, async || {
        one.get("/functions").await[0]["nodes"].as_array().map_or(0, Vec::len) == 2
    })
    .await;

    let stop = std::sync::atomic::AtomicBool::new(false);
    let calls = async {
        let mut by_other = 0_u32;
        let mut count = 0_u32;
        while !stop.load(std::sync::atomic::Ordering::SeqCst) {
            let answer = one.call("/hello").await;
            by_other += u32::from(answer.header("spillway-node") == Some("two"));
            assert_eq!(answer.ok(), "Salut, world!\n");
            count += 1;
        }
        (count, by_other)
    };
    let change = async {
        let drained = two.cli(&["drain", "one"]).await;
        assert_eq!(drained.code, 0, "{drained:#?}");
        assert!(drained.stdout.contains("one is drained"), "{drained:#?}");
        let ready = one.http().get(format!("{}/readyz", one.api_url())).send().await.expect("the node answers");
        assert_eq!(ready.status(), 503);
        // Long enough to have calls sent.
        let sent = || async {
            one.metrics().await.sum("spillway_sent_requests_total", &[("function", "hello"), ("node", "two")])
        };
        wait_until("calls are sent", SPREAD_MAX, async || sent().await.unwrap_or(0.0) >= 20.0).await;
        let back = two.cli(&["uncordon", "one"]).await;
        assert_eq!(back.code, 0, "{back:#?}");
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let ((count, by_other), ()) = tokio::join!(calls, change);
    assert!(by_other >= 20 && count >= by_other, "{by_other} of {count}");
    wait_until("it runs its own calls again", SPREAD_MAX, async || {
        one.call("/hello").await.header("spillway-node").is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_stays_with_its_owner_and_calls_go_to_it_or_are_refused() {
    let cluster = Cluster::start().await;
    let owner = cluster.join("owner", "edge", "paris").await;
    let other = cluster.join("other", "edge", "paris").await;
    cluster.settled(&[&owner, &other]).await;
    let file = bundle_file("misbehave");
    let deployed = cluster.sign(&owner, &["deploy", &file.display().to_string()]).await;
    assert_eq!(deployed.code, 0, "{deployed:#?}");
    assert_eq!(owner.call("/misbehave/count").await.ok(), "1\n");
    wait_until("calls go to the owner", SPREAD_MAX, async || {
        other.get("/functions").await[0]["nodes"] == serde_json::json!(["owner"])
    })
    .await;
    let answer = other.call("/misbehave/count").await;
    assert_eq!(answer.header("spillway-node"), Some("owner"));
    assert_eq!(answer.ok(), "2\n");

    owner.kill();
    wait_until("the owner is known to be dead", SPREAD_MAX, async || state(&other, "owner").await == "dead").await;
    other.call("/misbehave/count").await.problem(ProblemType::OwnerUnreachable, &["owner"]);
    let owner = cluster.join("owner", "edge", "paris").await;
    assert_eq!(owner.call("/misbehave/count").await.ok(), "3\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_deploys_without_a_key_that_the_node_trusts() {
    let cluster = Cluster::start().await;
    let node = cluster.join("one", "edge", "paris").await;
    assert_eq!(deploy(&cluster, &node, "Salut").await.code, 0);

    let unsigned = node.post(hello_that_says("Ciao"), "").await;
    unsigned.problem(ProblemType::Unsigned, &["acme", "spillway key new"]);
    let stranger = cluster.path("stranger.pem");
    cluster.run(&["key", "new", "--out", &stranger]).await;
    let file = cluster.path("Salut.wasm");
    let refused = node.cli(&["rm", "hello", "--yes", "--key", &stranger]).await;
    assert_eq!(refused.code, 4, "{refused:#?}");
    assert!(refused.stderr.contains("does not trust"), "{refused:#?}");

    let id = node.get("/keys").await[0]["id"].as_str().expect("a key has an id").to_owned();
    let revoked = node.cli(&["key", "revoke", &id]).await;
    assert_eq!(revoked.code, 0, "{revoked:#?}");
    let refused = cluster.sign(&node, &["deploy", &file, "--namespace", "shop"]).await;
    assert_eq!(refused.code, 4, "{refused:#?}");
    assert!(refused.stderr.contains("revoked"), "{refused:#?}");
    // What it signed before goes on serving.
    assert_eq!(node.call("/hello").await.ok(), "Salut, world!\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_of_the_same_name_and_a_node_of_another_authority_stay_out() {
    let cluster = Cluster::start().await;
    let node = cluster.join("one", "edge", "paris").await;
    let identity = cluster.issue("one", "edge", "paris").await;
    let url = cluster.nats.url();
    let args = ["--join", &url, "--identity", &identity, "--peer", "127.0.0.1:0"];
    let exit = Node::builder().args(&args).try_start().await.err().expect("the name is taken");
    assert!(exit.stderr.contains("a node named one is running already"), "{exit:#?}");

    // Another authority of the same name: the store lets it in, the nodes do not.
    let ca = cluster.path("other-ca");
    let forged = cluster.path("forged");
    cluster.run(&["ca", "init", "acme", "--dir", &ca]).await;
    let issue = ["ca", "issue", "mallory", "--role", "edge", "--site", "paris", "--dir", &ca, "--out", &forged];
    cluster.run(&issue).await;
    let mallory = Node::builder().args(&["--join", &url, "--identity", &forged, "--peer", "127.0.0.1:0"]).start().await;
    wait_until("they know of each other, and do not talk", SPREAD_MAX, async || {
        (state(&node, "mallory").await, state(&mallory, "one").await) == ("dead".to_owned(), "dead".to_owned())
    })
    .await;
    let expired = Node::builder().args(&["--join", &url, "--identity", "/nowhere", "--peer", "127.0.0.1:0"]);
    let exit = expired.try_start().await.err().expect("there is no certificate");
    assert!(exit.stderr.contains("/nowhere"), "{exit:#?}");
}
