//! Variants of built guests: the same component, another manifest, hence another bundle.

use std::time::Duration;

use spillway_tests::{Cluster, Node, bundle, manifest_of, with_manifest};
use spillway_types::Manifest;

/// The built guest `name` with its manifest changed.
pub(crate) fn variant(name: &str, change: impl FnOnce(&mut Manifest)) -> Vec<u8> {
    let built = bundle(name);
    let mut manifest = manifest_of(&built);
    change(&mut manifest);
    with_manifest(&built, &manifest.to_bundle_toml())
}

/// The sample `hello` with another word of greeting.
pub(crate) fn hello_that_says(word: &str) -> Vec<u8> {
    variant("hello", |manifest| {
        manifest.config.insert("greeting".to_owned(), word.to_owned());
    })
}

/// `misbehave` without data of its own, so that its calls may run on any node, and with time for a busy machine.
pub(crate) fn traveller(change: impl FnOnce(&mut Manifest)) -> Vec<u8> {
    variant("misbehave", |manifest| {
        manifest.capabilities.keyvalue.clear();
        manifest.limits.deadline = Duration::from_secs(30);
        manifest.limits.queue = 1000;
        // What keeps a core busy would keep its neighbours waiting.
        manifest.sandbox.concurrency = 1;
        change(manifest);
    })
}

/// Deploys a bundle to a cluster by one of its nodes.
///
/// # Panics
/// If the node refuses it.
pub(crate) async fn deploy_bundle(cluster: &Cluster, node: &Node, bundle: &[u8]) {
    let file = cluster.path("variant.wasm");
    std::fs::write(&file, bundle).expect("tests may write files");
    let deployed = cluster.sign(node, &["deploy", &file]).await;
    assert_eq!(deployed.code, 0, "{deployed:#?}");
}
