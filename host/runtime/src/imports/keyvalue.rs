//! `wasi:keyvalue@0.2.0-draft` over the node's store, one namespace's buckets, off the async threads.

use std::sync::Arc;

use spillway_types::Namespace;
use wasmtime::component::Resource;

use super::bindings::keyvalue::wasi::keyvalue::{atomics, batch, store};
use crate::host::{KeyValue, KeyValueError};
use crate::sandbox::SandboxState;
use crate::storage::{Access, Storage};
use store::{Error, KeyResponse};

/// An open bucket.
#[derive(Clone)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Bucket {
    namespace: Namespace,
    name: Arc<str>,
    storage: Arc<Storage>,
}

impl Bucket {
    /// Runs `call` off this thread: the store waits for the disk.
    async fn run<T: Send + 'static>(
        &self,
        access: Access,
        call: impl FnOnce(&dyn KeyValue, &Namespace, &str) -> Result<T, KeyValueError> + Send + 'static,
    ) -> wasmtime::Result<Result<T, Error>> {
        let Self { namespace, name, storage } = self.clone();
        let done = storage.run(access, move |store| call(store, &namespace, &name)).await;
        Ok(done.map_err(wasmtime::Error::new)?.map_err(|error| Error::Other(error.0)))
    }
}

impl SandboxState {
    fn bucket(&self, bucket: &Resource<Bucket>) -> wasmtime::Result<Bucket> {
        Ok(self.table.get(bucket)?.clone())
    }
}

impl store::Host for SandboxState {
    async fn open(&mut self, identifier: String) -> wasmtime::Result<Result<Resource<Bucket>, Error>> {
        if !self.grants.buckets.contains(&identifier) {
            let function = &self.grants.function;
            tracing::debug!(%function, bucket = identifier, "bucket is not granted; list it under [capabilities] keyvalue");
            return Ok(Err(Error::AccessDenied));
        }
        let bucket = Bucket {
            namespace: self.grants.function.namespace.clone(),
            name: identifier.into(),
            storage: self.grants.keyvalue.clone(),
        };
        Ok(Ok(self.table.push(bucket)?))
    }
}

impl store::HostBucket for SandboxState {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        self.bucket(&bucket)?.run(Access::Read, move |store, namespace, name| store.get(namespace, name, &key)).await
    }

    async fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.bucket(&bucket)?
            .run(Access::Write, move |store, namespace, name| store.set(namespace, name, &key, &value))
            .await
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Result<(), Error>> {
        self.bucket(&bucket)?
            .run(Access::Write, move |store, namespace, name| store.delete(namespace, name, &key))
            .await
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> wasmtime::Result<Result<bool, Error>> {
        self.bucket(&bucket)?.run(Access::Read, move |store, namespace, name| store.exists(namespace, name, &key)).await
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<u64>,
    ) -> wasmtime::Result<Result<KeyResponse, Error>> {
        let page = self
            .bucket(&bucket)?
            .run(Access::Read, move |store, namespace, name| store.list_keys(namespace, name, cursor))
            .await?;
        Ok(page.map(|(keys, cursor)| KeyResponse { keys, cursor }))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for SandboxState {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: u64,
    ) -> wasmtime::Result<Result<u64, Error>> {
        self.bucket(&bucket)?
            .run(Access::Write, move |store, namespace, name| store.increment(namespace, name, &key, delta))
            .await
    }
}

impl batch::Host for SandboxState {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Option<(String, Vec<u8>)>>, Error>> {
        let all = move |store: &dyn KeyValue, namespace: &Namespace, name: &str| {
            let pair = |key: String| Ok(store.get(namespace, name, &key)?.map(|value| (key, value)));
            keys.into_iter().map(pair).collect()
        };
        self.bucket(&bucket)?.run(Access::Read, all).await
    }

    async fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let all = move |store: &dyn KeyValue, namespace: &Namespace, name: &str| {
            pairs.iter().try_for_each(|(key, value)| store.set(namespace, name, key, value))
        };
        self.bucket(&bucket)?.run(Access::Write, all).await
    }

    async fn delete_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let all = move |store: &dyn KeyValue, namespace: &Namespace, name: &str| {
            keys.iter().try_for_each(|key| store.delete(namespace, name, key))
        };
        self.bucket(&bucket)?.run(Access::Write, all).await
    }
}
