//! `wasi:keyvalue` over the node's store.

use spillway_cluster::{PAGE_KEYS_MAX, Store};
use spillway_runtime::{KeyValue, KeyValueError};
use spillway_types::Namespace;

/// The store's key-value side, as the runtime wants it.
pub(crate) struct StoreKeyValue(pub(crate) Store);

impl StoreKeyValue {
    fn bucket(&self, namespace: &Namespace, bucket: &str) -> Result<spillway_cluster::Bucket, KeyValueError> {
        self.0.keyvalue().bucket(namespace, bucket).map_err(explain)
    }
}

/// The guest hears of its own mistakes; what failed inside the node is for the log.
fn explain(error: spillway_cluster::KeyValueError) -> KeyValueError {
    match error {
        spillway_cluster::KeyValueError::Fault(fault) => {
            tracing::error!(%fault, "key-value store failed");
            let said = if fault.is_disk_full() { "the node's disk is full" } else { "the node's store failed" };
            KeyValueError(said.to_owned())
        }
        mistake => KeyValueError(mistake.to_string()),
    }
}

impl KeyValue for StoreKeyValue {
    fn get(&self, namespace: &Namespace, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
        self.bucket(namespace, bucket)?.get(key).map_err(explain)
    }

    fn set(&self, namespace: &Namespace, bucket: &str, key: &str, value: &[u8]) -> Result<(), KeyValueError> {
        self.bucket(namespace, bucket)?.set(key, value).map_err(explain)
    }

    fn delete(&self, namespace: &Namespace, bucket: &str, key: &str) -> Result<(), KeyValueError> {
        self.bucket(namespace, bucket)?.delete(key).map_err(explain)
    }

    fn exists(&self, namespace: &Namespace, bucket: &str, key: &str) -> Result<bool, KeyValueError> {
        self.bucket(namespace, bucket)?.exists(key).map_err(explain)
    }

    fn list_keys(
        &self,
        namespace: &Namespace,
        bucket: &str,
        cursor: Option<u64>,
    ) -> Result<(Vec<String>, Option<u64>), KeyValueError> {
        let page = self.bucket(namespace, bucket)?.list_keys(cursor, PAGE_KEYS_MAX).map_err(explain)?;
        Ok((page.keys, page.cursor))
    }

    fn increment(&self, namespace: &Namespace, bucket: &str, key: &str, delta: u64) -> Result<u64, KeyValueError> {
        self.bucket(namespace, bucket)?.increment(key, delta).map_err(explain)
    }
}
