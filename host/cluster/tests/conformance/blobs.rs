//! Blobs by digest.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use spillway_cluster::{
    BlobContent, BlobStore, BlobStoreError, ModelRecord, NatsBlobs, NatsControl, Store, fetch_blob,
};
use spillway_types::{Digest, Specialization};

use crate::server::{Reach as _, Server};
use crate::{World, over_both, soon};

over_both!(
    blobs_of_any_size_read_back,
    a_blob_that_is_there_is_not_read_again,
    content_with_another_digest_is_refused_and_not_kept,
    content_that_breaks_off_is_not_kept,
    a_missing_blob_is_named,
    a_removed_blob_is_gone_and_can_be_stored_again,
    a_blob_stored_by_eight_at_once_is_whole,
    a_blob_is_fetched_into_the_nodes_files,
    all_that_is_there_is_listed_with_its_length_and_age,
);

/// Bytes that no piece of has twice.
fn made(bytes: usize) -> Bytes {
    (0..bytes).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>().into()
}

/// In uneven parts.
fn content(bytes: &Bytes) -> BlobContent {
    let parts: Vec<_> = bytes.chunks(300_007).map(|part| Ok(bytes.slice_ref(part))).collect();
    stream::iter(parts).boxed()
}

async fn write(blobs: &dyn BlobStore, bytes: &Bytes) -> Digest {
    let digest = Digest::of(bytes);
    soon(blobs.write(&digest, bytes.len() as u64, content(bytes))).await.unwrap();
    digest
}

async fn read(blobs: &dyn BlobStore, digest: &Digest) -> Result<Vec<u8>, BlobStoreError> {
    let parts: Vec<Bytes> = soon(blobs.read(digest).await?.try_collect()).await.map_err(BlobStoreError::of_content)?;
    Ok(parts.concat())
}

async fn blobs_of_any_size_read_back(world: World) {
    for bytes in [0, 1, 128 * 1024, 128 * 1024 + 1, 10 * 1024 * 1024] {
        let made = made(bytes);
        let digest = write(&*world.blobs, &made).await;
        assert!(world.blobs.contains(&digest).await.unwrap());
        assert!(read(&*world.blobs, &digest).await.unwrap() == made, "{bytes} bytes came back changed");
    }
}

async fn all_that_is_there_is_listed_with_its_length_and_age(world: World) {
    assert_eq!(world.blobs.list().await.unwrap(), []);
    let before = SystemTime::now() - Duration::from_secs(2);
    let (small, large) = (write(&*world.blobs, &made(7)).await, write(&*world.blobs, &made(300_000)).await);
    let gone = write(&*world.blobs, &made(8)).await;
    soon(world.blobs.remove(&gone)).await.unwrap();
    let mut listed = soon(world.blobs.list()).await.unwrap();
    listed.sort_by_key(|blob| blob.bytes);
    let seen: Vec<_> = listed.iter().map(|blob| (blob.digest, blob.bytes)).collect();
    assert_eq!(seen, [(small, 7), (large, 300_000)]);
    let now = SystemTime::now() + Duration::from_secs(2);
    assert!(listed.iter().all(|blob| (before..now).contains(&blob.renewed)), "{listed:?}");
}

async fn a_blob_that_is_there_is_not_read_again(world: World) {
    let digest = write(&*world.blobs, &made(1000)).await;
    let read = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&read);
    let content = stream::iter([Ok(made(1000))]).inspect(move |_| *counted.lock().unwrap() += 1).boxed();
    world.blobs.write(&digest, 1000, content).await.unwrap();
    assert_eq!(*read.lock().unwrap(), 0);
}

async fn content_with_another_digest_is_refused_and_not_kept(world: World) {
    let (announced, other) = (Digest::of(b"announced"), made(500_000));
    for bytes in [500_000, 9] {
        let refused = world.blobs.write(&announced, bytes, content(&other)).await.unwrap_err();
        assert!(matches!(refused, BlobStoreError::Corrupt { digest, .. } if digest == announced), "{refused}");
    }
    assert!(!world.blobs.contains(&announced).await.unwrap());
    assert!(!world.blobs.contains(&Digest::of(&other)).await.unwrap());
}

async fn content_that_breaks_off_is_not_kept(world: World) {
    let whole = made(600_000);
    let digest = Digest::of(&whole);
    let half = stream::iter([Ok(whole.slice(..300_000)), Err(io::Error::other("the caller hung up"))]).boxed();
    let broken = world.blobs.write(&digest, 600_000, half).await.unwrap_err();
    assert!(broken.to_string().contains("the caller hung up"), "{broken}");
    assert!(!world.blobs.contains(&digest).await.unwrap());
    assert_eq!(write(&*world.blobs, &whole).await, digest);
    assert!(read(&*world.blobs, &digest).await.unwrap() == whole);
}

async fn a_missing_blob_is_named(world: World) {
    let nowhere = Digest::of(b"nowhere");
    assert!(!world.blobs.contains(&nowhere).await.unwrap());
    let missing = read(&*world.blobs, &nowhere).await.unwrap_err();
    assert!(matches!(missing, BlobStoreError::Missing(digest) if digest == nowhere), "{missing}");
    assert!(missing.to_string().contains(&nowhere.to_string()), "{missing}");
}

