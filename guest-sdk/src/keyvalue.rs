//! Keys and values that outlive a sandbox, in buckets that `[capabilities] keyvalue` of `spillway.toml` lists.
//!
//! ```
//! # fn main() -> Result<(), spillway_sdk::HostError> {
//! use spillway_sdk::keyvalue;
//!
//! let visits = keyvalue::open("default")?.increment("visits", 1)?;
//! # Ok(())
//! # }
//! ```

use std::fmt;

use crate::host::{self, HostError};

/// Opens the bucket `name`.
///
/// # Errors
/// The manifest does not list it, or the store fails.
pub fn open(name: &str) -> Result<Bucket, HostError> {
    Ok(Bucket { handle: host::Bucket::open(name)?, name: name.to_owned() })
}

/// A bucket: keys are strings, values are bytes.
pub struct Bucket {
    handle: host::Bucket,
    name: String,
}

impl Bucket {
    /// The value under `key`, if there is one.
    ///
    /// # Errors
    /// The store fails.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        self.handle.get(key)
    }

    /// Stores `value` under `key`, replacing what was there.
    ///
    /// # Errors
    /// The store fails or is full.
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<(), HostError> {
        self.handle.set(key, value.as_ref())
    }

    /// Removes `key`; removing what is not there succeeds.
    ///
    /// # Errors
    /// The store fails.
    pub fn delete(&self, key: &str) -> Result<(), HostError> {
        self.handle.delete(key)
    }

    /// Whether `key` is there.
    ///
    /// # Errors
    /// The store fails.
    pub fn exists(&self, key: &str) -> Result<bool, HostError> {
        self.handle.exists(key)
    }

    /// All keys, in order.
    ///
    /// # Errors
    /// The store fails.
    pub fn keys(&self) -> Result<Vec<String>, HostError> {
        let mut keys = Vec::new();
        let mut cursor = None;
        loop {
            let (page, next) = self.handle.keys(cursor)?;
            keys.extend(page);
            if next.is_none() {
                return Ok(keys);
            }
            cursor = next;
        }
    }

    /// Adds `delta` to the decimal number under `key` (0 when absent) and returns the sum; no other call comes between.
    ///
    /// # Errors
    /// What is there is no number, or the store fails.
    pub fn increment(&self, key: &str, delta: u64) -> Result<u64, HostError> {
        self.handle.increment(key, delta)
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.name)
    }
}
