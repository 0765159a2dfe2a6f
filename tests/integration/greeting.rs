//! Variants of the sample `hello` that are told apart by their word of greeting.

use spillway_tests::{bundle, manifest_of, with_manifest};

/// `hello` with another word of greeting: another bundle of the same component.
pub(crate) fn hello_that_says(word: &str) -> Vec<u8> {
    hello_with("greeting = \"Hello\"", &format!("greeting = {word:?}"))
}

/// `hello` with a part of its manifest replaced.
///
/// # Panics
/// If the manifest has no such part.
pub(crate) fn hello_with(part: &str, other: &str) -> Vec<u8> {
    let hello = bundle("hello");
    let manifest = manifest_of(&hello).to_bundle_toml();
    assert!(manifest.contains(part), "no `{part}` in\n{manifest}");
    with_manifest(&hello, &manifest.replace(part, other))
}
