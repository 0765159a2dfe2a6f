//! Watching what is below a prefix.

use bytes::Bytes;
use futures::StreamExt as _;
use spillway_cluster::{ControlStore, Expected, Version};

use crate::{World, key, next, over_both, shown};

over_both!(
    a_watch_from_the_start_sees_the_latest_of_each_key_then_every_change,
    a_watch_from_a_version_sees_what_came_after_it_and_nothing_twice,
    a_deletion_is_a_change_without_a_value,
    two_watches_see_the_same,
);

async fn set(control: &dyn ControlStore, text: &str, value: &'static str, expected: Expected) -> Version {
    control.compare_and_set(&key(text), Bytes::from_static(value.as_bytes()), expected).await.unwrap()
}

async fn a_watch_from_the_start_sees_the_latest_of_each_key_then_every_change(world: World) {
    let control = &*world.control;
    let a = set(control, "f.a", "1", Expected::Absent).await;
    set(control, "f.b", "1", Expected::Absent).await;
    let a = set(control, "f.a", "2", Expected::Version(a)).await;
    set(control, "g.c", "1", Expected::Absent).await;
    set(control, "f", "1", Expected::Absent).await;
    let mut changes = control.watch(&key("f"), Version::START);
    assert_eq!(shown(&next(&mut changes, 2).await), ["f.b=1", "f.a=2"]);
    for (value, text) in [("3", "f.a=3"), ("4", "f.a=4")] {
        let last = control.get(&key("f.a")).await.unwrap().unwrap().version;
        let version = set(control, "f.a", value, Expected::Version(last)).await;
        let seen = next(&mut changes, 1).await;
        assert_eq!((shown(&seen), seen[0].version), (vec![text.to_owned()], version));
        assert!(version > a);
    }
}

async fn a_watch_from_a_version_sees_what_came_after_it_and_nothing_twice(world: World) {
    let control = &*world.control;
    let mut versions = Vec::new();
    for n in 0..40 {
        versions.push(set(control, &format!("f.k{n}"), "1", Expected::Absent).await);
    }
    let mut changes = control.watch(&key("f"), versions[9]);
    let seen: Vec<_> = next(&mut changes, 30).await.iter().map(|entry| entry.version).collect();
    assert_eq!(seen, versions[10..]);
    // Nothing is left over: what comes next is what happens next.
    let more = set(control, "f.more", "1", Expected::Absent).await;
    assert_eq!(next(&mut changes, 1).await[0].version, more);
    // From the end, a watch waits.
    let mut changes = control.watch(&key("f"), more);
    set(control, "f.last", "1", Expected::Absent).await;
    assert_eq!(shown(&next(&mut changes, 1).await), ["f.last=1"]);
}

async fn a_deletion_is_a_change_without_a_value(world: World) {
    let control = &*world.control;
    let mut changes = control.watch(&key("f"), Version::START);
    let a = set(control, "f.a", "1", Expected::Absent).await;
    assert_eq!(shown(&next(&mut changes, 1).await), ["f.a=1"]);
    control.delete(&key("f.a"), a).await.unwrap();
    let gone = next(&mut changes, 1).await;
    assert_eq!(shown(&gone), ["f.a=-"]);
    assert!(gone[0].version > a);
    // Who comes later sees it, too.
    assert_eq!(next(&mut control.watch(&key("f"), a), 1).await, gone);
    let again = set(control, "f.a", "2", Expected::Absent).await;
    assert_eq!(next(&mut changes, 1).await[0].version, again);
}

async fn two_watches_see_the_same(world: World) {
    let control = &*world.control;
    let watches = [control.watch(&key("f"), Version::START), control.watch(&key("f"), Version::START)];
    let readers = watches.map(|changes| tokio::spawn(changes.take(20).collect::<Vec<_>>()));
    for n in 0..20 {
        set(control, &format!("f.k{n}"), "1", Expected::Absent).await;
    }
    let [first, second] = readers;
    let seen = |entries: Vec<Result<_, _>>| entries.into_iter().map(Result::unwrap).collect::<Vec<_>>();
    let (first, second) = (seen(crate::soon(first).await.unwrap()), seen(crate::soon(second).await.unwrap()));
    assert_eq!((first.len(), &first), (20, &second));
}
