//! An identity that follows its files: certificates change without a restart.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::{ClientConfig, ServerConfig};

use crate::identity::{Identity, IdentityError, IdentityFiles};

/// A node's identity as its files have it now.
///
/// Ask for a configuration for each connection: connections that are there keep what they began with, and new ones get
/// certificate, key and roots that belong together.
#[derive(Debug)]
pub struct ReloadingIdentity {
    files: IdentityFiles,
    current: ArcSwap<Identity>,
}

impl ReloadingIdentity {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// As [`IdentityFiles::load`].
    pub fn load(files: IdentityFiles) -> Result<Self, IdentityError> {
        let current = ArcSwap::from_pointee(files.load()?);
        Ok(Self { files, current })
    }

    /// The identity now.
    pub fn current(&self) -> Arc<Identity> {
        self.current.load_full()
    }

    /// For the next connection to take.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.current.load().server_config()
    }

    /// For the next connection to make.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        self.current.load().client_config()
    }

    /// Reads the files again, and says whether they are others than before. By their content: a file that is replaced
    /// twice within the resolution of the clock would look the same by its time. Blocks on the disk.
    ///
    /// # Errors
    /// The new files are not good, as they are not between the copying of the first and of the last: the identity stays
    /// as it was, and the next call tries again.
    pub fn reload_if_changed(&self) -> Result<bool, IdentityError> {
        let texts = self.files.read()?;
        let current = self.current.load();
        if texts.digest() == current.digest {
            return Ok(false);
        }
        let new = self.files.check(&texts, SystemTime::now())?;
        if new.node != current.node {
            return Err(IdentityError::Renamed {
                path: self.files.certificate_path(),
                found: Box::new(new.node),
                own: Box::new(current.node.clone()),
            });
        }
        self.current.store(Arc::new(new));
        Ok(true)
    }
}
