//! Files that are damaged, stores and disks that are full, limits of calls that are sent on.

use std::time::Duration;

use async_nats::jetstream;
use bytes::Bytes;
use futures::stream;
use reqwest::Method;
use spillway_tests::{Cluster, NatsServer, Node, bundle_file, wait_until};
use spillway_types::{Digest, ProblemType};

use crate::clusters::{SPREAD_MAX, deploy, greets};
use crate::variants::{hello_that_says, variant};

const BLOBS: &str = "spillway-acme-blobs";

async fn jetstream_of(cluster: &Cluster) -> jetstream::Context {
    jetstream::new(async_nats::connect(cluster.nats.url()).await.expect("NATS runs"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_in_the_store_is_refused_and_fetched_from_a_node_and_the_store_is_mended() {
    let cluster = Cluster::start().await;
    let one = cluster.join("one", "edge", "paris").await;
    assert_eq!(deploy(&cluster, &one, "Salut").await.code, 0);
    let digest = Digest::of(&hello_that_says("Salut"));
    let name = digest.hex();

    // The object still says that it is the file; its pieces are others.
    let jetstream = jetstream_of(&cluster).await;
    let object =
        jetstream.get_object_store(BLOBS).await.expect("the nodes made it").info(&name).await.expect("it is there");
    let chunks = format!("$O.{BLOBS}.C.{}", object.nuid);
    let stream = jetstream.get_stream(format!("OBJ_{BLOBS}")).await.expect("the nodes made it");
    stream.purge().filter(chunks.as_str()).await.expect("NATS purges anything");
    let bad = vec![b'x'; 100 << 10];
    let mut left = object.size;
    while left > 0 {
        let length = left.min(bad.len());
        let published = jetstream.publish(chunks.clone(), Bytes::copy_from_slice(&bad[..length])).await;
        published.expect("NATS is there").await.expect("NATS takes anything");
        left -= length;
    }

    let two = cluster.join("two", "edge", "paris").await;
    greets(&two, "Salut").await;
    let said = two.stderr();
    assert!(said.contains("so it was refused") && said.contains("fetched a file from a peer"), "{said}");
    // A third that finds no node finds a sound copy in the store.
    wait_until("the store is mended", SPREAD_MAX, async || {
        let store = jetstream.get_object_store(BLOBS).await.expect("the bucket is there");
        store.info(&name).await.is_ok_and(|info| info.nuid != object.nuid)
    })
    .await;
    drop((one, two));
    let three = cluster.join("three", "edge", "paris").await;
    greets(&three, "Salut").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_full_refuses_deployments_and_nothing_changes() {
    let cluster = Cluster::start().await;
    // As an operator would make it who has little room.
    let limited = jetstream::stream::Config {
        name: format!("OBJ_{BLOBS}"),
        subjects: vec![format!("$O.{BLOBS}.C.>"), format!("$O.{BLOBS}.M.>")],
        max_bytes: 600_000,
        discard: jetstream::stream::DiscardPolicy::New,
        allow_rollup: true,
        allow_direct: true,
        ..jetstream::stream::Config::default()
    };
    jetstream_of(&cluster).await.create_stream(limited).await.expect("NATS makes streams");
    let one = cluster.join("one", "edge", "paris").await;
    let two = cluster.join("two", "edge", "paris").await;
    let mut served = None;
    let refused = loop {
        let greeting = served.map_or("A", |before: &str| if before == "A" { "B" } else { "C" });
        let ran = deploy(&cluster, &one, greeting).await;
        if ran.code != 0 {
            break ran;
        }
        assert_ne!(greeting, "C", "three bundles of {} bytes fit", hello_that_says("A").len());
        served = Some(greeting);
    };
    assert_eq!(refused.code, 4, "{refused:#?}");
    assert!(refused.stderr.contains("is full") && refused.stderr.contains("give it more room"), "{refused:#?}");
    let served = served.expect("the first one fits");
    greets(&one, served).await;
    greets(&two, served).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_larger_than_a_nodes_disk_stays_elsewhere_and_calls_go_there() {
    let cluster = Cluster::start().await;
    let one = cluster.join("one", "edge", "paris").await;
    // A disk of its own, of a few megabytes.
    let data = cluster.data("small");
    std::fs::create_dir(&data).expect("tests may write files");
    let mount = format!("mount -t tmpfs -o size=4m tmpfs '{}' && exec \"$0\" \"$@\"", data.display());
    let builder = cluster.builder("small", "edge", "paris").await;
    let small = builder.under(&["unshare", "--map-root-user", "--mount", "sh", "-c", &mount]).start().await;
    cluster.settled(&[&one, &small]).await;
    assert_eq!(deploy(&cluster, &one, "Salut").await.code, 0);
    greets(&small, "Salut").await;

    let file = bundle_file("sniff").display().to_string();
    let deployed = cluster.sign(&one, &["deploy", &file]).await;
    assert_eq!(deployed.code, 0, "{deployed:#?}");
    let call = || Node::send(small.request(Method::POST, "/sniff").body("#!/bin/sh\necho hello\n"));
    wait_until("its calls are answered by the other", SPREAD_MAX, async || {
        let answer = call().await;
        (answer.status, answer.header("spillway-node")) == (200, Some("one"))
    })
    .await;
    let said = small.stderr();
    assert!(said.contains("disk is full") || said.contains("No space left"), "{said}");
    assert_eq!(small.call("/hello").await.ok(), "Salut, world!\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_node_joins_only_what_is_known_to_last() {
    let plain = Cluster::start().await;
    let exit = plain.builder("one", "edge", "paris").await.args(&["--strict"]).try_start().await;
    let exit = exit.err().expect("nothing is known of it");
    assert!(
        exit.stderr.contains("may lose what it acknowledged") && exit.stderr.contains("--nats-monitoring"),
        "{exit:#?}"
    );
    // It tells, and what it tells is not enough.
    let monitoring = plain.nats.monitoring_url();
    let builder = plain.builder("one", "edge", "paris").await;
    let exit = builder.args(&["--strict", "--nats-monitoring", &monitoring]).try_start().await;
    let exit = exit.err().expect("it syncs every two minutes");
    assert!(exit.stderr.contains("sync_interval"), "{exit:#?}");

    let [first, _second, _third] = NatsServer::cluster();
    let monitoring = first.monitoring_url();
    let cluster = Cluster::on(first).await;
    let args = ["--strict", "--nats-monitoring", &monitoring, "--nats-replicas", "3"];
    // Three servers have to find each other first.
    let mut node = None;
    wait_until("the node joins", Duration::from_secs(60), async || {
        match cluster.builder("one", "edge", "paris").await.args(&args).try_start().await {
            Ok(started) => node = Some(started),
            Err(exit) => eprintln!("not yet: {}", exit.stderr),
        }
        node.is_some()
    })
    .await;
    let node = node.expect("it joined");
    assert_eq!(deploy(&cluster, &node, "Salut").await.code, 0);
    greets(&node, "Salut").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_sent_on_is_cut_off_at_its_limit() {
    let cluster = Cluster::start().await;
    let owner = cluster.join("owner", "edge", "paris").await;
    let other = cluster.join("other", "edge", "paris").await;
    cluster.settled(&[&owner, &other]).await;
    let file = cluster.path("limited.wasm");
    let limited = variant("misbehave", |manifest| manifest.limits.body_bytes = 300 << 10);
    std::fs::write(&file, limited).expect("tests may write files");
    assert_eq!(cluster.sign(&owner, &["deploy", &file]).await.code, 0);
    wait_until("calls go to the owner", SPREAD_MAX, async || other.call("/misbehave/count").await.status == 200).await;
    // To a function that reads it all: who does not may have answered before. Announced, and not announced: in pieces, so that much of it is on its way when the limit comes.
    let announced = Node::send(other.request(Method::POST, "/misbehave/body").body(vec![0; 301 << 10])).await;
    announced.problem(ProblemType::BodyTooLarge, &["300.0 KiB"]);
    let pieces = stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![0; 16 << 10]))));
    let body = reqwest::Body::wrap_stream(pieces);
    let unannounced = Node::send(other.request(Method::POST, "/misbehave/body").body(body)).await;
    unannounced.problem(ProblemType::BodyTooLarge, &["300.0 KiB"]);
}
