//! How much a guest may store at once, and what it hears beyond that.

use crate::fault::{Excerpt, Fault};

/// The longest key, and the longest bucket name, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;

/// The largest value in bytes. Larger ones would hold up every other writer while they are synced.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// The most keys of one batch: a guest chooses how many, the host holds the answer.
pub const BATCH_KEYS_MAX: usize = 1024;

/// The most bytes of values of one batch.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The most keys of one page of a listing.
pub const PAGE_KEYS_MAX: usize = 1000;

/// Why a key-value call was refused.
#[derive(Debug, thiserror::Error)]
pub enum KeyValueError {
    /// The bucket's name is too long.
    #[error("bucket name {} is {bytes} bytes long; {KEY_BYTES_MAX} is the most", Excerpt(name))]
    BucketTooLong {
        /// The name.
        name: String,
        /// Its length.
        bytes: usize,
    },
    /// A key is too long.
    #[error("key {} is {bytes} bytes long; {KEY_BYTES_MAX} is the most", Excerpt(key))]
    KeyTooLong {
        /// The key.
        key: String,
        /// Its length.
        bytes: usize,
    },
    /// A value is too large.
    #[error(
        "value for key {} is {bytes} bytes long; {VALUE_BYTES_MAX} is the most, split it over several keys",
        Excerpt(key)
    )]
    ValueTooLarge {
        /// Its key.
        key: String,
        /// Its length.
        bytes: usize,
    },
    /// A batch has too many keys.
    #[error("batch has {0} keys; {BATCH_KEYS_MAX} is the most, split it")]
    BatchTooLong(usize),
    /// The values of a batch are too large together.
    #[error("values of the batch exceed {BATCH_BYTES_MAX} bytes at key {}; split it", Excerpt(key))]
    BatchTooLarge {
        /// The first key that did not fit.
        key: String,
    },
    /// What is to be incremented is no number.
    #[error("value of key {} is not a decimal number; set it to one before incrementing it", Excerpt(key))]
    NotANumber {
        /// Its key.
        key: String,
    },
    /// The sum does not fit 64 bits.
    #[error("key {} has value {value}, and adding {delta} exceeds {}; nothing was changed", Excerpt(key), u64::MAX)]
    Overflow {
        /// Its key.
        key: String,
        /// The value that it keeps.
        value: u64,
        /// What was to be added.
        delta: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<rusqlite::Error> for KeyValueError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Fault(error.into())
    }
}

pub(super) fn check_key(key: &str) -> Result<(), KeyValueError> {
    if key.len() > KEY_BYTES_MAX {
        return Err(KeyValueError::KeyTooLong { key: key.to_owned(), bytes: key.len() });
    }
    Ok(())
}

pub(super) fn check_pair(key: &str, value: &[u8]) -> Result<(), KeyValueError> {
    check_key(key)?;
    if value.len() > VALUE_BYTES_MAX {
        return Err(KeyValueError::ValueTooLarge { key: key.to_owned(), bytes: value.len() });
    }
    Ok(())
}

/// Checks keys, their number, and the length of all values together.
pub(super) fn check_batch<'a>(pairs: impl ExactSizeIterator<Item = (&'a str, usize)>) -> Result<(), KeyValueError> {
    if pairs.len() > BATCH_KEYS_MAX {
        return Err(KeyValueError::BatchTooLong(pairs.len()));
    }
    let mut bytes: usize = 0;
    for (key, length) in pairs {
        check_key(key)?;
        bytes = bytes.saturating_add(length);
        if bytes > BATCH_BYTES_MAX {
            return Err(KeyValueError::BatchTooLarge { key: key.to_owned() });
        }
    }
    Ok(())
}
