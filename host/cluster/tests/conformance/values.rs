//! Reading and changing single keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use spillway_cluster::{CONTROL_VALUE_BYTES_MAX, ControlError, Expected};

use crate::{World, key, over_both};

over_both!(
    a_value_reads_back_with_its_version,
    a_write_that_expects_something_else_changes_nothing_and_is_told_what_is_there,
    of_sixteen_writers_exactly_one_wins_each_round,
    a_deleted_key_is_absent_and_can_be_made_anew,
    values_up_to_the_limit_are_kept_and_a_longer_one_is_refused,
    keys_as_long_as_allowed_and_keys_below_other_keys_are_apart,
);

async fn a_value_reads_back_with_its_version(world: World) {
    let (control, hello) = (world.control, key("functions.default.hello"));
    assert_eq!(control.get(&hello).await.unwrap(), None);
    let first = control.compare_and_set(&hello, Bytes::from_static(b"1"), Expected::Absent).await.unwrap();
    let entry = control.get(&hello).await.unwrap().unwrap();
    assert_eq!((&entry.key, entry.value.as_deref(), entry.version), (&hello, Some(&b"1"[..]), first));
    let second = control.compare_and_set(&hello, Bytes::new(), Expected::Version(first)).await.unwrap();
    assert!(second > first);
    let entry = control.get(&hello).await.unwrap().unwrap();
    assert_eq!((entry.value.as_deref(), entry.version), (Some(&b""[..]), second));
}

async fn a_write_that_expects_something_else_changes_nothing_and_is_told_what_is_there(world: World) {
    let (control, a, b) = (world.control, key("a"), key("b"));
    let first = control.compare_and_set(&a, Bytes::from_static(b"1"), Expected::Absent).await.unwrap();
    let second = control.compare_and_set(&a, Bytes::from_static(b"2"), Expected::Version(first)).await.unwrap();
    let found = |error: ControlError| match error {
        ControlError::Conflict { found, .. } => found,
        other => panic!("not a conflict: {other}"),
    };
    let set = |key, expected| control.compare_and_set(key, Bytes::from_static(b"x"), expected);
    assert_eq!(found(set(&a, Expected::Absent).await.unwrap_err()), Some(second));
    assert_eq!(found(set(&a, Expected::Version(first)).await.unwrap_err()), Some(second));
    assert_eq!(found(set(&b, Expected::Version(second)).await.unwrap_err()), None);
    assert_eq!(found(control.delete(&a, first).await.unwrap_err()), Some(second));
    assert_eq!(found(control.delete(&b, second).await.unwrap_err()), None);
    assert_eq!(control.get(&a).await.unwrap().unwrap().value.unwrap(), "2");
    assert_eq!(control.get(&b).await.unwrap(), None);
}

pub(crate) async fn of_sixteen_writers_exactly_one_wins_each_round(world: World) {
    let (control, counter) = (world.control, key("counter"));
    let mut expected = Expected::Absent;
    for round in 0..8 {
        let writers = (0..16).map(|writer| {
            let (control, counter) = (Arc::clone(&control), counter.clone());
            tokio::spawn(async move {
                let value = Bytes::from(format!("{round} by {writer}"));
                (value.clone(), control.compare_and_set(&counter, value, expected).await)
            })
        });
        let answers = futures::future::join_all(writers).await.into_iter().map(Result::unwrap);
        let (won, lost): (Vec<_>, Vec<_>) = answers.partition(|(_, answer)| answer.is_ok());
        assert_eq!((won.len(), lost.len()), (1, 15), "round {round}");
        let (value, version) = (&won[0].0, *won[0].1.as_ref().unwrap());
        for (_, answer) in &lost {
            assert!(matches!(answer, Err(ControlError::Conflict { found: Some(found), .. }) if *found == version));
        }
        let entry = control.get(&counter).await.unwrap().unwrap();
        assert_eq!((entry.value.as_ref(), entry.version), (Some(value), version));
        expected = Expected::Version(version);
    }
}

async fn a_deleted_key_is_absent_and_can_be_made_anew(world: World) {
    let (control, a) = (world.control, key("a"));
    let first = control.compare_and_set(&a, Bytes::from_static(b"1"), Expected::Absent).await.unwrap();
    control.delete(&a, first).await.unwrap();
    assert_eq!(control.get(&a).await.unwrap(), None);
    let stale = control.compare_and_set(&a, Bytes::new(), Expected::Version(first)).await.unwrap_err();
    assert!(matches!(stale, ControlError::Conflict { found: None, .. }), "{stale}");
    let again = control.compare_and_set(&a, Bytes::from_static(b"2"), Expected::Absent).await.unwrap();
    assert!(again > first);
    assert_eq!(control.get(&a).await.unwrap().unwrap().value.unwrap(), "2");
}

async fn values_up_to_the_limit_are_kept_and_a_longer_one_is_refused(world: World) {
    let (control, large) = (world.control, key("large"));
    let value = Bytes::from((0..CONTROL_VALUE_BYTES_MAX).map(|n| (n % 251) as u8).collect::<Vec<_>>());
    control.compare_and_set(&large, value.clone(), Expected::Absent).await.unwrap();
    assert!(control.get(&large).await.unwrap().unwrap().value.unwrap() == value, "the value came back changed");
    let longer = Bytes::from(vec![0; CONTROL_VALUE_BYTES_MAX + 1]);
    let refused = control.compare_and_set(&key("larger"), longer, Expected::Absent).await.unwrap_err();
    assert!(matches!(refused, ControlError::TooLarge { bytes: 524_289, most: 524_288, .. }), "{refused}");
    assert!(refused.to_string().starts_with("value for larger is 524289 bytes long"), "{refused}");
    assert_eq!(control.get(&key("larger")).await.unwrap(), None);
}

async fn keys_as_long_as_allowed_and_keys_below_other_keys_are_apart(world: World) {
    let long = format!("{}.{}", "x".repeat(127), "-0".repeat(64));
    assert_eq!(long.len(), 256);
    let keys = ["a", "a.b", "a.b.c", "a-b", "0", "-", long.as_str()];
    for text in keys {
        let value = Bytes::copy_from_slice(text.as_bytes());
        world.control.compare_and_set(&key(text), value, Expected::Absent).await.unwrap();
    }
    for text in keys {
        assert_eq!(world.control.get(&key(text)).await.unwrap().unwrap().value.unwrap(), text);
    }
    let below: BTreeSet<String> =
        world.control.list(&key("a")).await.unwrap().entries.iter().map(|entry| entry.key.to_string()).collect();
    assert_eq!(below, BTreeSet::from(["a.b".to_owned(), "a.b.c".to_owned()]));
}
