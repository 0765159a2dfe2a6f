//! The store from outside: what each call promises, and what it refuses.

mod blobs;
mod books;
mod functions;
mod gc;
mod keyvalue;
mod models;
mod open;
mod trusted_keys;

use std::time::{Duration, SystemTime};

use spillway_cluster::{NewRevision, Store};
use spillway_types::{Digest, FunctionId, RoutePattern};
use tempfile::TempDir;

/// A store in a folder of its own, which goes with it.
struct Fixture {
    /// Declared first, so that it is closed before its folder goes.
    store: Store,
    folder: TempDir,
}

fn fixture() -> Fixture {
    let folder = TempDir::new().expect("temporary folder");
    let store = Store::open(folder.path()).expect("fresh store");
    Fixture { store, folder }
}

/// Uploads `bytes`.
fn upload(store: &Store, bytes: &[u8]) -> Digest {
    let mut writer = store.blobs().begin().expect("upload begins");
    writer.write(bytes).expect("upload continues");
    writer.finish(None).expect("upload ends").0
}

fn function(name: &str) -> FunctionId {
    name.parse().expect("function name")
}

fn route(path: &str) -> RoutePattern {
    RoutePattern::any_host(path).expect("route")
}

/// A revision of `name` whose bundle is `content` (uploaded), on `paths`.
fn revision(store: &Store, name: &str, content: &str, paths: &[&str]) -> NewRevision {
    NewRevision {
        function: function(name),
        number: None,
        bundle: upload(store, content.as_bytes()),
        manifest: format!("name = {name:?}"),
        models: Vec::new(),
        routes: paths.iter().map(|path| route(path)).collect(),
        created_at_ms: 1_700_000_000_000,
    }
}

/// A time at which everything that was just uploaded is old.
fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(24 * 3600)
}
