//! The node's own files as a store of blobs.

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use spillway_types::Digest;
use tokio_util::io::ReaderStream;

use super::{BlobContent, BlobStore, BlobStoreError, CHUNK_BYTES, verified};
use crate::blobs::{Blob, BlobWriter, Blobs};

impl BlobStore for Blobs {
    fn contains<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<bool, BlobStoreError>> {
        let (blobs, digest) = (self.clone(), *digest);
        blocking(move || Ok(Blobs::contains(&blobs, &digest)?)).boxed()
    }

    fn read<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<BlobContent, BlobStoreError>> {
        let (blobs, digest) = (self.clone(), *digest);
        async move {
            let file = blocking(move || Ok(blobs.open(&digest)?)).await?;
            let chunks = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK_BYTES);
            Ok(verified(digest, chunks))
        }
        .boxed()
    }

    fn write<'a>(
        &'a self,
        digest: &'a Digest,
        _bytes: u64,
        mut content: BlobContent,
    ) -> BoxFuture<'a, Result<(), BlobStoreError>> {
        async move {
            if BlobStore::contains(self, digest).await? {
                return Ok(());
            }
            let mut upload = Upload::begin(self).await?;
            while let Some(chunk) = content.next().await {
                upload = upload.write(chunk.map_err(BlobStoreError::of_content)?).await?;
            }
            upload.finish(*digest).await.map(drop)
        }
        .boxed()
    }

    fn remove<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<(), BlobStoreError>> {
        let (blobs, digest) = (self.clone(), *digest);
        blocking(move || Ok(Blobs::remove(&blobs, &digest).map(drop)?)).boxed()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Blob>, BlobStoreError>> {
        let blobs = self.clone();
        blocking(move || Ok(Blobs::list(&blobs)?)).boxed()
    }
}

/// A [`BlobWriter`] for callers that must not block.
pub(super) struct Upload(BlobWriter);

impl Upload {
    pub(super) async fn begin(blobs: &Blobs) -> Result<Self, BlobStoreError> {
        let blobs = blobs.clone();
        blocking(move || Ok(Self(blobs.begin()?))).await
    }

    pub(super) async fn write(mut self, chunk: bytes::Bytes) -> Result<Self, BlobStoreError> {
        blocking(move || {
            self.0.write(&chunk)?;
            Ok(self)
        })
        .await
    }

    /// The length, once the blob is durable.
    pub(super) async fn finish(self, digest: Digest) -> Result<u64, BlobStoreError> {
        blocking(move || Ok(self.0.finish(Some(digest))?.1)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobStoreError> + Send + 'static,
) -> Result<T, BlobStoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        // Cancelled only with the runtime, and this future with it.
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
