//! Key-value data of guests, behind `wasi:keyvalue`.

mod bucket;
mod limits;

use std::sync::Arc;

use spillway_types::Namespace;

pub use self::limits::{BATCH_BYTES_MAX, BATCH_KEYS_MAX, KEY_BYTES_MAX, KeyValueError, PAGE_KEYS_MAX, VALUE_BYTES_MAX};
use crate::store::Shared;

/// The key-value data of a store.
#[derive(Clone)]
pub struct KeyValue {
    /// The database, and what keeps the folder open.
    pub(crate) shared: Arc<Shared>,
}

/// One bucket of one namespace: keys that no other namespace can see.
#[derive(Clone)]
pub struct Bucket {
    /// The database, and what keeps the folder open.
    shared: Arc<Shared>,
    /// Whose bucket it is.
    namespace: Namespace,
    /// Its name there; checked.
    name: String,
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPage {
    /// Keys, in the order in which they were first set.
    pub keys: Vec<String>,
    /// Where the next page starts; `None` on the last one.
    pub cursor: Option<u64>,
}

impl KeyValue {
    /// A bucket, which is there as soon as a key is set in it. Whether a function may open it, its manifest says.
    ///
    /// # Errors
    /// The name is too long.
    pub fn bucket(&self, namespace: &Namespace, name: &str) -> Result<Bucket, KeyValueError> {
        if name.len() > KEY_BYTES_MAX {
            return Err(KeyValueError::BucketTooLong { name: name.to_owned(), bytes: name.len() });
        }
        Ok(Bucket { shared: Arc::clone(&self.shared), namespace: namespace.clone(), name: name.to_owned() })
    }
}
