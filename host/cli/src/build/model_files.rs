//! Where the models of a bundle are on this machine.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use spillway_types::{Digest, Manifest};

use crate::progress;

/// Model files by digest, noted by `build` beside the bundle for `deploy` to find.
#[derive(Debug, Default)]
pub(crate) struct ModelFiles {
    path: PathBuf,
    files: BTreeMap<Digest, PathBuf>,
}

impl ModelFiles {
    /// The note that belongs to a bundle: `NAME.models.json` beside `NAME.wasm`.
    fn path_beside(bundle: &Path) -> PathBuf {
        bundle.with_extension("models.json")
    }

    /// Reads the note beside a bundle; a bundle without one has no models noted.
    pub(crate) fn beside(bundle: &Path) -> anyhow::Result<Self> {
        let path = Self::path_beside(bundle);
        let files = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged; run `spillway build` again", path.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        Ok(Self { path, files })
    }

    /// Writes the note beside a bundle, or removes an old one if there is nothing to note.
    pub(crate) fn write_beside(&self, bundle: &Path) -> anyhow::Result<()> {
        let path = Self::path_beside(bundle);
        let write = || -> anyhow::Result<()> {
            if self.files.is_empty() {
                return match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                    _ => Ok(()),
                };
            }
            let mut file = BufWriter::new(File::create(&path)?);
            serde_json::to_writer_pretty(&mut file, &self.files)?;
            Ok(file.flush()?)
        };
        write().with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Where the model is.
    pub(crate) fn get(&self, digest: &Digest) -> Option<&Path> {
        self.files.get(digest).map(PathBuf::as_path)
    }

    /// Where the note is, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All models, each once.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Digest, &Path)> {
        self.files.iter().map(|(digest, path)| (digest, path.as_path()))
    }
}

/// Writes the digest of each model that is given by path into the manifest.
///
/// # Errors
/// A file that is missing, or that has another digest than the manifest says.
pub(crate) fn resolve(manifest: &mut Manifest, folder: &Path) -> anyhow::Result<ModelFiles> {
    let at = folder.join("spillway.toml").display().to_string();
    let mut files = ModelFiles::default();
    for (name, grant) in &mut manifest.models {
        let Some(path) = &grant.path else { continue };
        let path = folder.join(path);
        let (actual, _) = hash_file(&path).map_err(|error| {
            let remedy = "put the file there, or correct `path`";
            anyhow::anyhow!("{at}: the model \"{name}\" is not at {}: {error}; {remedy}", path.display())
        })?;
        if let Some(expected) = grant.digest.filter(|expected| *expected != actual) {
            anyhow::bail!(
                "{at}: the model \"{name}\" at {} has the digest {actual}, but the manifest says {expected}; \
                 put the right file there, or write the new digest",
                path.display()
            );
        }
        grant.digest = Some(actual);
        let absolute = path.canonicalize().with_context(|| path.display().to_string())?;
        files.files.insert(actual, absolute);
    }
    Ok(files)
}

/// Digest and length of a file, with a bar, as models may be large.
pub(crate) fn hash_file(path: &Path) -> io::Result<(Digest, u64)> {
    let file = File::open(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let bar = progress::bytes(format!("hash {name}"), file.metadata()?.len());
    let hashed = Digest::of_reader(bar.wrap_read(file));
    bar.finish_and_clear();
    hashed
}

#[cfg(test)]
mod tests {
    use spillway_types::Origin;

    use super::*;

    fn manifest(model: &str) -> Manifest {
        let text =
            format!("spillway = 1\nname = \"a\"\nversion = \"0.1.0\"\n[[routes]]\npath = \"/a\"\n[models.m]\n{model}");
        Manifest::parse(&text, Origin::Source).unwrap()
    }

    #[test]
    fn a_path_becomes_a_digest_and_deploy_finds_the_file_by_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("m.onnx"), b"weights").unwrap();
        let mut manifest = manifest("path = \"m.onnx\"");
        let digest = Digest::of(b"weights");
        let bundle = folder.path().join("a.wasm");
        resolve(&mut manifest, folder.path()).unwrap().write_beside(&bundle).unwrap();
        assert_eq!(manifest.model_digests(), [digest]);
        let file = ModelFiles::beside(&bundle).unwrap().get(&digest).unwrap().to_owned();
        assert!(file.is_absolute());
        assert_eq!(std::fs::read(file).unwrap(), b"weights");
    }

    #[test]
    fn another_digest_than_the_manifest_says_is_refused_with_both() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("m.onnx"), b"weights").unwrap();
        let expected = Digest::of(b"other");
        let mut manifest = manifest(&format!("path = \"m.onnx\"\ndigest = \"{expected}\""));
        let error = resolve(&mut manifest, folder.path()).unwrap_err().to_string();
        for part in [expected.to_string(), Digest::of(b"weights").to_string(), "\"m\"".to_owned()] {
            assert!(error.contains(&part), "{error}");
        }
    }

    #[test]
    fn a_missing_model_is_named_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let error = resolve(&mut manifest("path = \"m.onnx\""), folder.path()).unwrap_err().to_string();
        assert!(error.contains("\"m\"") && error.contains("m.onnx") && error.contains("correct `path`"), "{error}");
    }
}
