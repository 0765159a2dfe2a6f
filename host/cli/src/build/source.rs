//! The crate and manifest of a function.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use cargo_metadata::{MetadataCommand, Package, camino::Utf8PathBuf};
use spillway_types::{Manifest, Origin};

use crate::failure::Failure;

/// A function's source: a crate with `spillway.toml` beside its `Cargo.toml`.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// Its checked manifest.
    pub(crate) manifest: Manifest,
    /// Its package as Cargo sees it.
    pub(crate) package: Package,
    /// Where Cargo would put what it makes.
    pub(crate) target: Utf8PathBuf,
    /// Root of the workspace that it belongs to.
    pub(crate) workspace: Utf8PathBuf,
}

impl Source {
    /// Reads several sources. What is wrong with their manifests comes at once.
    pub(crate) fn read_all(paths: &[PathBuf]) -> anyhow::Result<Vec<Self>> {
        let (mut manifests, mut errors) = (Vec::new(), Vec::new());
        for path in paths {
            let folder = folder_of(path)?;
            match read_manifest(&folder)? {
                Ok(manifest) => manifests.push((folder, manifest)),
                Err(found) => errors.extend(found),
            }
        }
        if !errors.is_empty() {
            return Err(Failure::Many(errors).into());
        }
        manifests.into_iter().map(|(folder, manifest)| Self::locate(folder, manifest)).collect()
    }

    fn locate(folder: PathBuf, manifest: Manifest) -> anyhow::Result<Self> {
        let cargo_toml = folder.join("Cargo.toml");
        let metadata = MetadataCommand::new()
            .manifest_path(&cargo_toml)
            .no_deps()
            .exec()
            .with_context(|| format!("{} cannot be read by Cargo", cargo_toml.display()))?;
        let wanted = cargo_toml.canonicalize().with_context(|| cargo_toml.display().to_string())?;
        let same =
            |package: &Package| package.manifest_path.as_std_path().canonicalize().is_ok_and(|path| path == wanted);
        let package = metadata.packages.iter().find(|package| same(package)).cloned().with_context(|| {
            format!(
                "{} is a workspace without a package; give the folder of the function's crate",
                cargo_toml.display()
            )
        })?;
        Ok(Self { folder, manifest, package, target: metadata.target_directory, workspace: metadata.workspace_root })
    }
}

/// The folder of a crate, from the folder or one of the two files in it.
fn folder_of(path: &Path) -> anyhow::Result<PathBuf> {
    let folder = match path.file_name().and_then(|name| name.to_str()) {
        Some("Cargo.toml" | "spillway.toml") => path.parent().unwrap_or(Path::new("")),
        _ => path,
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    anyhow::ensure!(
        folder.join("Cargo.toml").is_file(),
        "{} has no Cargo.toml; give the folder of a function's crate",
        folder.display()
    );
    Ok(folder.to_owned())
}

/// The manifest in a folder, without a crate.
///
/// # Errors
/// All that is wrong with it, at once.
pub(crate) fn manifest_in(folder: &Path) -> anyhow::Result<Manifest> {
    Ok(read_manifest(folder)?.map_err(Failure::Many)?)
}

/// The manifest, or its errors with the file that they are in.
fn read_manifest(folder: &Path) -> anyhow::Result<Result<Manifest, Vec<String>>> {
    let path = folder.join("spillway.toml");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let name = folder.canonicalize().ok();
            let name = name.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or("hello");
            anyhow::bail!(
                "{} is missing; it says what the function is, at the least:\n\n\
                 spillway = 1\nname = \"{name}\"\nversion = \"0.1.0\"\neffects = \"none\"\n\n[[routes]]\npath = \"/{name}\"\n",
                path.display()
            )
        }
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    Ok(Manifest::parse(&text, Origin::Source).map_err(|error| {
        let lines = error.diagnostics.iter();
        lines.map(|diagnostic| format!("{}:{}: {}", path.display(), diagnostic.line, diagnostic.message)).collect()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_with(manifest: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Cargo.toml"), "[package]\nname = \"x\"\n").unwrap();
        std::fs::write(folder.path().join("spillway.toml"), manifest).unwrap();
        folder
    }

    #[test]
    fn manifest_errors_of_all_sources_come_at_once_with_file_and_line() {
        let (one, two) = (crate_with("spillway = 1\nnmae = \"a\"\n"), crate_with("spillway = 3\n"));
        let error = Source::read_all(&[one.path().into(), two.path().join("spillway.toml")]).unwrap_err().to_string();
        let expected = format!("{}:2: unknown key `nmae`", one.path().join("spillway.toml").display());
        assert!(error.contains(&expected), "{error}");
        let expected = format!("{}:1: `spillway = 3` is a format", two.path().join("spillway.toml").display());
        assert!(error.contains(&expected), "{error}");
    }

    #[test]
    fn a_folder_that_is_no_crate_or_has_no_manifest_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let error = Source::read_all(&[folder.path().into()]).unwrap_err().to_string();
        assert!(error.contains("has no Cargo.toml"), "{error}");
        std::fs::write(folder.path().join("Cargo.toml"), "").unwrap();
        let error = Source::read_all(&[folder.path().into()]).unwrap_err().to_string();
        assert!(error.contains("spillway.toml is missing") && error.contains("[[routes]]"), "{error}");
    }
}
