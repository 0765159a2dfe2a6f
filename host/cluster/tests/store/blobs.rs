//! Uploading and reading blobs.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use spillway_cluster::BlobError;
use spillway_types::Digest;

use crate::{fixture, later, upload};

#[test]
fn a_blob_reads_back_under_its_digest_and_is_read_only() {
    let fixture = fixture();
    let blobs = fixture.store.blobs();
    let mut writer = blobs.begin().unwrap();
    writer.write(b"ab").unwrap();
    writer.write(b"c").unwrap();
    let expected = Digest::of(b"abc");
    assert_eq!(writer.finish(Some(expected)).unwrap(), (expected, 3));

    let mut text = String::new();
    blobs.open(&expected).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "abc");
    assert_eq!(blobs.size(&expected).unwrap(), 3);
    assert!(blobs.contains(&expected).unwrap());
    let hex = expected.hex();
    assert!(blobs.path(&expected).ends_with(format!("blobs/sha256/{}/{hex}", &hex[..2])));
    assert_eq!(fs::metadata(blobs.path(&expected)).unwrap().permissions().mode() & 0o777, 0o400);
}

#[test]
fn a_mismatch_names_both_digests_and_leaves_nothing() {
    let fixture = fixture();
    let mut writer = fixture.store.blobs().begin().unwrap();
    writer.write(b"other").unwrap();
    let (announced, actual) = (Digest::of(b"abc"), Digest::of(b"other"));
    let refused = writer.finish(Some(announced)).unwrap_err().to_string();
    assert!(refused.contains(&announced.to_string()) && refused.contains(&actual.to_string()), "{refused}");
    assert_eq!(fixture.store.blobs().list().unwrap(), []);
    assert_eq!(fixture.store.consistency().unwrap().staged, 0);
}

#[test]
fn a_dropped_upload_leaves_nothing() {
    let fixture = fixture();
    let mut writer = fixture.store.blobs().begin().unwrap();
    writer.write(b"half").unwrap();
    assert_eq!(fixture.store.consistency().unwrap().staged, 1);
    drop(writer);
    assert_eq!(fixture.store.consistency().unwrap().staged, 0);
}

#[test]
fn a_blob_that_is_there_is_not_written_again() {
    let fixture = fixture();
    let digest = upload(&fixture.store, b"model");
    let inode = || fs::metadata(fixture.store.blobs().path(&digest)).unwrap().ino();
    let before = inode();
    assert_eq!(upload(&fixture.store, b"model"), digest);
    assert_eq!(inode(), before);
    assert_eq!(fixture.store.blobs().list().unwrap().len(), 1);
}

#[test]
fn one_blob_uploaded_by_sixteen_at_once_is_one_blob() {
    let fixture = fixture();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| upload(&fixture.store, &[7; 100_000]));
        }
    });
    assert_eq!(fixture.store.blobs().list().unwrap().len(), 1);
    assert_eq!(fixture.store.consistency().unwrap().staged, 0);
}

#[test]
fn a_missing_blob_is_named() {
    let fixture = fixture();
    let digest = Digest::of(b"nowhere");
    let blobs = fixture.store.blobs();
    assert!(!blobs.contains(&digest).unwrap());
    assert!(!blobs.renew(&digest, later()).unwrap());
    assert!(matches!(blobs.open(&digest), Err(BlobError::Missing(named)) if named == digest));
    assert!(blobs.size(&digest).unwrap_err().to_string().contains(&digest.to_string()));
}

#[test]
fn files_that_are_no_blobs_are_not_listed() {
    let fixture = fixture();
    let digest = upload(&fixture.store, b"x");
    let root = fixture.store.folder().join("blobs/sha256");
    fs::write(root.join("lost"), "").unwrap();
    fs::write(root.join(&digest.hex()[..2]).join("note.txt"), "").unwrap();
    let listed: Vec<Digest> = fixture.store.blobs().list().unwrap().iter().map(|blob| blob.digest).collect();
    assert_eq!(listed, [digest]);
}

#[test]
fn a_blob_that_has_become_a_link_or_no_file_is_not_opened_renewed_or_measured() {
    let fixture = fixture();
    let blobs = fixture.store.blobs();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    let now = fs::metadata(outside.path()).unwrap().modified().unwrap();
    type Put = fn(&Path, &Path);
    let places: [(&str, Put); 3] = [
        ("symbolic", |secret, path| std::os::unix::fs::symlink(secret, path).unwrap()),
        ("hard", |secret, path| fs::hard_link(secret, path).unwrap()),
        ("folder", |_, path| fs::create_dir(path).unwrap()),
    ];
    for (name, place) in places {
        let digest = upload(&fixture.store, name.as_bytes());
        let path = blobs.path(&digest);
        fs::write(&secret, name).unwrap();
        fs::remove_file(&path).unwrap();
        place(&secret, &path);
        let before = fs::metadata(&secret).unwrap().modified().unwrap();
        for refused in [blobs.open(&digest).err(), blobs.size(&digest).err()] {
            assert!(matches!(refused, Some(BlobError::Fault(_))), "{name}: {refused:?}");
        }
        let refused = blobs.renew(&digest, now + Duration::from_secs(3600)).unwrap_err();
        assert!(refused.to_string().contains(&digest.hex()), "{name}: {refused}");
        assert_eq!(fs::metadata(&secret).unwrap().modified().unwrap(), before, "{name}");
    }
}
