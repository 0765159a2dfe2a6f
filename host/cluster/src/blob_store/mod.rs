//! Blobs by digest, wherever they are kept: in the node's files, or in the object store of NATS.

mod error;
mod fetch;
mod files;
mod verified;

use std::io;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use spillway_types::Digest;

pub use self::error::BlobStoreError;
pub use self::fetch::fetch_blob;
pub(crate) use self::verified::verified;
use crate::blobs::Blob;

/// The content of a blob on its way.
pub type BlobContent = BoxStream<'static, io::Result<Bytes>>;

/// In pieces of this many bytes blobs are read, and stored where they are stored in pieces.
pub(crate) const CHUNK_BYTES: usize = 128 * 1024;

/// Blobs by digest. Nothing is given or taken under a digest that is not its own.
pub trait BlobStore: Send + Sync {
    /// Whether the blob is there.
    ///
    /// # Errors
    /// The store cannot be reached, or failed.
    fn contains<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<bool, BlobStoreError>>;

    /// The content of a blob.
    ///
    /// Only a stream that ends without an error was the whole blob: a wrong digest shows at its end, as an error that
    /// [`BlobStoreError::of_content`] reads.
    ///
    /// # Errors
    /// The blob is missing, or the store cannot be reached, or failed.
    fn read<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<BlobContent, BlobStoreError>>;

    /// Stores a blob of `bytes` bytes; does nothing when it is there.
    ///
    /// # Errors
    /// The content has another digest or fails, or the store is full, cannot be reached, or failed. Then nothing is kept.
    fn write<'a>(
        &'a self,
        digest: &'a Digest,
        bytes: u64,
        content: BlobContent,
    ) -> BoxFuture<'a, Result<(), BlobStoreError>>;

    /// Removes a blob; removing what is not there succeeds. A node's own files keep what its database refers to.
    ///
    /// # Errors
    /// The store cannot be reached, or failed.
    fn remove<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<(), BlobStoreError>>;

    /// All blobs that are there, in no order.
    ///
    /// # Errors
    /// The store cannot be reached, or failed.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Blob>, BlobStoreError>>;
}
