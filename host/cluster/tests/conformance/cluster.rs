//! The suite's hardest parts over three servers of NATS, where other replies come and leaders change.

use std::sync::Arc;

use bytes::Bytes;
use spillway_cluster::{BlobStore, ControlError, ControlStore, Durability, Expected, NatsConfig, NatsControl};
use spillway_types::Digest;

use crate::server::{Reach as _, Server};
use crate::{World, key, leases, lists, soon, values};

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_keep_the_promises_of_one_are_safe_and_may_lose_one() {
    let mut servers = Server::cluster();
    let config = NatsConfig {
        urls: servers.iter().map(Server::url).collect(),
        monitoring_url: Some(servers[0].monitoring_url()),
        replicas: 3,
        ..servers[0].config()
    };
    let control = NatsControl::connect(config).await.unwrap();
    let a = key("f.a");
    // Until they have chosen a leader.
    let version = written(&control, Expected::Absent).await;
    soon(async { while control.blobs().contains(&Digest::of(b"")).await.is_err() {} }).await;
    let durability = control.durability().await;
    assert!(matches!(durability, Durability::Safe { .. }), "{durability}");

    let world = || World { control: Arc::new(control.clone()), blobs: Arc::new(control.blobs()), _home: Box::new(()) };
    values::of_sixteen_writers_exactly_one_wins_each_round(world()).await;
    lists::a_watch_after_a_listing_continues_it_without_a_gap(world()).await;
    leases::a_lease_expires_and_its_watcher_sees_it(world()).await;

    servers[0].stop();
    written(&control, Expected::Version(version)).await;
    assert_eq!(soon(control.get(&a)).await.unwrap().unwrap().value.unwrap(), "1");
}

/// Writes `f.a`, again and again while nobody leads.
async fn written(control: &NatsControl, mut expected: Expected) -> spillway_cluster::Version {
    soon(async {
        loop {
            match control.compare_and_set(&key("f.a"), Bytes::from_static(b"1"), expected).await {
                Ok(version) => return version,
                // An attempt whose answer was lost.
                Err(ControlError::Conflict { found: Some(found), .. }) => expected = Expected::Version(found),
                Err(error) => assert!(matches!(error, ControlError::Unreachable { .. }), "{error}"),
            }
        }
    })
    .await
}
