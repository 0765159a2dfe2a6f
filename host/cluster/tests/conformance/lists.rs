//! Listing what is below a prefix.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use spillway_cluster::{Expected, Version};

use crate::{World, key, over_both, shown, soon};

over_both!(
    a_listing_has_what_is_there_in_the_order_of_keys,
    nothing_below_a_prefix_is_an_empty_listing,
    a_watch_after_a_listing_continues_it_without_a_gap,
);

async fn a_listing_has_what_is_there_in_the_order_of_keys(world: World) {
    let control = world.control;
    let mut last = Version::START;
    for text in ["f.c", "f.a", "f.b.d", "fg.x", "e.x"] {
        let version = control.compare_and_set(&key(text), Bytes::from_static(b"1"), Expected::Absent).await.unwrap();
        last = if text.starts_with("f.") { version } else { last };
    }
    let listing = control.list(&key("f")).await.unwrap();
    assert_eq!(shown(&listing.entries), ["f.a=1", "f.b.d=1", "f.c=1"]);
    assert_eq!(listing.version, last);
    let a = control.get(&key("f.a")).await.unwrap().unwrap();
    assert_eq!(listing.entries[0], a);
    control.delete(&key("f.a"), a.version).await.unwrap();
    let listing = control.list(&key("f")).await.unwrap();
    assert_eq!(shown(&listing.entries), ["f.b.d=1", "f.c=1"]);
    assert!(listing.version > last, "a deletion is a change that the listing includes");
}

async fn nothing_below_a_prefix_is_an_empty_listing(world: World) {
    world.control.compare_and_set(&key("f"), Bytes::new(), Expected::Absent).await.unwrap();
    let listing = world.control.list(&key("f")).await.unwrap();
    assert_eq!((listing.entries, listing.version), (Vec::new(), Version::START));
}

pub(crate) async fn a_watch_after_a_listing_continues_it_without_a_gap(world: World) {
    const KEYS: usize = 4;
    const ROUNDS: usize = 50;
    let control = world.control;
    let writers: Vec<_> = (0..KEYS)
        .map(|n| {
            let (control, key) = (Arc::clone(&control), key(&format!("w.{n}")));
            tokio::spawn(async move {
                let mut expected = Expected::Absent;
                for round in 1..=ROUNDS {
                    let value = Bytes::from(round.to_string());
                    expected = Expected::Version(control.compare_and_set(&key, value, expected).await.unwrap());
                }
            })
        })
        .collect();
    // In the midst of it: what the listing has and what the watch adds are the end state, wherever the cut was.
    let listing = control.list(&key("w")).await.unwrap();
    let mut state: BTreeMap<_, _> = listing.entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
    let (mut changes, mut last) = (control.watch(&key("w"), listing.version), listing.version);
    let end = Bytes::from(ROUNDS.to_string());
    while state.len() < KEYS || state.values().any(|value| value.as_ref() != Some(&end)) {
        let entry = soon(changes.next()).await.unwrap().unwrap();
        assert!(entry.version > last, "{} came after {last}", entry.version);
        last = entry.version;
        state.insert(entry.key, entry.value);
    }
    for writer in writers {
        writer.await.unwrap();
    }
}
