//! What every control store and every store of blobs promises, over the node's own disk and over a real server of NATS;
//! then what only one of them can show.
//!
//! A test of the suite is a function of a [`World`]; `over_both!` makes two tests of it.

mod blobs;
mod cluster;
mod durability;
mod embedded;
mod follow;
mod leases;
mod lists;
mod server;
mod unreachable;
mod values;
mod watches;

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use spillway_cluster::{BlobStore, ControlError, ControlKey, ControlStore, EmbeddedControl, Entry, NatsControl, Store};

use crate::server::{Reach as _, Server};

/// The stores under test.
struct World {
    control: Arc<dyn ControlStore>,
    blobs: Arc<dyn BlobStore>,
    /// Goes last: the folder, or the server.
    _home: Box<dyn Any + Send + Sync>,
}

impl World {
    fn embedded() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let store = Store::open(folder.path()).expect("fresh store");
        let control = EmbeddedControl::new(store.clone(), Arc::new(SystemTime::now));
        Self { control: Arc::new(control), blobs: Arc::new(store.blobs()), _home: Box::new(folder) }
    }

    async fn nats() -> Self {
        let server = Server::start();
        let control = NatsControl::connect(server.config()).await.expect("configuration");
        Self { blobs: Arc::new(control.blobs()), control: Arc::new(control), _home: Box::new(server) }
    }
}

/// Makes a test over the node's own disk and one over NATS of each function.
macro_rules! over_both {
    ($($name:ident),+ $(,)?) => {
        mod over_embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(crate::World::embedded()).await;
            })+
        }
        mod over_nats {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(crate::World::nats().await).await;
            })+
        }
    };
}
pub(crate) use over_both;

fn key(text: &str) -> ControlKey {
    text.parse().expect("key")
}

/// What `work` comes to. A test that hangs fails instead.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("an answer within a minute")
}

/// The next `count` changes of a watch.
async fn next(changes: &mut BoxStream<'static, Result<Entry, ControlError>>, count: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    while entries.len() < count {
        entries.push(soon(changes.next()).await.expect("a watch goes on").expect("a change"));
    }
    entries
}

/// Key and value of each entry, for comparing; `-` where there is none.
fn shown(entries: &[Entry]) -> Vec<String> {
    let value = |value: &Option<Bytes>| value.as_ref().map_or("-".to_owned(), |it| String::from_utf8_lossy(it).into());
    entries.iter().map(|entry| format!("{}={}", entry.key, value(&entry.value))).collect()
}
