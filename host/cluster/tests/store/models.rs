//! Models that were added by hand.

use std::time::Duration;

use spillway_cluster::{GcPolicy, ModelError, ModelRecord, NewRevision, Store};
use spillway_types::{Digest, Scalar, Specialization};

use crate::{fixture, function, later, revision, upload};

fn record(digest: Digest, label: &str) -> ModelRecord {
    ModelRecord {
        digest,
        specialization: Specialization::default(),
        label: label.to_owned(),
        added_at_ms: 1_700_000_000_000,
        engine: "tract".to_owned(),
        inputs: vec!["x: float32[?, 2]".to_owned(), "two\nlines: int64[]".to_owned()],
        outputs: vec!["y: float32[?]".to_owned()],
    }
}

/// Blobs that a garbage collection without grace removes.
fn collected(store: &Store) -> u64 {
    let policy =
        GcPolicy { keep_revisions: 1, disk_budget_bytes: 0, grace: Duration::ZERO, staging_max_age: Duration::ZERO };
    store.gc(&policy, &[], later()).unwrap().removed_blobs
}

#[test]
fn an_added_model_stays_until_it_is_removed() {
    let fixture = fixture();
    let store = &fixture.store;
    let digest = upload(store, b"model");
    store.add_model(&record(digest, "magika.onnx")).unwrap();
    assert_eq!(store.models().unwrap(), [record(digest, "magika.onnx")]);
    assert_eq!(collected(store), 0);
    let found = store.consistency().unwrap();
    assert_eq!((found.missing.len(), found.unreferenced.len()), (0, 0));

    assert!(store.remove_model(&digest).unwrap());
    assert!(!store.remove_model(&digest).unwrap(), "it is not there any more");
    assert_eq!(store.models().unwrap(), []);
    assert_eq!(collected(store), 1);
}

#[test]
fn adding_again_renames_and_describes_anew_and_keeps_the_time() {
    let fixture = fixture();
    let store = &fixture.store;
    let digest = upload(store, b"model");
    store.add_model(&record(digest, "old.onnx")).unwrap();
    let new = ModelRecord { inputs: vec!["other".to_owned()], ..record(digest, "new.onnx") };
    store.add_model(&ModelRecord { added_at_ms: 1, ..new.clone() }).unwrap();
    assert_eq!(store.models().unwrap(), [new]);
}

#[test]
fn one_file_is_kept_once_for_each_specialization_and_removed_with_all_of_them() {
    let fixture = fixture();
    let store = &fixture.store;
    let digest = upload(store, b"model");
    let fixed = ModelRecord {
        specialization: Specialization {
            shapes: [("x".to_owned(), vec![1, 576])].into(),
            constants: [("sr", Scalar::Integer(16_000)), ("gain", Scalar::from_f64(f64::INFINITY))]
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
        },
        ..record(digest, "fixed")
    };
    for _ in 0..2 {
        store.add_model(&fixed).unwrap();
        store.add_model(&record(digest, "free")).unwrap();
    }
    let mut kept = store.models().unwrap();
    kept.sort_by_key(|model| model.label.clone());
    assert_eq!(kept, [fixed, record(digest, "free")]);
    assert!(store.remove_model(&digest).unwrap());
    assert_eq!(store.models().unwrap(), []);
}

#[test]
fn a_model_without_its_file_is_not_added() {
    let fixture = fixture();
    let digest = Digest::of(b"nowhere");
    let refused = fixture.store.add_model(&record(digest, "x")).unwrap_err();
    assert!(matches!(refused, ModelError::MissingBlob(missing) if missing == digest));
    assert_eq!(fixture.store.models().unwrap(), []);
}

#[test]
fn a_model_that_functions_may_open_is_not_removed_and_they_are_named() {
    let fixture = fixture();
    let store = &fixture.store;
    let digest = upload(store, b"model");
    store.add_model(&record(digest, "x")).unwrap();
    let with_model = |name| NewRevision { models: vec![digest], ..revision(store, name, name, &[]) };
    store.commit(&with_model("b")).unwrap();
    store.commit(&with_model("shop/a")).unwrap();
    // What it would be rolled back to counts; what only history knows does not.
    for name in ["history", "rolled-over"] {
        store.commit(&with_model(name)).unwrap();
        store.commit(&revision(store, name, "2", &[])).unwrap();
    }
    store.commit(&revision(store, "history", "3", &[])).unwrap();
    let refused = store.remove_model(&digest).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "model {digest} is used by functions default/b, default/rolled-over, shop/a; remove it there first, or \
             remove the function"
        )
    );
    for name in ["b", "shop/a", "rolled-over"] {
        store.remove(&function(name)).unwrap();
    }
    assert!(store.remove_model(&digest).unwrap());
}
