//! Content-addressed files: bundles and models.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::OFlags;
use spillway_types::{Digest, DigestHasher};
use tempfile::NamedTempFile;

use crate::database::lock;
use crate::fault::Fault;
use crate::folder::{create_folder, sync_folder};
use crate::store::Shared;

/// The blobs of a store.
#[derive(Clone)]
pub struct Blobs {
    /// The folder, and the lock under which blobs appear and disappear.
    pub(crate) shared: Arc<Shared>,
}

/// One blob that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its name.
    pub digest: Digest,
    /// Its length.
    pub bytes: u64,
    /// When it was last uploaded or renewed; its grace period starts here.
    pub renewed: SystemTime,
}

/// Why a blob was not stored or not found.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The bytes are not those that were announced.
    #[error("upload announced as {expected} has digest {actual}; upload the file again, or correct the digest")]
    Mismatch {
        /// What the caller announced.
        expected: Digest,
        /// What the bytes hash to.
        actual: Digest,
    },
    /// The upload stood still for longer than garbage collection allows.
    #[error("upload was idle for too long and was discarded; upload the file again")]
    Discarded,
    /// There is no such blob.
    #[error("blob {0} is not on this node; upload it first")]
    Missing(Digest),
    /// The disk failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Blobs {
    /// Starts an upload.
    ///
    /// # Errors
    /// The staging file cannot be created.
    pub fn begin(&self) -> Result<BlobWriter, BlobError> {
        let staging = self.staging();
        // In the data folder, hence on the file system of the blobs: a rename must not turn into a copy.
        let file = NamedTempFile::new_in(&staging).map_err(Fault::file("create a file in", &staging))?;
        Ok(BlobWriter { blobs: self.clone(), file, hasher: DigestHasher::default() })
    }

    /// Whether the blob is there now. Garbage collection may take it if nothing refers to it: see [`Blobs::renew`].
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn contains(&self, digest: &Digest) -> Result<bool, Fault> {
        let path = self.path(digest);
        match fs::symlink_metadata(&path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Fault::file("look for", &path)(error)),
        }
    }

    /// Whether the blob is there; if so, its grace period starts again at `now`.
    ///
    /// For a deploy that asks which blobs it need not upload: what it was told is there stays until it commits.
    ///
    /// # Errors
    /// The folder cannot be read, or the file's time not be set.
    pub fn renew(&self, digest: &Digest, now: SystemTime) -> Result<bool, Fault> {
        let path = self.path(digest);
        let _publishing = lock(&self.shared.publishing);
        match open_own(&path).and_then(|file| file.set_modified(now)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Fault::file("renew", &path)(error)),
        }
    }

    /// Opens a blob for reading or mapping. An open blob stays readable when garbage collection removes its name.
    ///
    /// # Errors
    /// The blob is missing, cannot be opened, or is no plain file of the store's own: links lead out of it.
    pub fn open(&self, digest: &Digest) -> Result<File, BlobError> {
        let path = self.path(digest);
        open_own(&path).map_err(|error| missing_or_fault(digest, &path, error))
    }

    /// The length of a blob in bytes.
    ///
    /// # Errors
    /// The blob is missing or cannot be read.
    pub fn size(&self, digest: &Digest) -> Result<u64, BlobError> {
        let path = self.path(digest);
        open_own(&path)
            .and_then(|file| file.metadata())
            .map(|file| file.len())
            .map_err(|error| missing_or_fault(digest, &path, error))
    }

    /// Where the blob is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let mut path = self.root();
        path.push(&hex[..2]);
        path.push(hex);
        path
    }

    /// All blobs, in the order of their digests. Files with other names are left out.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn list(&self) -> Result<Vec<Blob>, Fault> {
        let mut blobs = Vec::new();
        for (folder, _) in entries(&self.root())?.into_iter().filter(|(_, metadata)| metadata.is_dir()) {
            for (path, metadata) in entries(&folder)? {
                let name = path.file_name().and_then(|name| name.to_str());
                let Some(Ok(digest)) = name.map(|hex| format!("sha256:{hex}").parse()) else { continue };
                let renewed = metadata.modified().map_err(Fault::file("read the time of", &path))?;
                blobs.push(Blob { digest, bytes: metadata.len(), renewed });
            }
        }
        blobs.sort_unstable_by_key(|blob| blob.digest);
        Ok(blobs)
    }

    /// Files of uploads under way: path, length, last write.
    pub(crate) fn staged(&self) -> Result<Vec<(PathBuf, u64, SystemTime)>, Fault> {
        let read = |(path, metadata): (PathBuf, fs::Metadata)| {
            let written = metadata.modified().map_err(Fault::file("read the time of", &path))?;
            Ok((path, metadata.len(), written))
        };
        entries(&self.staging())?.into_iter().map(read).collect()
    }

    /// Removes what a killed node had not finished. Only while nobody else has the store.
    pub(crate) fn clear_staging(&self) -> Result<(), Fault> {
        for (path, _, _) in self.staged()? {
            fs::remove_file(&path).map_err(Fault::file("remove", &path))?;
        }
        Ok(())
    }

    fn root(&self) -> PathBuf {
        self.shared.folder.join("blobs/sha256")
    }

    fn staging(&self) -> PathBuf {
        self.shared.folder.join("staging")
    }
}

