//! Opening the data folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use spillway_cluster::{ModelRecord, OpenError, Store};
use spillway_types::Specialization;

use crate::{fixture, function, revision, upload};

#[test]
fn a_fresh_folder_is_private_and_has_a_layout_version() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/b");
    let store = Store::open(&folder).unwrap();
    let mode = |path: &str| fs::metadata(store.folder().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("blobs"), mode("staging")), (0o700, 0o700, 0o700));
    assert_eq!((mode("store.sqlite"), mode("lock")), (0o600, 0o600));
    assert_eq!(fs::read_to_string(folder.join("layout")).unwrap(), "1\n");
}

#[test]
fn a_folder_in_use_is_refused_in_the_same_process_too_and_free_again_after_the_last_handle() {
    let fixture = fixture();
    let writer = fixture.store.blobs().begin().unwrap();
    let folder = fixture.folder.path().canonicalize().unwrap();
    let refused = Store::open(&folder).err().expect("second open is refused");
    assert_eq!(
        refused.to_string(),
        format!(
            "data folder {} is in use by another node (process {}); stop it or choose another folder with --data",
            folder.display(),
            std::process::id()
        )
    );
    drop(fixture.store);
    assert!(matches!(Store::open(&folder), Err(OpenError::InUse { .. })), "an upload keeps the folder open");
    drop(writer);
    Store::open(&folder).unwrap();
}

#[test]
fn another_layout_is_refused_by_number_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("layout"), "7\n").unwrap();
    let refused = Store::open(folder.path()).err().expect("layout 7 is refused").to_string();
    assert!(refused.contains("has layout version 7, and this spillway reads 1; start the spillway"), "{refused}");
    assert!(!folder.path().join("store.sqlite").exists());
}

#[test]
fn a_newer_database_is_refused_by_number() {
    let fixture = fixture();
    drop(fixture.store);
    let database = rusqlite::Connection::open(fixture.folder.path().join("store.sqlite")).unwrap();
    database.pragma_update(None, "user_version", 9).unwrap();
    drop(database);
    let refused = Store::open(fixture.folder.path()).err().expect("version 9 is refused").to_string();
    assert!(refused.contains("has database version 9, and this spillway reads 7"), "{refused}");
}

#[test]
fn a_database_of_the_first_version_is_brought_up_and_keeps_what_it_has() {
    let fixture = fixture();
    fixture.store.commit(&revision(&fixture.store, "hello", "v1", &["/hello"])).unwrap();
    let before = fixture.store.list().unwrap();
    drop(fixture.store);
    // What later versions added is taken away again.
    let database = rusqlite::Connection::open(fixture.folder.path().join("store.sqlite")).unwrap();
    let added = "DROP TABLE models; DROP TABLE control; DROP TABLE trusted_keys; DROP TABLE costs; DROP TABLE audit; DROP TABLE quotas; PRAGMA user_version = 1";
    database.execute_batch(added).unwrap();
    drop(database);
    let store = Store::open(fixture.folder.path()).unwrap();
    assert_eq!(store.list().unwrap(), before);
    assert_eq!(store.models().unwrap(), []);
}

#[test]
fn a_model_added_by_the_second_version_stays_and_is_not_described_yet() {
    let fixture = fixture();
    let digest = upload(&fixture.store, b"model");
    drop(fixture.store);
    let database = rusqlite::Connection::open(fixture.folder.path().join("store.sqlite")).unwrap();
    database
        .execute_batch(&format!(
            "DROP TABLE models; DROP TABLE control; DROP TABLE trusted_keys; DROP TABLE costs; DROP TABLE audit; DROP TABLE quotas; {}; PRAGMA user_version = 2",
            include_str!("../../src/schema/v2.sql")
        ))
        .unwrap();
    database.execute("INSERT INTO models VALUES (?1, 'm.onnx', 7)", [digest.to_string()]).unwrap();
    drop(database);
    let store = Store::open(fixture.folder.path()).unwrap();
    let old = ModelRecord {
        digest,
        specialization: Specialization::default(),
        label: "m.onnx".to_owned(),
        added_at_ms: 7,
        engine: String::new(),
        inputs: vec![],
        outputs: vec![],
    };
    assert_eq!(store.models().unwrap(), std::slice::from_ref(&old));
    // Added again it is the same model, described.
    let new = ModelRecord { inputs: vec!["x: float32[]".to_owned()], ..old };
    store.add_model(&new).unwrap();
    assert_eq!(store.models().unwrap(), [new]);
}

#[test]
fn a_damaged_database_is_an_error_that_names_the_folder() {
    let fixture = fixture();
    drop(fixture.store);
    fs::write(
        fixture.folder.path().join("store.sqlite"),
        "not a database, but long enough to be read as one".repeat(9),
    )
    .unwrap();
    let refused = Store::open(fixture.folder.path()).err().expect("damage is noticed").to_string();
    assert!(refused.contains("data folder") && refused.contains("not a database"), "{refused}");
}

#[test]
fn a_file_in_the_place_of_the_folder_is_an_error_that_names_it() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("data");
    fs::write(&file, "x").unwrap();
    let refused = Store::open(&file).err().expect("a file is no folder").to_string();
    assert!(refused.contains("cannot create folder") && refused.contains("data"), "{refused}");
}

#[test]
fn what_was_committed_is_there_after_reopening_and_unfinished_uploads_are_gone() {
    let fixture = fixture();
    fixture.store.commit(&revision(&fixture.store, "hello", "v1", &["/hello"])).unwrap();
    let before = fixture.store.list().unwrap();
    drop(fixture.store);
    // What a killed node leaves: an upload under way, and a layout that was being written.
    fs::write(fixture.folder.path().join("staging/.tmpAbCdEf"), "half").unwrap();
    fs::write(fixture.folder.path().join("layout.new"), "").unwrap();
    let store = Store::open(fixture.folder.path()).unwrap();
    assert_eq!(store.list().unwrap(), before);
    assert_eq!(store.get(&function("hello")).unwrap().as_ref(), before.first());
    let found = store.consistency().unwrap();
    assert_eq!((found.missing.len(), found.unreferenced.len(), found.staged), (0, 0, 0));
}
