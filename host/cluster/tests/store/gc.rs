//! Garbage collection and found.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use spillway_cluster::{BlobError, GcPolicy, GcReport, NewRevision};
use spillway_types::Digest;

use crate::{fixture, function, later, revision, upload};

const HOUR: Duration = Duration::from_secs(3600);

fn policy(keep_revisions: usize) -> GcPolicy {
    GcPolicy { keep_revisions, disk_budget_bytes: u64::MAX, grace: HOUR, staging_max_age: HOUR }
}

#[test]
fn old_revisions_go_with_their_blobs_and_the_last_two_stay() {
    let fixture = fixture();
    let store = &fixture.store;
    let model = upload(store, b"model");
    for version in ["v1", "v2", "v3", "v4"] {
        let new = NewRevision { models: vec![model], ..revision(store, "hello", version, &["/hello"]) };
        store.commit(&new).unwrap();
    }
    let report = store.gc(&policy(1), &[], later()).unwrap();
    // Two bundles of two bytes go; two of them and the model of five stay.
    let expected =
        GcReport { removed_revisions: 2, removed_blobs: 2, removed_uploads: 0, freed_bytes: 4, kept_bytes: 9 };
    assert_eq!(report, expected);
    let numbers: Vec<u64> =
        store.get(&function("hello")).unwrap().unwrap().revisions.iter().map(|r| r.number).collect();
    assert_eq!(numbers, [3, 4]);
    store.activate(&function("hello"), 3).unwrap();
    let found = store.consistency().unwrap();
    assert_eq!((found.missing.len(), found.unreferenced.len()), (0, 0));
}

#[test]
fn a_revision_that_was_rolled_back_to_and_the_one_before_it_stay() {
    let fixture = fixture();
    let store = &fixture.store;
    for version in ["v1", "v2", "v3", "v4"] {
        store.commit(&revision(store, "hello", version, &[])).unwrap();
    }
    store.activate(&function("hello"), 3).unwrap();
    store.activate(&function("hello"), 1).unwrap();
    store.gc(&policy(0), &[], later()).unwrap();
    let record = store.get(&function("hello")).unwrap().unwrap();
    assert_eq!((record.active, record.previous), (1, Some(3)));
    assert_eq!(record.revisions.iter().map(|r| r.number).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn an_uploaded_blob_stays_for_its_grace_period_which_renewing_restarts() {
    let fixture = fixture();
    let store = &fixture.store;
    let digest = upload(store, b"for a deploy");
    store.gc(&policy(1), &[], SystemTime::now()).unwrap();
    assert_eq!(store.consistency().unwrap().unreferenced, [digest]);

    assert!(store.blobs().renew(&digest, later()).unwrap());
    store.gc(&policy(1), &[], later()).unwrap();
    assert!(store.blobs().contains(&digest).unwrap());

    let report = store.gc(&policy(1), &[], later() + 2 * HOUR).unwrap();
    assert_eq!((report.removed_blobs, report.freed_bytes, report.kept_bytes), (1, 12, 0));
    assert!(!store.blobs().contains(&digest).unwrap());
}

#[test]
fn uploading_a_blob_again_restarts_its_grace_period() {
    let fixture = fixture();
    let store = &fixture.store;
    let digest = upload(store, b"bundle");
    store.blobs().renew(&digest, SystemTime::UNIX_EPOCH).unwrap();
    upload(store, b"bundle");
    assert_eq!(store.gc(&policy(1), &[], SystemTime::now()).unwrap().removed_blobs, 0);
}

#[test]
fn a_blob_in_use_keeps_its_file_until_it_is_in_use_no_more() {
    let fixture = fixture();
    let store = &fixture.store;
    let new = revision(store, "hello", "v1", &[]);
    store.commit(&new).unwrap();
    store.remove(&new.function).unwrap();
    assert_eq!(store.gc(&policy(1), &[new.bundle], later()).unwrap().removed_blobs, 0);
    assert_eq!(store.gc(&policy(1), &[], later()).unwrap().removed_blobs, 1);
}

#[test]
fn over_the_budget_revisions_within_the_count_go_but_not_the_last_two() {
    let fixture = fixture();
    let store = &fixture.store;
    for version in ["v1", "v2", "v3", "v4"] {
        store.commit(&revision(store, "hello", version, &[])).unwrap();
    }
    let tight = GcPolicy { disk_budget_bytes: 6, ..policy(10) };
    assert_eq!(store.gc(&tight, &[], later()).unwrap().removed_revisions, 1);
    let tighter = GcPolicy { disk_budget_bytes: 1, ..policy(10) };
    let report = store.gc(&tighter, &[], later()).unwrap();
    assert_eq!((report.removed_revisions, report.kept_bytes), (1, 4), "what must stay may exceed the budget");
}

#[test]
fn an_upload_that_stands_still_is_discarded_and_says_so() {
    let fixture = fixture();
    let store = &fixture.store;
    let mut writer = store.blobs().begin().unwrap();
    writer.write(b"half").unwrap();
    assert_eq!(store.gc(&policy(1), &[], SystemTime::now()).unwrap().removed_uploads, 0);
    let report = store.gc(&policy(1), &[], later()).unwrap();
    assert_eq!((report.removed_uploads, report.freed_bytes), (1, 4));
    assert!(matches!(writer.finish(None), Err(BlobError::Discarded)));
}

#[test]
fn the_audit_names_a_blob_that_somebody_deleted() {
    let fixture = fixture();
    let store = &fixture.store;
    let new = revision(store, "hello", "v1", &[]);
    store.commit(&new).unwrap();
    fs::remove_file(store.blobs().path(&new.bundle)).unwrap();
    assert_eq!(store.consistency().unwrap().missing, [new.bundle]);
}

#[test]
fn deploys_beside_garbage_collection_lose_no_blob() {
    let fixture = fixture();
    let store = &fixture.store;
    let done = AtomicBool::new(false);
    // No grace at all: a blob may go between upload and commit, and then the commit must say so rather than refer to it.
    let ruthless = GcPolicy { grace: Duration::ZERO, staging_max_age: Duration::MAX, ..policy(1) };
    let missing = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.gc(&ruthless, &[], later()).unwrap();
                assert_eq!(store.consistency().unwrap().missing, [] as [Digest; 0]);
            }
        });
        let deploys: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn(move || {
                    // Few contents, so that the same blob is uploaded, dropped and found again.
                    let commit = |round: u32| {
                        let new = revision(store, &format!("f{thread}"), &format!("v{}", round % 5), &[]);
                        matches!(store.commit(&new), Err(spillway_cluster::CommitError::MissingBlob(_)))
                    };
                    (0..50).filter(|round| commit(*round)).count()
                })
            })
            .collect();
        let missing: Vec<_> = deploys.into_iter().map(|deploy| deploy.join()).collect();
        // Before any failed deploy is looked at: the other thread must end with this test either way.
        done.store(true, Ordering::Relaxed);
        missing.into_iter().map(|missing| missing.unwrap()).sum::<usize>()
    });
    assert!(missing < 200, "some deploys came through");
    assert_eq!(store.consistency().unwrap().missing, [] as [Digest; 0]);
}
