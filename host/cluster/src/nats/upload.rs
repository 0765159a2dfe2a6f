//! A blob on its way into the object store.

use std::collections::VecDeque;

use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_ROLLUP};
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::object_store::{ObjectInfo, ObjectOptions};
use async_nats::jetstream::stream::Stream;
use async_nats::{HeaderMap, HeaderValue};
use bytes::Bytes;
use futures::StreamExt as _;
use spillway_types::{Digest, DigestHasher};
use tokio::runtime::Handle;

use super::blobs::{CHUNK_MAX, Found, NatsBlobs, claim};
use super::failure::Failure;
use crate::blob_store::{BlobContent, BlobStoreError, CHUNK_BYTES};

/// How many pieces may be on their way at once. One at a time, each would wait for the server's disk.
const IN_FLIGHT_MAX: usize = 16;

/// An object that nothing names yet. The client's own upload leaves its pieces behind when it fails; this one takes them
/// away when it is dropped before they got a name. A node that is killed meanwhile leaves them.
pub(super) struct Upload {
    blobs: NatsBlobs,
    /// To take pieces away from.
    stream: Stream,
    /// The number of the connection: an answer that was under way when it ended never comes.
    epoch: u64,
    digest: Digest,
    /// Names the pieces. Of this upload alone, so that two of one blob do not mix.
    nuid: String,
    chunks: usize,
    bytes: usize,
    in_flight: VecDeque<PublishAckFuture>,
    /// Whether something names the pieces, or may do so: then they stay.
    named: bool,
}

impl Upload {
    pub(super) async fn begin(blobs: NatsBlobs, digest: Digest) -> Result<Self, Failure> {
        let (epoch, stream) = blobs.shared.connection.answer(blobs.open()).await?;
        let nuid = blobs.shared.connection.unique();
        let (chunks, bytes, in_flight, named) = (0, 0, VecDeque::new(), false);
        Ok(Self { blobs, stream, epoch, digest, nuid, chunks, bytes, in_flight, named })
    }

    /// Sends the whole content, and checks its digest before anybody can see it.
    pub(super) async fn send(&mut self, mut content: BlobContent, bytes: u64) -> Result<(), BlobStoreError> {
        let mut hasher = DigestHasher::default();
        // More than was announced cannot be the blob: the rest is not even read.
        while self.bytes as u64 <= bytes
            && let Some(part) = content.next().await
        {
            let mut part = part.map_err(BlobStoreError::of_content)?;
            hasher.update(&part);
            while !part.is_empty() {
                let chunk = part.split_to(part.len().min(CHUNK_BYTES));
                self.send_chunk(chunk).await.map_err(|failure| self.error(failure))?;
            }
        }
        while let Some(ack) = self.in_flight.pop_front() {
            self.stored(ack).await.map_err(|failure| self.error(failure))?;
        }
        match hasher.finish().0 {
            actual if actual == self.digest => Ok(()),
            actual => Err(BlobStoreError::Corrupt { digest: self.digest, actual }),
        }
    }

    async fn send_chunk(&mut self, chunk: Bytes) -> Result<(), Failure> {
        if self.in_flight.len() == IN_FLIGHT_MAX
            && let Some(oldest) = self.in_flight.pop_front()
        {
            self.stored(oldest).await?;
        }
        (self.chunks, self.bytes) = (self.chunks + 1, self.bytes + chunk.len());
        let context = &self.blobs.shared.connection.context;
        self.in_flight.push_back(context.publish(self.blobs.chunks(&self.nuid), chunk).await?);
        Ok(())
    }

    /// Waits until a piece is stored.
    async fn stored(&self, ack: PublishAckFuture) -> Result<(), Failure> {
        let connection = &self.blobs.shared.connection;
        let stored = tokio::select! {
            ack = tokio::time::timeout(CHUNK_MAX, ack.into_future()) => match ack {
                Ok(ack) => ack.map(drop).map_err(Failure::from),
                Err(_) => Err(connection.silent(CHUNK_MAX)),
            },
            failure = connection.lost(self.epoch) => Err(failure),
        };
        match stored {
            Ok(()) => Ok(()),
            Err(failure) => Err(self.blobs.noticed(failure).await),
        }
    }

    /// Gives the object its name in place of `found`, which was there or was no such blob.
    pub(super) async fn publish(mut self, found: Option<Found>) -> Result<(), Failure> {
        let connection = &self.blobs.shared.connection;
        let meta = serde_json::to_vec(&self.object()).expect("an object's description has nothing that JSON has not");
        let mut headers = HeaderMap::new();
        headers.insert(NATS_ROLLUP, "sub");
        let last = found.as_ref().map_or(0, |found| found.sequence);
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(last));
        let published = connection.answer(async {
            let subject = self.blobs.meta(&self.digest);
            Ok(connection.context.publish_with_headers(subject, headers, meta.into()).await?.await?)
        });
        match published.await {
            Ok(_) => self.named = true,
            // Somebody else stored the same blob meanwhile; ours goes.
            Err(Failure::WrongSequence) => {
                return match connection.answer(self.blobs.find(&self.digest)).await? {
                    Some(found) if found.is(&self.digest) => Ok(()),
                    _ => Err(Failure::WrongSequence),
                };
            }
            Err(failure) => {
                // Without an answer it may have been stored, and a name without pieces is worse than pieces without a name.
                self.named = matches!(failure, Failure::Unreachable(_));
                return Err(failure);
            }
        }
        if let Some(found) = found {
            let purge = self.stream.purge().filter(self.blobs.chunks(&found.object.nuid));
            connection.answer(async { purge.await.map_err(|error| Failure::of(&error)) }).await?;
        }
        Ok(())
    }

    fn object(&self) -> ObjectInfo {
        ObjectInfo {
            name: self.digest.hex(),
            description: None,
            metadata: Default::default(),
            headers: None,
            options: Some(ObjectOptions { link: None, max_chunk_size: Some(CHUNK_BYTES) }),
            bucket: self.blobs.shared.blobs.name().to_owned(),
            nuid: self.nuid.clone(),
            size: self.bytes,
            chunks: self.chunks,
            modified: None,
            digest: Some(claim(&self.digest)),
            deleted: false,
        }
    }

    fn error(&self, failure: Failure) -> BlobStoreError {
        failure.blobs(&self.blobs.shared.connection.servers)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Without a runtime the process ends, and the pieces stay as they would after a kill.
        if let (false, Ok(runtime)) = (self.named, Handle::try_current()) {
            let (stream, subject) = (self.stream.clone(), self.blobs.chunks(&self.nuid));
            runtime.spawn(async move {
                if let Err(error) = stream.purge().filter(&subject).await {
                    tracing::warn!(subject, %error, "pieces of a blob that was not stored stay in NATS");
                }
            });
        }
    }
}