async fn a_removed_blob_is_gone_and_can_be_stored_again(world: World) {
    let bytes = made(200_000);
    let digest = write(&*world.blobs, &bytes).await;
    world.blobs.remove(&digest).await.unwrap();
    assert!(!world.blobs.contains(&digest).await.unwrap());
    assert!(matches!(read(&*world.blobs, &digest).await, Err(BlobStoreError::Missing(_))));
    world.blobs.remove(&digest).await.unwrap();
    write(&*world.blobs, &bytes).await;
    assert!(read(&*world.blobs, &digest).await.unwrap() == bytes);
}

async fn a_blob_stored_by_eight_at_once_is_whole(world: World) {
    let bytes = made(700_000);
    let writers = (0..8).map(|_| {
        let (blobs, bytes) = (Arc::clone(&world.blobs), bytes.clone());
        tokio::spawn(async move { write(&*blobs, &bytes).await })
    });
    for writer in futures::future::join_all(writers).await {
        assert_eq!(writer.unwrap(), Digest::of(&bytes));
    }
    assert!(read(&*world.blobs, &Digest::of(&bytes)).await.unwrap() == bytes);
}

async fn a_blob_is_fetched_into_the_nodes_files(world: World) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let bytes = made(500_000);
    let digest = write(&*world.blobs, &bytes).await;
    let mut heard = Vec::new();
    let fetched = soon(fetch_blob(&*world.blobs, &store.blobs(), &digest, |bytes| heard.push(bytes))).await.unwrap();
    assert_eq!((fetched, heard.last()), (500_000, Some(&500_000)));
    assert!(heard.len() > 1 && heard.is_sorted(), "{heard:?}");
    assert!(read(&store.blobs(), &digest).await.unwrap() == bytes);
    // It is there now, wherever it came from.
    world.blobs.remove(&digest).await.unwrap();
    assert_eq!(fetch_blob(&*world.blobs, &store.blobs(), &digest, |_| {}).await.unwrap(), 500_000);
    let missing = fetch_blob(&*world.blobs, &store.blobs(), &Digest::of(b"nowhere"), |_| {}).await.unwrap_err();
    assert!(matches!(missing, BlobStoreError::Missing(_)), "{missing}");
}

async fn over_a_server() -> (Server, NatsBlobs) {
    let server = Server::start();
    let blobs = NatsControl::connect(server.config()).await.unwrap().blobs();
    (server, blobs)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_object_in_nats_is_refused_on_reading_and_replaced_by_the_blob() {
    let (server, blobs) = over_a_server().await;
    let good = made(300_000);
    let digest = Digest::of(&good);
    // The bucket is made by the first call.
    assert!(!blobs.contains(&digest).await.unwrap());
    let bucket = server.jetstream().await.get_object_store("spillway-acme-blobs").await.unwrap();
    bucket.put(digest.hex().as_str(), &mut &b"not the blob"[..]).await.unwrap();

    let corrupt = read(&blobs, &digest).await.unwrap_err();
    let planted = Digest::of(b"not the blob");
    assert!(
        matches!(corrupt, BlobStoreError::Corrupt { digest: d, actual } if d == digest && actual == planted),
        "{corrupt}"
    );
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let refused = fetch_blob(&blobs, &store.blobs(), &digest, |_| {}).await.unwrap_err();
    assert!(matches!(refused, BlobStoreError::Corrupt { .. }), "{refused}");
    assert_eq!((store.blobs().list().unwrap(), store.consistency().unwrap().staged), (Vec::new(), 0));

    assert!(!blobs.contains(&digest).await.unwrap());
    write(&blobs, &good).await;
    assert!(read(&blobs, &digest).await.unwrap() == good);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_stored_leaves_no_pieces_in_nats() {
    let (server, blobs) = over_a_server().await;
    let refused = blobs.write(&Digest::of(b"x"), 900_000, content(&made(900_000))).await.unwrap_err();
    assert!(matches!(refused, BlobStoreError::Corrupt { .. }), "{refused}");
    let stream = server.jetstream().await.get_stream("OBJ_spillway-acme-blobs").await.unwrap();
    soon(async {
        while stream.get_info().await.unwrap().state.messages > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_reads_our_blobs_as_objects_of_its_own() {
    let (server, blobs) = over_a_server().await;
    let bytes = made(300_000);
    let digest = write(&blobs, &bytes).await;
    let bucket = server.jetstream().await.get_object_store("spillway-acme-blobs").await.unwrap();
    let mut object = bucket.get(digest.hex()).await.unwrap();
    let mut whole = Vec::new();
    soon(tokio::io::AsyncReadExt::read_to_end(&mut object, &mut whole)).await.unwrap();
    assert!(whole == bytes);
}

#[tokio::test]
async fn a_blob_that_a_revision_refers_to_stays_in_the_nodes_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let digest = write(&store.blobs(), &made(10)).await;
    let kept = ModelRecord {
        digest,
        specialization: Specialization::default(),
        label: "kept".to_owned(),
        added_at_ms: 0,
        engine: String::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
    };
    store.add_model(&kept).unwrap();
    BlobStore::remove(&store.blobs(), &digest).await.unwrap();
    assert!(BlobStore::contains(&store.blobs(), &digest).await.unwrap());
    assert_eq!(store.consistency().unwrap().missing, []);
}

#[tokio::test]
async fn a_damaged_file_of_the_node_is_refused_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let digest = write(&store.blobs(), &made(10)).await;
    let path = store.blobs().path(&digest);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "damaged").unwrap();
    let corrupt = read(&store.blobs(), &digest).await.unwrap_err();
    assert!(matches!(corrupt, BlobStoreError::Corrupt { actual, .. } if actual == Digest::of(b"damaged")), "{corrupt}");
}
