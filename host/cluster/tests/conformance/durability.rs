//! What a real server says of its disks.

use bytes::Bytes;
use spillway_cluster::{BlobStore, ControlStore, Durability, Expected, NatsConfig, NatsControl};
use spillway_types::Digest;

use crate::key;
use crate::server::{Reach as _, Server};

/// Of a server with both buckets.
async fn durability(jetstream: &str) -> Durability {
    let server = Server::with("", jetstream);
    let config = NatsConfig { monitoring_url: Some(server.monitoring_url()), ..server.config() };
    let control = NatsControl::connect(config).await.unwrap();
    control.compare_and_set(&key("a"), Bytes::new(), Expected::Absent).await.unwrap();
    control.blobs().contains(&Digest::of(b"")).await.unwrap();
    control.durability().await
}

/// Each tries to make them, with a first number of its own, on a server that has room for them once.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_nodes_that_come_to_an_empty_server_at_once_all_find_its_buckets() {
    for _ in 0..5 {
        let server = Server::with("", "max_file_store: 9GB");
        let mut nodes = Vec::new();
        for _ in 0..8 {
            nodes.push(NatsControl::connect(server.config()).await.unwrap());
        }
        let found = futures::future::join_all(nodes.iter().map(async |node| {
            node.list(&key("a")).await.map_err(|error| error.to_string())?;
            node.blobs().contains(&Digest::of(b"")).await.map_err(|error| error.to_string())
        }));
        assert_eq!(found.await, vec![Ok(false); 8]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_as_it_comes_is_unsafe_for_its_sync_interval_and_its_one_replica() {
    let Durability::Unsafe { why } = durability("").await else { panic!("not unsafe") };
    assert!(why.contains("loses what was acknowledged in the last 120 s; set sync_interval: always"), "{why}");
    assert!(why.contains("KV_spillway-acme-state has 1 of 3 replicas"), "{why}");
    assert!(why.contains("OBJ_spillway-acme-blobs has 1 of 3 replicas"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_syncs_always_is_unsafe_for_its_one_replica_alone() {
    let Durability::Unsafe { why } = durability("sync_interval: always").await else { panic!("not unsafe") };
    assert!(!why.contains("sync_interval") && why.contains("1 of 3 replicas"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_endpoint_or_without_its_answer_durability_is_unknown() {
    let mut server = Server::start();
    let control = NatsControl::connect(server.config()).await.unwrap();
    let without = control.durability().await;
    assert!(matches!(&without, Durability::Unknown { why } if why.contains("no monitoring endpoint")), "{without}");
    let config = NatsConfig { monitoring_url: Some(server.monitoring_url()), ..server.config() };
    let control = NatsControl::connect(config).await.unwrap();
    server.stop();
    let silent = control.durability().await;
    assert!(matches!(&silent, Durability::Unknown { why } if why.contains("has no answer")), "{silent}");
}
