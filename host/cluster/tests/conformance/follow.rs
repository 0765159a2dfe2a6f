//! Following a store through what happens to it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use spillway_cluster::{ControlStore, Expected, Followed, NatsControl, Version, follow};

use crate::server::{Reach as _, Server};
use crate::{World, key, over_both, shown, soon};

over_both!(what_is_there_comes_first_then_every_change_once, changes_that_only_listings_show_are_yielded_once,);

/// Never lists again by itself within a test.
const SELDOM: Duration = Duration::from_secs(3600);

/// What happened next, in a word or as `key=value`.
async fn step(followed: &mut BoxStream<'static, Followed>) -> String {
    match soon(followed.next()).await.expect("following does not end") {
        Followed::Connected => "connected".to_owned(),
        Followed::Disconnected(_) => "disconnected".to_owned(),
        Followed::Changed(entry) => shown(&[entry]).remove(0),
    }
}

async fn steps(followed: &mut BoxStream<'static, Followed>, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        all.push(step(followed).await);
    }
    all
}

async fn set(control: &dyn ControlStore, text: &str, value: &'static str) -> Version {
    let expected = match soon(control.get(&key(text))).await.unwrap() {
        Some(entry) => Expected::Version(entry.version),
        None => Expected::Absent,
    };
    control.compare_and_set(&key(text), Bytes::from_static(value.as_bytes()), expected).await.unwrap()
}

async fn what_is_there_comes_first_then_every_change_once(world: World) {
    let control = &*world.control;
    set(control, "f.a", "1").await;
    let b = set(control, "f.b", "1").await;
    let mut followed = follow(Arc::clone(&world.control), key("f"), SELDOM);
    assert_eq!(steps(&mut followed, 3).await, ["f.a=1", "f.b=1", "connected"]);
    set(control, "f.a", "2").await;
    control.delete(&key("f.b"), b).await.unwrap();
    set(control, "f.c", "1").await;
    assert_eq!(steps(&mut followed, 3).await, ["f.a=2", "f.b=-", "f.c=1"]);
}

async fn changes_that_only_listings_show_are_yielded_once(world: World) {
    let control = &*world.control;
    set(control, "f.a", "1").await;
    // So often that listings and watch overlap all the time.
    let mut followed = follow(Arc::clone(&world.control), key("f"), Duration::from_millis(1));
    assert_eq!(steps(&mut followed, 2).await, ["f.a=1", "connected"]);
    for round in 0..20 {
        let b = set(control, "f.b", "1").await;
        assert_eq!(step(&mut followed).await, "f.b=1", "round {round}");
        control.delete(&key("f.b"), b).await.unwrap();
        assert_eq!(step(&mut followed).await, "f.b=-", "round {round}");
    }
}

/// Waits until the server answers again.
async fn back(control: &NatsControl) {
    soon(async { while control.get(&key("f.a")).await.is_err() {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_disturbs_nothing_and_what_changed_meanwhile_is_yielded() {
    let mut server = Server::start();
    let control = NatsControl::connect(server.config()).await.unwrap();
    set(&control, "f.a", "1").await;
    set(&control, "f.b", "1").await;
    let mut followed = follow(Arc::new(control.clone()), key("f"), SELDOM);
    assert_eq!(steps(&mut followed, 3).await, ["f.a=1", "f.b=1", "connected"]);
    server.stop();
    assert_eq!(step(&mut followed).await, "disconnected");
    server.start_again();
    // Nothing of what was yielded before is yielded again.
    assert_eq!(step(&mut followed).await, "connected");
    back(&control).await;
    set(&control, "f.b", "2").await;
    assert_eq!(step(&mut followed).await, "f.b=2");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_data_is_yielded_as_deletions_and_what_is_written_anew_as_changes() {
    let mut server = Server::start();
    let control = NatsControl::connect(server.config()).await.unwrap();
    set(&control, "f.a", "1").await;
    set(&control, "f.b", "1").await;
    let mut followed = follow(Arc::new(control.clone()), key("f"), SELDOM);
    assert_eq!(steps(&mut followed, 3).await, ["f.a=1", "f.b=1", "connected"]);
    server.stop();
    server.lose_data();
    assert_eq!(step(&mut followed).await, "disconnected");
    server.start_again();
    assert_eq!(steps(&mut followed, 3).await, ["f.a=-", "f.b=-", "connected"]);
    back(&control).await;
    set(&control, "f.a", "1").await;
    assert_eq!(step(&mut followed).await, "f.a=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_there_at_first_is_said_to_be_away_once() {
    let mut server = Server::start();
    server.stop();
    let control = NatsControl::connect(server.config()).await.unwrap();
    let mut followed = follow(Arc::new(control), key("f"), SELDOM);
    assert_eq!(step(&mut followed).await, "disconnected");
    // Asked for more while it is away, it has nothing more to say.
    let more = tokio::time::timeout(Duration::from_secs(5), followed.next()).await;
    assert!(more.is_err(), "{more:?}");
    server.start_again();
    assert_eq!(step(&mut followed).await, "connected");
}
