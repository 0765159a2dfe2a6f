//! From a store into the node's files.

use futures::StreamExt as _;
use spillway_types::Digest;

use super::files::Upload;
use super::{BlobStore, BlobStoreError};
use crate::blobs::Blobs;

/// Copies a blob into the node's files, unless it is there; returns its length. `progress` hears how many bytes have come.
///
/// The digest is computed on the way: content that has another one is not kept.
///
/// # Errors
/// `from` has no such blob, has a corrupt one, or fails; or the disk is full or failed. Then nothing is kept.
pub async fn fetch_blob(
    from: &dyn BlobStore,
    into: &Blobs,
    digest: &Digest,
    mut progress: impl FnMut(u64),
) -> Result<u64, BlobStoreError> {
    if BlobStore::contains(into, digest).await? {
        let bytes = into.size(digest)?;
        progress(bytes);
        return Ok(bytes);
    }
    let mut content = from.read(digest).await?;
    let (mut upload, mut bytes) = (Upload::begin(into).await?, 0);
    while let Some(chunk) = content.next().await {
        let chunk = chunk.map_err(BlobStoreError::of_content)?;
        bytes += chunk.len() as u64;
        upload = upload.write(chunk).await?;
        progress(bytes);
    }
    upload.finish(*digest).await
}
