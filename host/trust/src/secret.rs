//! Files that only their owner may read, and files that are never overwritten.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Far more than any key, certificate or list of roots has.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Permissions that a secret must not give: anything to others, and to its group more than reading, which a service
/// account may need.
const FORBIDDEN_MODE: u32 = 0o027;

/// A file of keys or certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Not written, so that no key is lost.
    #[error("{} is there already and is never overwritten; move it away, or name another place", .0.display())]
    Exists(PathBuf),
    /// A secret that is none.
    #[error("{} may be read by others (mode {mode:03o}); run `chmod 600` on it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Too long to be what it should be, or no text.
    #[error("{} is no PEM file; name one that `spillway key` or `spillway ca` wrote", .0.display())]
    NotText(PathBuf),
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl FileError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// Reads a small text file.
///
/// # Errors
/// It cannot be read, is longer than 1 MiB, or is not UTF-8.
pub fn read_bounded(path: &Path) -> Result<String, FileError> {
    let file = File::open(path).map_err(FileError::io("read", path))?;
    Ok(std::mem::take(&mut *read(&file, path)?))
}

/// Reads a small text file that only its owner, or its group, may read. The text is wiped from memory when dropped.
///
/// # Errors
/// As [`read_bounded`], or others may read or write it.
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let file = File::open(path).map_err(FileError::io("read", path))?;
    // Asked of the open file, so that it is the one that is read.
    let mode = file.metadata().map_err(FileError::io("read", path))?.permissions().mode() & 0o777;
    if mode & FORBIDDEN_MODE != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    read(&file, path)
}

fn read(file: &File, path: &Path) -> Result<Zeroizing<String>, FileError> {
    // Room for all of it from the start, because a string that grows leaves copies behind.
    let length = file.metadata().map_err(FileError::io("read", path))?.len();
    let mut text = Zeroizing::new(String::with_capacity(length.min(FILE_BYTES_MAX) as usize + 1));
    match file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text) {
        Ok(read) if read as u64 <= FILE_BYTES_MAX => Ok(text),
        Ok(_) => Err(FileError::NotText(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(FileError::NotText(path.to_owned())),
        Err(error) => Err(FileError::io("read", path)(error)),
    }
}

/// Writes a new file that only its owner may read, and folders above it that only their owner may enter.
///
/// # Errors
/// It is there already or cannot be written.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write(path, bytes, 0o600)
}

/// Writes a new file that everybody may read, and folders above it that only their owner may enter.
///
/// # Errors
/// It is there already or cannot be written.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write(path, bytes, 0o644)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(FileError::io("create folder", folder))?;
    }
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists(path.to_owned()),
        _ => FileError::io("create", path)(error),
    })?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(FileError::io("write", path))
}
