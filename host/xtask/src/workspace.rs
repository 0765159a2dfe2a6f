//! Where things are.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::process::Command;

/// The repository and its target folder.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// The repository that this program was built from.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().context("the repository has moved; run `cargo xtask` in its new place")?;
        let target = std::env::var_os("CARGO_TARGET_DIR").filter(|target| !target.is_empty());
        let target = target.map_or_else(|| root.join("target"), PathBuf::from);
        Ok(Self { target: std::path::absolute(target)?, root })
    }

    /// The repository.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where Cargo builds.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// What is fetched stays here, whatever Cargo's target folder is: manifests point at it.
    pub(crate) fn fetched(&self) -> PathBuf {
        self.root.join("target")
    }

    /// The built binary.
    pub(crate) fn spillway(&self) -> PathBuf {
        self.target.join("release/spillway")
    }

    /// A bundle that `spillway build` writes.
    pub(crate) fn bundle(&self, name: &str) -> PathBuf {
        self.target.join(format!("spillway/{name}.wasm"))
    }

    /// Cargo in the repository.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        command
    }
}
