//! Who has the broker, a clock or an old certificate has not the cluster: entries that somebody wrote into NATS behind the
//! nodes' backs, certificates that ended, clocks that differ.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::kv::Store;
use bytes::Bytes;
use spillway_tests::{Cluster, Node, wait_until};
use spillway_types::ProblemType;

use crate::clusters::{SPREAD_MAX, deploy, greets, state};

/// Where the statement about `hello` stands.
const HELLO: &str = "functions.default.hello";

/// The entries of the cluster, with all that NATS itself allows.
async fn entries(cluster: &Cluster) -> Store {
    let client = async_nats::connect(cluster.nats.url()).await.expect("NATS runs");
    jetstream::new(client).get_key_value("spillway-acme-state").await.expect("the nodes made it")
}

async fn entry(store: &Store, key: &str) -> Bytes {
    store.get(key).await.expect("NATS answers").expect("it is there")
}

/// What `/readyz` says.
async fn ready(node: &Node) -> String {
    let answer = node.http().get(format!("{}/readyz", node.api_url())).send().await.expect("the node answers");
    answer.text().await.expect("a text")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_statement_that_is_played_back_changes_nothing() {
    let cluster = Cluster::start().await;
    let one = cluster.join("one", "edge", "paris").await;
    assert_eq!(deploy(&cluster, &one, "Salut").await.code, 0);
    let store = entries(&cluster).await;
    let old = entry(&store, HELLO).await;
    assert_eq!(deploy(&cluster, &one, "Ciao").await.code, 0);
    let new = entry(&store, HELLO).await;
    assert_ne!(old, new);

    store.put(HELLO, old.clone()).await.expect("NATS takes anything");
    wait_until("the newer statement is in the store again", SPREAD_MAX, async || entry(&store, HELLO).await == new)
        .await;
    assert!(one.stderr().contains("an old statement came back"), "{}", one.stderr());
    assert_eq!(one.call("/hello").await.ok(), "Ciao, world!\n");
    // Under another name it is no statement either.
    store.put("functions.default.other", new.clone()).await.expect("NATS takes anything");
    wait_until("the node says so", SPREAD_MAX, async || {
        ready(&one)
            .await
            .contains("functions.default.other in the control store is not believed: it is about default/hello")
    })
    .await;
    // Nor does it come in by the front door.
    let answer = Node::send(one.api(reqwest::Method::POST, "/statements").body(old)).await;
    answer.problem(ProblemType::Conflict, &["statement 2", "yours is statement 1"]);
    assert_eq!(one.call("/hello").await.ok(), "Ciao, world!\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_wrote_into_the_store_is_not_believed_and_written_over() {
    let cluster = Cluster::start().await;
    let one = cluster.join("one", "edge", "paris").await;
    assert_eq!(deploy(&cluster, &one, "Salut").await.code, 0);
    let store = entries(&cluster).await;
    let good = entry(&store, HELLO).await;

    // Another cluster of the same name, whose deployer is nobody here, and whose statement is the newer one.
    let strangers = Cluster::start().await;
    let theirs = strangers.join("theirs", "edge", "paris").await;
    assert_eq!(deploy(&strangers, &theirs, "Boo").await.code, 0);
    assert_eq!(deploy(&strangers, &theirs, "Booh").await.code, 0);
    let forged = entry(&entries(&strangers).await, HELLO).await;
    for bad in [forged, Bytes::from_static(b"{}"), Bytes::new()] {
        store.put(HELLO, bad.clone()).await.expect("NATS takes anything");
        // What an unknown key signed could be believed by others: it is looked at when everything is listed again.
        wait_until("the signed statement is back", Duration::from_secs(60), async || {
            entry(&store, HELLO).await == good
        })
        .await;
        assert_eq!(one.call("/hello").await.ok(), "Salut, world!\n", "{bad:?}");
    }
    store.delete(HELLO).await.expect("NATS deletes anything");
    wait_until("what was deleted is back", SPREAD_MAX, async || {
        store.get(HELLO).await.expect("NATS answers").is_some_and(|found| found == good)
    })
    .await;
    assert_eq!(one.call("/hello").await.ok(), "Salut, world!\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_a_node_of_another_version_is_named_and_left_alone() {
    let cluster = Cluster::start().await;
    let one = cluster.join("one", "edge", "paris").await;
    let two = cluster.join("two", "edge", "paris").await;
    cluster.settled(&[&one, &two]).await;
    let store = entries(&cluster).await;
    let mut record: serde_json::Value =
        serde_json::from_slice(&entry(&store, "nodes.two").await).expect("a record is JSON");
    record["format"] = serde_json::json!(999);
    record["identity"]["node"] = serde_json::json!("three");
    store.put("nodes.three", record.to_string().into()).await.expect("NATS takes anything");
    wait_until("the node says so", SPREAD_MAX, async || {
        let said = ready(&one).await;
        said.contains("nodes.three in the control store is not believed") && said.contains("999")
    })
    .await;
    // The others are as they were.
    cluster.settled(&[&one, &two]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_are_minutes_apart_are_named_and_do_no_harm() {
    let cluster = Cluster::start().await;
    let one = cluster.join("one", "edge", "paris").await;
    let late = cluster.builder("late", "edge", "paris").await.clock("-7m").start().await;
    let early = cluster.builder("early", "edge", "paris").await.clock("+7m").start().await;
    cluster.settled(&[&one, &late, &early]).await;
    for (node, greeting) in [(&late, "Salut"), (&early, "Ciao"), (&one, "Hallo")] {
        assert_eq!(deploy(&cluster, node, greeting).await.code, 0, "by {}", node.listen());
        for node in [&one, &late, &early] {
            greets(node, greeting).await;
        }
    }
    wait_until("the clocks are named", SPREAD_MAX, async || {
        let said = ready(&one).await;
        said.contains("the clock of node late is 4") && said.contains("the clock of node early is 4")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_without_a_restart_and_ends_when_it_says() {
    let cluster = Cluster::start().await;
    let one = cluster.join("one", "edge", "paris").await;
    // It ends in twenty seconds.
    let (identity, ca) = (cluster.path("short"), cluster.path("ca"));
    let issue = async |out: &str, clock: &str| {
        let args =
            ["ca", "issue", "short", "--role", "edge", "--site", "paris", "--days", "1", "--dir", &ca, "--out", out];
        cluster.command_at(clock, &args).await
    };
    assert_eq!(issue(&identity, "-86380s").await.code, 0);
    let short = cluster.join("short", "edge", "paris").await;
    cluster.settled(&[&one, &short]).await;
    let until = short.get("/node").await["cluster"]["certificate_until"].clone();
    wait_until("it has ended, and the other node lets it in no longer", Duration::from_secs(60), async || {
        state(&one, "short").await == "dead"
    })
    .await;
    let said = ready(&one).await;
    assert!(said.contains("node short is dead") && said.contains("expired"), "{said}");
    let refused = cluster.builder("short", "edge", "paris").await.data(&cluster.data("another")).try_start().await;
    let exit = refused.err().expect("with a certificate that has ended no node starts");
    assert!(exit.stderr.contains("expired") && exit.stderr.contains("ca issue"), "{exit:#?}");

    let renewed = cluster.path("renewed");
    assert_eq!(issue(&renewed, "+0").await.code, 0);
    for file in ["node.key", "node.crt"] {
        let (from, to) = (format!("{renewed}/{file}"), format!("{identity}/{file}"));
        std::fs::copy(from, to).expect("tests may write files");
    }
    cluster.settled(&[&one, &short]).await;
    assert_ne!(short.get("/node").await["cluster"]["certificate_until"], until);
}
