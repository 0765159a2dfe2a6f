//! Keys that one holder has for a while.

use std::time::Duration;

use bytes::Bytes;
use spillway_cluster::{ControlError, ControlKey, ControlStore, Expected, Lease, LeaseError, Version};

use crate::{World, key, next, over_both, shown, soon};

over_both!(
    a_lease_is_held_by_one_and_names_its_holder,
    a_lease_expires_and_its_watcher_sees_it,
    a_renewed_lease_outlives_its_time,
    a_lease_that_expired_is_lost_to_its_holder,
    a_released_lease_is_free_and_releasing_a_lost_one_leaves_the_new_holder,
    a_lease_taken_again_after_a_release_expires_too,
);

/// For tests that wait for the end.
const SHORT: Duration = Duration::from_secs(1);
/// For tests in which it shall not end.
const LONG: Duration = Duration::from_secs(600);

async fn acquire(control: &dyn ControlStore, holder: &'static str, ttl: Duration) -> Result<Lease, LeaseError> {
    control.acquire(&key("locks.owner"), Bytes::from_static(holder.as_bytes()), ttl).await
}

/// Waits until `key` has no value.
async fn expired(control: &dyn ControlStore, key: &ControlKey) {
    soon(async {
        while control.get(key).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

async fn a_lease_is_held_by_one_and_names_its_holder(world: World) {
    let control = &*world.control;
    let lease = acquire(control, "a", LONG).await.unwrap();
    assert_eq!(control.get(lease.key()).await.unwrap().unwrap().value.unwrap(), "a");
    for other in ["b", "a"] {
        let held = acquire(control, other, LONG).await.unwrap_err();
        assert!(matches!(&held, LeaseError::Held { by, .. } if by == "a"), "{held}");
        assert!(held.to_string().contains("lease locks.owner is held by a"), "{held}");
    }
    control.renew(&lease).await.unwrap();
    let set = control.compare_and_set(lease.key(), Bytes::new(), Expected::Absent).await.unwrap_err();
    assert!(matches!(set, ControlError::Conflict { .. }), "{set}");
}

pub(crate) async fn a_lease_expires_and_its_watcher_sees_it(world: World) {
    let control = &*world.control;
    let mut changes = control.watch(&key("locks"), Version::START);
    acquire(control, "a", SHORT).await.unwrap();
    assert_eq!(shown(&next(&mut changes, 2).await), ["locks.owner=a", "locks.owner=-"]);
    assert_eq!(control.get(&key("locks.owner")).await.unwrap(), None);
    assert_eq!(control.list(&key("locks")).await.unwrap().entries, []);
    acquire(control, "b", LONG).await.unwrap();
    assert_eq!(shown(&next(&mut changes, 1).await), ["locks.owner=b"]);
}

async fn a_renewed_lease_outlives_its_time(world: World) {
    let control = &*world.control;
    // Another lease of the same length, taken earlier, tells that the time of the first is over.
    let clock = key("locks.clock");
    let lease = acquire(control, "a", Duration::from_secs(3)).await.unwrap();
    let first = control.get(lease.key()).await.unwrap().unwrap().version;
    control.acquire(&clock, Bytes::from_static(b"clock"), Duration::from_secs(3)).await.unwrap();
    soon(async {
        while control.get(&clock).await.unwrap().is_some() {
            control.renew(&lease).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let entry = control.get(lease.key()).await.unwrap().unwrap();
    assert_eq!(entry.value.unwrap(), "a");
    assert!(entry.version > first, "a renewal is a change");
}

async fn a_lease_that_expired_is_lost_to_its_holder(world: World) {
    let control = &*world.control;
    let lease = acquire(control, "a", SHORT).await.unwrap();
    expired(control, lease.key()).await;
    let lost = control.renew(&lease).await.unwrap_err();
    assert!(matches!(lost, LeaseError::Lost(_)), "{lost}");
    let other = acquire(control, "b", LONG).await.unwrap();
    let lost = control.renew(&lease).await.unwrap_err();
    assert!(lost.to_string().contains("lease locks.owner was lost"), "{lost}");
    control.renew(&other).await.unwrap();
}

async fn a_released_lease_is_free_and_releasing_a_lost_one_leaves_the_new_holder(world: World) {
    let control = &*world.control;
    let first = acquire(control, "a", LONG).await.unwrap();
    control.release(first).await.unwrap();
    let second = acquire(control, "b", SHORT).await.unwrap();
    expired(control, second.key()).await;
    let third = acquire(control, "c", LONG).await.unwrap();
    control.release(second).await.unwrap();
    assert_eq!(control.get(third.key()).await.unwrap().unwrap().value.unwrap(), "c");
    control.renew(&third).await.unwrap();
}

/// The client's own `create_with_ttl` forgets the time to live when it writes over a deletion.
async fn a_lease_taken_again_after_a_release_expires_too(world: World) {
    let control = &*world.control;
    let lease = acquire(control, "a", LONG).await.unwrap();
    control.release(lease).await.unwrap();
    let lease = acquire(control, "b", SHORT).await.unwrap();
    expired(control, lease.key()).await;
}
