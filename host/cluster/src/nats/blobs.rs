//! Blobs: objects named by the digits of their digest.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::object_store::{GetErrorKind, ObjectInfo};
use async_nats::jetstream::stream::Stream;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _};
use spillway_types::Digest;
use tokio_util::io::ReaderStream;

use super::Shared;
use super::failure::Failure;
use super::inventory;
use super::upload::Upload;
use crate::blob_store::{BlobContent, BlobStore, BlobStoreError, CHUNK_BYTES, verified};
use crate::blobs::Blob;

/// How long a piece of a blob may take. Beyond it, a link is as good as down.
pub(super) const CHUNK_MAX: Duration = Duration::from_secs(30);

/// The blobs of a cluster, in the object store of NATS. Clones are one.
#[derive(Clone)]
pub struct NatsBlobs {
    pub(super) shared: Arc<Shared>,
}

/// What the store says of a blob.
pub(super) struct Found {
    /// The number of the message that says so.
    pub(super) sequence: u64,
    pub(super) object: ObjectInfo,
}

impl NatsBlobs {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn error(&self, failure: Failure) -> BlobStoreError {
        failure.blobs(&self.shared.connection.servers)
    }

    /// The stream, and the number of the connection on which it was found.
    pub(super) async fn open(&self) -> Result<(u64, Stream), Failure> {
        self.shared.blobs.open(&self.shared.connection).await
    }

    /// On which subject the pieces of an object lie.
    pub(super) fn chunks(&self, nuid: &str) -> String {
        format!("$O.{}.C.{nuid}", self.shared.blobs.name())
    }

    /// On which subject it is said which object a blob is.
    pub(super) fn meta(&self, digest: &Digest) -> String {
        format!("$O.{}.M.{}", self.shared.blobs.name(), URL_SAFE.encode(digest.hex()))
    }

    /// What the store says of a blob, be it true or not.
    pub(super) async fn find(&self, digest: &Digest) -> Result<Option<Found>, Failure> {
        let (_, stream) = self.open().await?;
        match stream.get_last_raw_message_by_subject(&self.meta(digest)).await.map_err(Failure::from) {
            Ok(message) => {
                let object = serde_json::from_slice(&message.payload).map_err(|error| {
                    Failure::Other(format!(
                        "what it says of blob {digest} cannot be read ({error}); remove that object"
                    ))
                })?;
                Ok(Some(Found { sequence: message.sequence, object }))
            }
            Err(Failure::NoMessage) => Ok(None),
            Err(failure) => Err(self.noticed(failure).await),
        }
    }

    /// Lets the bucket be made anew if it has gone.
    pub(super) async fn noticed(&self, failure: Failure) -> Failure {
        if matches!(failure, Failure::NoStream) {
            self.shared.blobs.forget().await;
        }
        failure
    }

    async fn erase(&self, digest: &Digest) -> Result<(), Failure> {
        let Some(found) = self.find(digest).await? else { return Ok(()) };
        let (_, stream) = self.open().await?;
        // First what names the pieces, so that nobody begins to read what is half gone.
        stream.purge().filter(self.meta(digest)).await.map_err(|error| Failure::of(&error))?;
        stream.purge().filter(self.chunks(&found.object.nuid)).await.map_err(|error| Failure::of(&error))?;
        Ok(())
    }
}

impl Found {
    /// Whether the object claims to be the blob.
    pub(super) fn is(&self, digest: &Digest) -> bool {
        !self.object.deleted && self.object.digest.as_deref() == Some(&claim(digest))
    }
}

/// How an object store writes a digest: ADR-20.
pub(super) fn claim(digest: &Digest) -> String {
    format!("SHA-256={}", URL_SAFE.encode(digest.as_bytes()))
}

impl BlobStore for NatsBlobs {
    fn contains<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<bool, BlobStoreError>> {
        async move {
            let found = self.shared.connection.answer(self.find(digest)).await;
            Ok(found.map_err(|failure| self.error(failure))?.is_some_and(|found| found.is(digest)))
        }
        .boxed()
    }

    fn read<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<BlobContent, BlobStoreError>> {
        async move {
            let connection = &self.shared.connection;
            let opened = connection.answer(async {
                let (epoch, _) = self.open().await?;
                let bucket = connection.context.get_object_store(self.shared.blobs.name()).await;
                match bucket.map_err(|error| Failure::of(&error))?.get(digest.hex()).await {
                    Ok(mut object) => {
                        // What the store says of it is not asked: the name is the digest that counts.
                        object.info.digest = None;
                        Ok(Some((epoch, object)))
                    }
                    Err(error) if error.kind() == GetErrorKind::NotFound => Ok(None),
                    Err(error) => Err(Failure::of(&error)),
                }
            });
            let Some((epoch, object)) = opened.await.map_err(|failure| self.error(failure))? else {
                return Err(BlobStoreError::Missing(*digest));
            };
            let chunks = ReaderStream::with_capacity(object, CHUNK_BYTES).boxed();
            Ok(verified(*digest, bounded(self.clone(), epoch, chunks)))
        }
        .boxed()
    }

    fn write<'a>(
        &'a self,
        digest: &'a Digest,
        bytes: u64,
        content: BlobContent,
    ) -> BoxFuture<'a, Result<(), BlobStoreError>> {
        async move {
            let found = self.shared.connection.answer(self.find(digest)).await;
            let found = found.map_err(|failure| self.error(failure))?;
            if found.as_ref().is_some_and(|found| found.is(digest)) {
                return Ok(());
            }
            let mut upload = Upload::begin(self.clone(), *digest).await.map_err(|failure| self.error(failure))?;
            upload.send(content, bytes).await?;
            upload.publish(found).await.map_err(|failure| self.error(failure))
        }
        .boxed()
    }

    fn remove<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<(), BlobStoreError>> {
        async move { self.shared.connection.answer(self.erase(digest)).await.map_err(|failure| self.error(failure)) }
            .boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Blob>, BlobStoreError>> {
        async move { inventory::list(self).await.map_err(|failure| self.error(failure)) }.boxed()
    }
}

/// `chunks`, which fails when a piece takes too long or the connection is lost: the client would wait for ever.
fn bounded(
    blobs: NatsBlobs,
    epoch: u64,
    chunks: BoxStream<'static, std::io::Result<Bytes>>,
) -> impl futures::Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let lost = blobs.shared.connection.lost(epoch).boxed();
    stream::unfold(Some((blobs, chunks, lost)), |state| async move {
        let (blobs, mut chunks, mut lost) = state?;
        let next = tokio::select! {
            next = tokio::time::timeout(CHUNK_MAX, chunks.next()) => {
                next.map_err(|_| blobs.shared.connection.silent(CHUNK_MAX))
            }
            failure = &mut lost => Err(failure),
        };
        match next {
            Ok(chunk) => chunk.map(|chunk| (chunk, Some((blobs, chunks, lost)))),
            Err(failure) => Some((Err(blobs.error(failure).into()), None)),
        }
    })
}
