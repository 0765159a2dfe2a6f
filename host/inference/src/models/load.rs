//! From a file to a loaded model: slow, and on a kernel thread.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use spillway_types::{Digest, Specialization};

use super::OpenError;
use crate::job::contain;
use crate::{Engine, LoadedModel, ScreenError, Screening};

/// Where the bytes of a model come from.
pub(super) enum Origin {
    /// A file, which may be another by now than when its digest was taken.
    File(PathBuf),
    /// The bytes themselves, of that very digest.
    Bytes(Vec<u8>),
}

impl Origin {
    /// What is known of a model's size before it is loaded.
    pub(super) fn byte_length(&self, digest: Digest) -> Result<usize, OpenError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.len()),
            Self::File(path) => {
                let length = std::fs::metadata(path).map_err(unreadable(digest))?.len();
                Ok(usize::try_from(length).unwrap_or(usize::MAX))
            }
        }
    }
}

/// Reads, verifies and loads on the calling thread; an engine's panic is an error.
pub(super) fn load(
    origin: Origin,
    digest: Digest,
    specialization: &Specialization,
    engine: &dyn Engine,
) -> Result<Box<dyn LoadedModel>, OpenError> {
    let bytes = match origin {
        Origin::File(path) => read_verified(digest, &path)?,
        Origin::Bytes(bytes) => bytes,
    };
    contain(|| engine.load(bytes, specialization))
        .map_err(|message| OpenError::EngineFailed { digest, engine: engine.name(), message })?
        .map_err(|cause| OpenError::Load { digest, cause })
}

/// Reads, verifies and screens on the calling thread. The load reads a file again rather than keep it in memory
/// meanwhile: by its digest it is the same.
pub(super) fn screen(
    origin: &Origin,
    digest: Digest,
    specialization: &Specialization,
    engine: &dyn Engine,
    screening: &dyn Screening,
) -> Result<(), OpenError> {
    let screened = match origin {
        Origin::File(path) => screening.screen(engine, digest, specialization, &read_verified(digest, path)?),
        Origin::Bytes(bytes) => screening.screen(engine, digest, specialization, bytes),
    };
    screened.map_err(|error| match error {
        ScreenError::Refused(cause) => OpenError::Load { digest, cause },
        ScreenError::Failed(cause) => OpenError::Check { digest, cause: Arc::new(cause) },
    })
}

/// The whole file, in memory: what was hashed is what the engine gets, even if somebody writes to the file meanwhile.
fn read_verified(expected: Digest, file: &Path) -> Result<Vec<u8>, OpenError> {
    let mut bytes = Vec::new();
    open_regular(file).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(unreadable(expected))?;
    let found = Digest::of(&bytes);
    if found == expected { Ok(bytes) } else { Err(OpenError::WrongDigest { expected, found }) }
}

/// Follows no link, and opens no device, no pipe and no file of several names: a node puts plain files of its own under
/// its digests, and nothing else.
fn open_regular(path: &Path) -> io::Result<File> {
    // Nonblocking, or a pipe that nobody writes to would hold this thread. Plain files do not care.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    if metadata.nlink() > 1 {
        return Err(io::Error::other("the file has other names (hard links); put a copy in its place"));
    }
    Ok(file)
}

pub(super) fn unreadable(digest: Digest) -> impl Fn(io::Error) -> OpenError {
    move |cause| OpenError::Read { digest, cause: Arc::new(cause) }
}
