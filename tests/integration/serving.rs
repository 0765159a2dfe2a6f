//! A node that serves `hello`, and whether it still does.

use spillway_tests::{Node, bundle, manifest_of};
use spillway_types::Manifest;

/// A node with revision 1 of `hello`.
pub(crate) async fn hello() -> Node {
    let node = Node::start().await;
    assert_eq!(node.deploy("hello").await.revision, 1);
    node
}

/// Demands that revision 1 of `hello` serves, and that no other function is there.
pub(crate) async fn untouched(node: &Node) {
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
    let functions = node.get("/functions").await;
    let functions: Vec<_> =
        functions.as_array().expect("a list").iter().map(|f| (&f["name"], &f["revision"])).collect();
    assert_eq!(functions, [(&"hello".into(), &1.into())]);
}

/// The manifest of a built guest, changed.
pub(crate) fn changed(guest: &str, change: impl FnOnce(&mut Manifest)) -> String {
    let mut manifest = manifest_of(&bundle(guest));
    change(&mut manifest);
    manifest.to_bundle_toml()
}