/// An upload under way. Dropping it discards what was written.
pub struct BlobWriter {
    /// Where it goes, and what keeps the folder open meanwhile.
    blobs: Blobs,
    /// The staging file, which removes itself unless it becomes a blob.
    file: NamedTempFile,
    /// Computed on the way, so that the bytes are never read back.
    hasher: DigestHasher,
}

impl BlobWriter {
    /// Appends a chunk.
    ///
    /// # Errors
    /// The disk is full or failed.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), BlobError> {
        self.file.write_all(chunk).map_err(Fault::file("write", self.file.path()))?;
        self.hasher.update(chunk);
        Ok(())
    }

    /// Makes the blob durable under its name, and returns that and its length. One that is there already is not written
    /// again; its grace period starts anew.
    ///
    /// Once this returns, a commit may refer to the blob.
    ///
    /// # Errors
    /// The bytes are not the `expected` ones, or the disk failed; either way nothing is kept.
    pub fn finish(self, expected: Option<Digest>) -> Result<(Digest, u64), BlobError> {
        let Self { blobs, file, hasher } = self;
        let (digest, bytes) = hasher.finish();
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            return Err(BlobError::Mismatch { expected, actual: digest });
        }
        let written = file.as_file().metadata().and_then(|metadata| metadata.modified());
        let written = written.map_err(Fault::file("read the time of", file.path()))?;
        let path = blobs.path(&digest);
        let folder = path.parent().expect("a blob's path has a folder, as `Blobs::path` makes it");
        if !blobs.renew(&digest, written)? {
            // Write-once: nobody changes by mistake what others have mapped.
            let read_only = fs::Permissions::from_mode(0o400);
            let file_fault = |error| Fault::file("sync", file.path())(error);
            file.as_file().set_permissions(read_only).map_err(file_fault)?;
            file.as_file().sync_all().map_err(file_fault)?;
            create_folder(folder)?;
            let _publishing = lock(&blobs.shared.publishing);
            file.persist(&path).map_err(|error| match error.error.kind() {
                io::ErrorKind::NotFound => BlobError::Discarded,
                _ => Fault::file("create", &path)(error.error).into(),
            })?;
        }
        // Also for a blob that was there: whoever renamed it may have been killed, or may not have come to this line yet.
        sync_folder(folder)?;
        Ok((digest, bytes))
    }
}

/// Follows no link, and opens no device, no pipe and no file of several names: what is under a digest is a file that
/// [`BlobWriter`] put there, which nobody reaches in another way.
fn open_own(path: &Path) -> io::Result<File> {
    // Nonblocking, or a pipe that nobody writes to would hold this thread. Plain files do not care.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    match (metadata.is_file(), metadata.nlink()) {
        (true, 1) => Ok(file),
        (true, _) => Err(io::Error::other("the file has other names (hard links); put a copy in its place")),
        (false, _) => Err(io::Error::other("it is no regular file")),
    }
}

fn missing_or_fault(digest: &Digest, path: &Path, error: io::Error) -> BlobError {
    match error.kind() {
        io::ErrorKind::NotFound => BlobError::Missing(*digest),
        _ => Fault::file("open", path)(error).into(),
    }
}

/// What a folder contains. An entry that disappears while we look was removed by garbage collection or a finished upload.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, fs::Metadata)>, Fault> {
    let fault = |error| Fault::file("read folder", folder)(error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        match entry.metadata() {
            Ok(metadata) => found.push((entry.path(), metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fault(error)),
        }
    }
    Ok(found)
}
