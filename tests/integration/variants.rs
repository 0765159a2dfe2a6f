//! Variants of built guests: the same component, another manifest, hence another bundle.

use spillway_tests::{bundle, manifest_of, with_manifest};
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
