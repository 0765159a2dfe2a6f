//! The handle to a data folder.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::blobs::Blobs;
use crate::database::Database;
use crate::folder::{self, OpenError, create_folder};
use crate::keyvalue::KeyValue;

/// A handle to an open data folder: cheap to clone, usable from any thread, closed with the last clone.
///
/// Every method blocks on the disk.
#[derive(Clone)]
pub struct Store {
    /// All clones, and the blob writers and buckets made from them, keep the folder open together.
    pub(crate) shared: Arc<Shared>,
}

/// What the handles share. The locks are inside, and always taken in this order: database, then publishing.
pub(crate) struct Shared {
    /// Where it all lies; absolute.
    pub(crate) folder: PathBuf,
    /// Functions, revisions and key-value pairs, with their own locks.
    pub(crate) database: Database,
    /// Held for the instant in which a blob gets its name, is found to be there, or is deleted: otherwise an upload could
    /// find a blob there and garbage collection delete it before its grace period is renewed.
    pub(crate) publishing: Mutex<()>,
    /// Wakes who watches the control store of this folder, whichever handle made the change.
    pub(crate) control_changed: watch::Sender<()>,
    /// Keeps other nodes out. Last, so that the database is closed, and its log folded in, before another may open it.
    _lock: File,
}

impl Store {
    /// Opens the data folder, or makes it, and clears away what a killed node had not finished.
    ///
    /// # Errors
    /// The folder is in use, was written by another version, or cannot be read or written.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let (folder, lock) = folder::claim(folder)?;
        let fault = |fault| OpenError::Fault { folder: folder.clone(), fault };
        create_folder(&folder.join("blobs")).map_err(fault)?;
        create_folder(&folder.join("blobs/sha256")).map_err(fault)?;
        create_folder(&folder.join("staging")).map_err(fault)?;
        let database = Database::open(&folder)?;
        let shared = Arc::new(Shared {
            folder: folder.clone(),
            database,
            publishing: Mutex::default(),
            control_changed: watch::Sender::new(()),
            _lock: lock,
        });
        let store = Self { shared };
        store.blobs().clear_staging().map_err(fault)?;
        Ok(store)
    }

    /// The data folder, absolute.
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// Bundles and models, by digest.
    pub fn blobs(&self) -> Blobs {
        Blobs { shared: Arc::clone(&self.shared) }
    }

    /// The key-value data of guests.
    pub fn keyvalue(&self) -> KeyValue {
        KeyValue { shared: Arc::clone(&self.shared) }
    }
}
