//! What can go wrong with a store of blobs.

use std::io;

use spillway_types::Digest;

use crate::blobs::BlobError;
use crate::fault::Fault;

/// Why a store of blobs did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum BlobStoreError {
    /// There is no such blob.
    #[error("blob {0} is not in the store; deploy what names it again from where it is")]
    Missing(Digest),
    /// The bytes are not those that the digest names.
    #[error("content of blob {digest} has digest {actual}, so it was refused; store it again from a sound copy")]
    Corrupt {
        /// What was asked for.
        digest: Digest,
        /// What the bytes hash to, as far as they were read.
        actual: Digest,
    },
    /// The store gave no answer.
    #[error("blob store {store} is unreachable: {reason}; check that it runs and that --join names it")]
    Unreachable {
        /// Where it should be.
        store: String,
        /// What was noticed.
        reason: String,
    },
    /// The store has no room.
    #[error("blob store {store} is full: {reason}; remove what is not needed, or give it more room")]
    Full {
        /// Which store.
        store: String,
        /// What it said.
        reason: String,
    },
    /// The content broke off before its end.
    #[error("content broke off: {0}; try again")]
    BrokeOff(#[source] io::Error),
    /// The store failed.
    #[error(transparent)]
    Fault(Fault),
}

impl BlobStoreError {
    /// What an error of a blob's content means.
    pub fn of_content(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) => Self::BrokeOff(error),
        }
    }
}

impl From<BlobStoreError> for io::Error {
    /// For the content of a blob; [`BlobStoreError::of_content`] undoes it.
    fn from(error: BlobStoreError) -> Self {
        let kind = match &error {
            BlobStoreError::Missing(_) => io::ErrorKind::NotFound,
            BlobStoreError::Corrupt { .. } => io::ErrorKind::InvalidData,
            BlobStoreError::Unreachable { .. } => io::ErrorKind::TimedOut,
            BlobStoreError::Full { .. } => io::ErrorKind::StorageFull,
            BlobStoreError::BrokeOff(error) => error.kind(),
            BlobStoreError::Fault(_) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl From<Fault> for BlobStoreError {
    fn from(fault: Fault) -> Self {
        if fault.is_disk_full() {
            return Self::Full { store: "of this node".to_owned(), reason: fault.to_string() };
        }
        Self::Fault(fault)
    }
}

impl From<BlobError> for BlobStoreError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Mismatch { expected, actual } => Self::Corrupt { digest: expected, actual },
            BlobError::Missing(digest) => Self::Missing(digest),
            BlobError::Fault(fault) => fault.into(),
            discarded @ BlobError::Discarded => Self::BrokeOff(io::Error::other(discarded)),
        }
    }
}
