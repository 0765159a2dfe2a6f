//! What only the store of a node that is alone can show: time that the test sets, and one folder for all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use spillway_cluster::{ControlStore, EmbeddedControl, Expected, LeaseError, Store, Version};

use crate::{key, next, shown};

/// A clock, and what sets it, in seconds.
fn clock() -> (Arc<AtomicU64>, spillway_cluster::Clock) {
    let seconds = Arc::new(AtomicU64::new(1_800_000_000));
    let shown = Arc::clone(&seconds);
    (seconds, Arc::new(move || UNIX_EPOCH + Duration::from_secs(shown.load(Ordering::SeqCst))))
}

#[tokio::test]
async fn a_lease_ends_exactly_with_its_time_by_the_given_clock() {
    let folder = tempfile::tempdir().unwrap();
    let (seconds, clock) = clock();
    let control = EmbeddedControl::new(Store::open(folder.path()).unwrap(), clock);
    let owner = key("locks.owner");
    let lease = control.acquire(&owner, Bytes::from_static(b"a"), Duration::from_secs(30)).await.unwrap();
    seconds.fetch_add(29, Ordering::SeqCst);
    control.renew(&lease).await.unwrap();
    seconds.fetch_add(29, Ordering::SeqCst);
    let held = control.acquire(&owner, Bytes::from_static(b"b"), Duration::from_secs(30)).await.unwrap_err();
    assert!(matches!(held, LeaseError::Held { .. }), "{held}");
    seconds.fetch_add(1, Ordering::SeqCst);
    control.acquire(&owner, Bytes::from_static(b"b"), Duration::from_secs(30)).await.unwrap();
    assert!(matches!(control.renew(&lease).await.unwrap_err(), LeaseError::Lost(_)));
}

#[tokio::test]
async fn a_watch_sees_a_lease_expire_when_the_clock_is_set_on() {
    let folder = tempfile::tempdir().unwrap();
    let (seconds, clock) = clock();
    let control = EmbeddedControl::new(Store::open(folder.path()).unwrap(), clock);
    let mut changes = control.watch(&key("locks"), Version::START);
    control.acquire(&key("locks.owner"), Bytes::from_static(b"a"), Duration::from_secs(3600)).await.unwrap();
    assert_eq!(shown(&next(&mut changes, 1).await), ["locks.owner=a"]);
    seconds.fetch_add(3600, Ordering::SeqCst);
    assert_eq!(shown(&next(&mut changes, 1).await), ["locks.owner=-"]);
}

#[tokio::test]
async fn deletions_are_forgotten_after_a_day_and_versions_are_never_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (seconds, clock) = clock();
    let control = EmbeddedControl::new(Store::open(folder.path()).unwrap(), clock);
    let mut gone = Version::START;
    for text in ["f.a", "f.b"] {
        gone = control.compare_and_set(&key(text), Bytes::new(), Expected::Absent).await.unwrap();
        control.delete(&key(text), gone).await.unwrap();
        seconds.fetch_add(25 * 3600, Ordering::SeqCst);
    }
    let mut changes = control.watch(&key("f"), Version::START);
    assert_eq!(shown(&next(&mut changes, 1).await), ["f.b=-"]);
    let new = control.compare_and_set(&key("f.c"), Bytes::new(), Expected::Absent).await.unwrap();
    assert!(new > gone);
}

#[tokio::test]
async fn a_reopened_folder_has_what_it_had_and_all_handles_wake_each_others_watches() {
    let folder = tempfile::tempdir().unwrap();
    let (_, clock) = clock();
    let control = EmbeddedControl::new(Store::open(folder.path()).unwrap(), Arc::clone(&clock));
    let version = control.compare_and_set(&key("f.a"), Bytes::from_static(b"1"), Expected::Absent).await.unwrap();
    drop(control);
    let store = Store::open(folder.path()).unwrap();
    let one = EmbeddedControl::new(store.clone(), Arc::clone(&clock));
    let other = EmbeddedControl::new(store, clock);
    assert_eq!(one.get(&key("f.a")).await.unwrap().unwrap().version, version);
    let mut changes = one.watch(&key("f"), version);
    other.compare_and_set(&key("f.b"), Bytes::from_static(b"2"), Expected::Absent).await.unwrap();
    assert_eq!(shown(&next(&mut changes, 1).await), ["f.b=2"]);
    assert!(one.durability().await.is_safe());
}
