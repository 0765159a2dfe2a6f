//! Built guests, and bundles made of them on the spot.

use std::path::{Path, PathBuf};

use spillway_types::{Bundle, Manifest, Origin};

/// The repository.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the repository")
}

/// The binary under test: `SPILLWAY_BIN`, or that of this repository's release build.
///
/// # Panics
/// If it has not been built.
pub fn spillway() -> PathBuf {
    let named = std::env::var_os("SPILLWAY_BIN").map(PathBuf::from);
    existing(named.unwrap_or_else(|| workspace().join("target/release/spillway")))
}

/// A bundle that `spillway build` made of a crate in `functions/` or `tests/guests/`, beside the binary under test.
///
/// # Panics
/// If it has not been built.
pub fn bundle(name: &str) -> Vec<u8> {
    let path = bundle_file(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Where a built bundle lies; beside it, where its models are.
///
/// # Panics
/// If it has not been built.
pub fn bundle_file(name: &str) -> PathBuf {
    let binary = spillway();
    // Cargo's target folder, two above: `target/release/spillway`, `target/spillway/NAME.wasm`.
    let target = binary.parent().and_then(Path::parent).expect("the binary lies in a profile's folder");
    existing(target.join(format!("spillway/{name}.wasm")))
}

/// The component of a bundle, as a toolchain that knows no Spillway would have made it.
///
/// # Panics
/// If `bundle` is none.
pub fn bare(bundle: &[u8]) -> Vec<u8> {
    Bundle::read(bundle).expect("the test gives a bundle").component()
}

/// The manifest of a bundle.
///
/// # Panics
/// If `bundle` has none.
pub fn manifest_of(bundle: &[u8]) -> Manifest {
    let bundle = Bundle::read(bundle).expect("the test gives a bundle");
    let text = bundle.manifest().expect("the test gives a bundle with a manifest");
    Manifest::parse(text, Origin::Bundle).expect("it was built with a good manifest")
}

/// The component of `bundle` with another manifest, good or bad.
///
/// # Panics
/// If `bundle` is none.
pub fn with_manifest(bundle: &[u8], manifest: &str) -> Vec<u8> {
    Bundle::write(bundle, manifest, &[]).expect("the test gives a bundle")
}

fn existing(path: PathBuf) -> PathBuf {
    assert!(path.is_file(), "{} is missing; run `cargo xtask test`, which builds what the tests need", path.display());
    path
}
