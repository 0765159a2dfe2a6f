//! The data folder: who holds it, which layout it has, and how changes to it become durable.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::fault::Fault;

/// The layout that this version reads and writes: what the crate documentation draws.
const LAYOUT: &str = "1";

/// Why a data folder cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another store, in this process or another one, holds the folder.
    #[error(
        "data folder {} is in use by another node (process {process}); stop it or choose another folder with --data",
        folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Process id of the holder, or `unknown`.
        process: String,
    },
    /// Another version of Spillway wrote the folder.
    #[error(
        "data folder {} has {what} version {found}, and this spillway reads {known}; \
         start the spillway that wrote it, or choose another folder with --data",
        folder.display()
    )]
    Version {
        /// The folder.
        folder: PathBuf,
        /// `layout` or `database`.
        what: &'static str,
        /// The version found there.
        found: String,
        /// The version that this program reads.
        known: String,
    },
    /// A file or the database failed.
    #[error("data folder {}: {fault}{}", folder.display(), fault.remedy())]
    Fault {
        /// The folder.
        folder: PathBuf,
        /// What failed.
        #[source]
        fault: Fault,
    },
}

/// Creates the folder and takes its lock, which lasts until the returned file is closed, however the process ends.
pub(crate) fn claim(folder: &Path) -> Result<(PathBuf, File), OpenError> {
    let fault = |fault| OpenError::Fault { folder: folder.to_owned(), fault };
    // An operator's own folder may lie in one that we may not read, hence not sync.
    if !folder.is_dir() {
        create_folder(folder).map_err(fault)?;
    }
    // Absolute, so that a later change of the working directory changes nothing.
    let folder = fs::canonicalize(folder).map_err(Fault::file("resolve", folder)).map_err(fault)?;
    let path = folder.join("lock");
    let io_fault = |action| {
        let (folder, path) = (folder.clone(), path.clone());
        move |source| OpenError::Fault { folder, fault: Fault::file(action, &path)(source) }
    };
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io_fault("open"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let process = holder(&mut lock).unwrap_or_else(|| "unknown".to_owned());
            return Err(OpenError::InUse { folder, process });
        }
        Err(TryLockError::Error(error)) => return Err(io_fault("lock")(error)),
    }
    let pid = format!("{}\n", std::process::id());
    lock.set_len(0)
        .and_then(|()| lock.rewind())
        .and_then(|()| lock.write_all(pid.as_bytes()))
        .map_err(io_fault("write"))?;
    check_layout(&folder)?;
    Ok((folder, lock))
}

/// Who wrote its process id into the lock file. The holder may be about to write it: then nobody is named.
fn holder(lock: &mut File) -> Option<String> {
    let mut text = String::new();
    lock.take(20).read_to_string(&mut text).ok()?;
    let pid = text.trim();
    (!pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit())).then(|| pid.to_owned())
}

/// Refuses a layout that is not ours, and writes ours into a fresh folder before anything else is made there.
fn check_layout(folder: &Path) -> Result<(), OpenError> {
    let path = folder.join("layout");
    let found = match fs::read_to_string(&path) {
        Ok(text) => text.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return write_durably(folder, &path, format!("{LAYOUT}\n").as_bytes())
                .map_err(|fault| OpenError::Fault { folder: folder.to_owned(), fault });
        }
        Err(error) => {
            let fault = Fault::file("read", &path)(error);
            return Err(OpenError::Fault { folder: folder.to_owned(), fault });
        }
    };
    if found == LAYOUT {
        return Ok(());
    }
    let found = found.chars().take(20).collect();
    Err(OpenError::Version { folder: folder.to_owned(), what: "layout", found, known: LAYOUT.to_owned() })
}

/// Writes a small file so that after a crash it is there as a whole or not at all.
fn write_durably(folder: &Path, path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    // A fixed name: what a kill leaves behind is overwritten the next time.
    let new = path.with_extension("new");
    File::create(&new)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, path))
        .map_err(Fault::file("write", path))?;
    sync_folder(folder)
}

/// Creates a folder that only its owner may enter, and makes its name durable. An existing one keeps its permissions.
pub(crate) fn create_folder(path: &Path) -> Result<(), Fault> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Fault::file("create folder", path))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}

/// Makes the names in a folder durable: POSIX `fsync` of a file says nothing about the name under which it stands.
pub(crate) fn sync_folder(path: &Path) -> Result<(), Fault> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(Fault::file("sync folder", path))
}
