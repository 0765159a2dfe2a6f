//! Servers of NATS that are away, full, or otherwise not as they should be.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use spillway_cluster::{
    BlobStore, BlobStoreError, ControlError, ControlStore, Expected, NatsConfig, NatsControl, Version,
};
use spillway_types::Digest;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::server::{Reach as _, Server};
use crate::{key, next, shown, soon};

/// Every call of a store whose server is away.
async fn assert_unreachable(control: &NatsControl) {
    let (a, one) = (key("f.a"), || Bytes::from_static(b"1"));
    let check = |error: ControlError| {
        assert!(matches!(error, ControlError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("control store nats://127.0.0.1:"), "{error}");
    };
    check(soon(control.get(&a)).await.unwrap_err());
    check(soon(control.list(&a)).await.unwrap_err());
    check(soon(control.compare_and_set(&a, one(), Expected::Absent)).await.unwrap_err());
    check(soon(control.delete(&a, Version::START)).await.unwrap_err());
    let mut changes = control.watch(&key("f"), Version::START);
    check(soon(changes.next()).await.expect("a watch says why it ends").unwrap_err());
    assert!(soon(changes.next()).await.is_none());
    let lease = soon(control.acquire(&a, one(), Duration::from_secs(1))).await.unwrap_err();
    assert!(lease.to_string().contains("unreachable"), "{lease}");
    let blobs = control.blobs();
    let digest = Digest::of(b"1");
    for error in [
        soon(blobs.contains(&digest)).await.err(),
        soon(blobs.read(&digest)).await.err(),
        soon(blobs.remove(&digest)).await.err(),
        soon(blobs.write(&digest, 1, futures::stream::iter([Ok(one())]).boxed())).await.err(),
    ] {
        assert!(matches!(error, Some(BlobStoreError::Unreachable { .. })), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_never_there_is_unreachable_and_is_used_once_it_is() {
    let mut server = Server::start();
    server.stop();
    let control = NatsControl::connect(server.config()).await.unwrap();
    assert_unreachable(&control).await;
    server.start_again();
    soon(async {
        while let Err(error) = control.compare_and_set(&key("f.a"), Bytes::from_static(b"1"), Expected::Absent).await {
            assert!(matches!(error, ControlError::Unreachable { .. }), "{error}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_is_unreachable_and_nothing_refused_meanwhile_happens_later() {
    let mut server = Server::start();
    let control = NatsControl::connect(server.config()).await.unwrap();
    let version = control.compare_and_set(&key("f.b"), Bytes::from_static(b"1"), Expected::Absent).await.unwrap();
    let mut changes = control.watch(&key("f"), version);
    let waiting = tokio::spawn(async move { changes.next().await });
    server.stop();
    let ended = soon(waiting).await.unwrap().expect("a watch says why it ends").unwrap_err();
    assert!(matches!(ended, ControlError::Unreachable { .. }), "{ended}");
    assert_unreachable(&control).await;
    server.start_again();
    let entry = soon(async {
        loop {
            match control.get(&key("f.b")).await {
                Ok(entry) => break entry,
                Err(error) => assert!(matches!(error, ControlError::Unreachable { .. }), "{error}"),
            }
        }
    });
    assert_eq!(entry.await.unwrap().version, version);
    assert_eq!(shown(&control.list(&key("f")).await.unwrap().entries), ["f.b=1"]);
    let mut changes = control.watch(&key("f"), Version::START);
    assert_eq!(shown(&next(&mut changes, 1).await), ["f.b=1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_grow_on_when_the_server_has_lost_its_data() {
    let mut server = Server::start();
    let control = NatsControl::connect(server.config()).await.unwrap();
    let before = control.compare_and_set(&key("f.a"), Bytes::from_static(b"1"), Expected::Absent).await.unwrap();
    server.stop();
    server.lose_data();
    server.start_again();
    let again = soon(async {
        loop {
            match control.compare_and_set(&key("f.a"), Bytes::from_static(b"2"), Expected::Absent).await {
                Ok(version) => break version,
                Err(error) => assert!(matches!(error, ControlError::Unreachable { .. }), "{error}"),
            }
        }
    });
    let again = again.await;
    assert!(again > before, "{again} after {before}");
    let stale = control.compare_and_set(&key("f.a"), Bytes::new(), Expected::Version(before)).await.unwrap_err();
    assert!(matches!(stale, ControlError::Conflict { .. }), "{stale}");
    // Whoever stood at the old history misses nothing of the new one.
    assert_eq!(shown(&next(&mut control.watch(&key("f"), before), 1).await), ["f.a=2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_beyond_the_history_fails_instead_of_waiting_in_silence() {
    let server = Server::start();
    let control = NatsControl::connect(server.config()).await.unwrap();
    let other = Arc::new(Server::start());
    let beyond = NatsControl::connect(other.config()).await.unwrap();
    control.list(&key("f")).await.unwrap();
    // Made later, hence with higher versions.
    let version = beyond.compare_and_set(&key("f.a"), Bytes::new(), Expected::Absent).await.unwrap();
    let error = soon(control.watch(&key("f"), version).next()).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("it has lost data"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_is_said_to_be_full_and_keeps_what_it_has() {
    let server = Server::start();
    let config = NatsConfig { state_bytes_max: 64 * 1024, blob_bytes_max: 400 * 1024, ..server.config() };
    let control = NatsControl::connect(config).await.unwrap();
    let mut stored = 0;
    let full = loop {
        let value = Bytes::from(vec![b'x'; 10_000]);
        match control.compare_and_set(&key(&format!("f.k{stored}")), value, Expected::Absent).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, ControlError::Full { .. }), "{full}");
    assert!(full.to_string().contains("is full") && full.to_string().contains("give it more room"), "{full}");
    let listing = control.list(&key("f")).await.unwrap();
    assert_eq!((listing.entries.len(), stored > 0), (stored, true));

    let blobs = control.blobs();
    let whole = Bytes::from(vec![7; 2_000_000]);
    let content = futures::stream::iter([Ok(whole.clone())]).boxed();
    let full = soon(blobs.write(&Digest::of(&whole), 2_000_000, content)).await.unwrap_err();
    assert!(matches!(full, BlobStoreError::Full { .. }), "{full}");
    assert!(!blobs.contains(&Digest::of(&whole)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_named_as_the_reason_and_the_right_one_of_the_url_is_used() {
    let server = Server::with("authorization { user: spillway, password: \"p@ss/w\" }", "");
    let port = server.url().rsplit(':').next().unwrap().to_owned();
    let with = |user: &str| {
        let url = format!("nats://{user}@127.0.0.1:{port}");
        NatsControl::connect(NatsConfig { urls: vec![url], ..server.config() })
    };
    let wrong = with("spillway:guess").await.unwrap().get(&key("a")).await.unwrap_err().to_string();
    assert!(wrong.to_lowercase().contains("authorization violation") && !wrong.contains("guess"), "{wrong}");
    let right = with("spillway:p%40ss%2Fw").await.unwrap();
    assert_eq!(right.get(&key("a")).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_with_other_settings_is_refused_with_what_to_do() {
    let server = Server::start();
    let settings = async_nats::jetstream::stream::Config {
        name: "KV_spillway-acme-state".to_owned(),
        subjects: vec!["$KV.spillway-acme-state.>".to_owned()],
        ..Default::default()
    };
    server.jetstream().await.create_stream(settings).await.unwrap();
    let control = NatsControl::connect(server.config()).await.unwrap();
    let refused = control.get(&key("a")).await.unwrap_err().to_string();
    assert!(refused.contains("KV_spillway-acme-state has other settings"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_somebody_removed_is_made_anew() {
    let server = Server::start();
    let control = NatsControl::connect(server.config()).await.unwrap();
    let before = control.compare_and_set(&key("f.a"), Bytes::new(), Expected::Absent).await.unwrap();
    server.jetstream().await.delete_stream("KV_spillway-acme-state").await.unwrap();
    let gone = control.compare_and_set(&key("f.a"), Bytes::new(), Expected::Absent).await.unwrap_err();
    assert!(gone.to_string().contains("its bucket is gone"), "{gone}");
    let again = control.compare_and_set(&key("f.a"), Bytes::new(), Expected::Absent).await.unwrap();
    assert!(again > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_wrote_under_no_key_of_ours_stops_neither_listings_nor_watches() {
    let server = Server::start();
    let control = NatsControl::connect(server.config()).await.unwrap();
    let first = control.compare_and_set(&key("f.a"), Bytes::from_static(b"1"), Expected::Absent).await.unwrap();
    let other = server.jetstream().await;
    other.publish("$KV.spillway-acme-state.f.Foreign", "x".into()).await.unwrap().await.unwrap();
    control.compare_and_set(&key("f.b"), Bytes::from_static(b"2"), Expected::Absent).await.unwrap();
    assert_eq!(shown(&control.list(&key("f")).await.unwrap().entries), ["f.a=1", "f.b=2"]);
    assert_eq!(shown(&next(&mut control.watch(&key("f"), first), 1).await), ["f.b=2"]);
}

/// As much of a server as a client needs to believe that it is connected to this version.
async fn impostor(version: &'static str) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let info = format!("INFO {{\"server_id\":\"x\",\"version\":\"{version}\",\"max_payload\":1048576}}\r\n");
            stream.write_all(info.as_bytes()).await.unwrap();
            let mut line = String::new();
            while stream.read_line(&mut line).await.is_ok_and(|bytes| bytes > 0) {
                if std::mem::take(&mut line).starts_with("PING") {
                    stream.write_all(b"PONG\r\n").await.unwrap();
                }
            }
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_too_old_is_refused_with_its_version_and_ours() {
    let port = impostor("2.11.9").await;
    let config = NatsConfig::new(format!("nats://127.0.0.1:{port}"), "acme".parse().unwrap());
    let control = NatsControl::connect(config).await.unwrap();
    let refused = control.get(&key("a")).await.unwrap_err().to_string();
    assert!(refused.contains("version 2.11.9 is too old; run 2.12 or later"), "{refused}");
}
