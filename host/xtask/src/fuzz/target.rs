//! The targets, as `tests/fuzz/targets.json` describes them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use crate::workspace::Workspace;

/// One fuzz target.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Target {
    pub(super) name: String,
    /// What its input is, for people.
    pub(super) about: String,
    /// The longest input that is tried.
    pub(super) max_bytes: u64,
    /// Where good and bad examples are, beside those of `tests/fuzz/seeds`.
    seeds: Vec<Seeds>,
}

#[derive(Clone, Debug, Deserialize)]
struct Seeds {
    /// From the root of the repository.
    folder: PathBuf,
    extension: String,
}

/// The folder of the fuzz targets.
pub(super) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root().join("tests/fuzz")
}

/// The target called `name`, or all.
pub(super) fn chosen(workspace: &Workspace, name: Option<&str>) -> anyhow::Result<Vec<Target>> {
    let path = folder(workspace).join("targets.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let all: Vec<Target> = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let Some(name) = name else { return Ok(all) };
    match all.iter().find(|target| target.name == name) {
        Some(target) => Ok(vec![target.clone()]),
        None => {
            let names: Vec<&str> = all.iter().map(|target| target.name.as_str()).collect();
            anyhow::bail!("there is no fuzz target `{name}`; there are {}", names.join(", "))
        }
    }
}

impl Target {
    /// Copies all seeds and earlier findings into `to`, and says how many there are.
    pub(super) fn gather(&self, workspace: &Workspace, to: &Path) -> anyhow::Result<usize> {
        if to.exists() {
            std::fs::remove_dir_all(to)?;
        }
        std::fs::create_dir_all(to)?;
        let mut count = 0;
        let mut copy = |folder: &Path, extension: Option<&str>| -> anyhow::Result<()> {
            for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
                let path = entry?.path();
                let fits = extension.is_none_or(|wanted| path.extension().is_some_and(|given| given == wanted));
                if fits && path.metadata()?.len() <= self.max_bytes && path.is_file() {
                    count += 1;
                    std::fs::copy(&path, to.join(format!("{count:04}")))?;
                }
            }
            Ok(())
        };
        for Seeds { folder, extension } in &self.seeds {
            copy(&workspace.root().join(folder), Some(extension))?;
        }
        for kind in ["seeds", "findings"] {
            let own = folder(workspace).join(kind).join(&self.name);
            if own.is_dir() {
                copy(&own, None)?;
            }
        }
        Ok(count)
    }

    /// Words that inputs are made of, if there is a list.
    pub(super) fn dictionary(&self, workspace: &Workspace) -> Option<PathBuf> {
        Some(folder(workspace).join("dictionaries").join(&self.name)).filter(|path| path.is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_target_is_named_beside_those_that_exist() {
        let workspace = Workspace::find().unwrap();
        let error = chosen(&workspace, Some("onyx")).unwrap_err().to_string();
        assert!(error.starts_with("there is no fuzz target `onyx`; there are onnx, "), "{error}");
    }

    #[test]
    fn every_target_has_seeds() {
        let workspace = Workspace::find().unwrap();
        for target in chosen(&workspace, None).unwrap() {
            let folder = tempfile::tempdir().unwrap();
            assert!(target.gather(&workspace, &folder.path().join("seeds")).unwrap() > 0, "{}", target.name);
        }
    }
}
