//! TLS for callers: a certificate that any client's authorities may have issued, and that follows its files.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{Error, ServerConfig};
use spillway_types::Digest;

use crate::certificate::{CertificateError, ders};
use crate::secret::{FileError, read_bounded, read_secret};
use crate::tls::provider;

/// What callers may speak, best first (RFC 7301).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where certificate and key lie, both in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its key, which others may not read.
    pub key: PathBuf,
}

/// Why callers cannot be served over TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or others may read the key.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificate is damaged.
    #[error("{}: {cause}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        cause: CertificateError,
    },
    /// The key is damaged.
    #[error("{} has no private key in PEM; write the key of the certificate there", .0.display())]
    Key(PathBuf),
    /// The key is another certificate's.
    #[error("{} is not the key of {}; copy both from where they were issued", key.display(), certificate.display())]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's.
        certificate: PathBuf,
    },
    /// TLS refuses the certificate for another reason.
    #[error("{}: {reason}; have it issued anew", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        reason: String,
    },
}

/// TLS for callers: 1.2 and 1.3, HTTP/2 and HTTP/1.1.
///
/// Ask for a configuration for each connection: connections that are there keep what they began with.
#[derive(Debug)]
pub struct ServerTls {
    files: TlsFiles,
    current: ArcSwap<Current>,
}

#[derive(Debug)]
struct Current {
    /// Of both files.
    digest: Digest,
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// Reads the files for the first time. Blocks on the disk.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(Current::read(&files, None)?.expect("nothing was read before"));
        Ok(Self { files, current })
    }

    /// For the next connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.load().config.clone()
    }

    /// Reads the files again, and says whether they are others than before. Blocks on the disk.
    ///
    /// # Errors
    /// The new files are not good, as they are not between the copying of the one and of the other: the certificate stays
    /// as it was, and the next call tries again.
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let before = self.current.load().digest;
        let new = Current::read(&self.files, Some(before))?;
        let is_new = new.is_some();
        if let Some(new) = new {
            self.current.store(Arc::new(new));
        }
        Ok(is_new)
    }
}

impl Current {
    /// `None` if the files are as they were.
    fn read(files: &TlsFiles, before: Option<Digest>) -> Result<Option<Self>, TlsError> {
        let (text, key) = (read_bounded(&files.certificate)?, read_secret(&files.key)?);
        // Digests of fixed length, so that nothing can move from one file to the other unseen.
        let parts = [text.as_bytes(), key.as_bytes()].map(|part| *Digest::of(part).as_bytes());
        let digest = Digest::of(parts.as_flattened());
        if before == Some(digest) {
            return Ok(None);
        }
        let chain = ders(&text).map_err(|cause| TlsError::Certificate { path: files.certificate.clone(), cause })?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| TlsError::Key(files.key.clone()))?;
        let refused = |error| match error {
            Error::InconsistentKeys(_) => {
                TlsError::KeyMismatch { key: files.key.clone(), certificate: files.certificate.clone() }
            }
            Error::General(_) => TlsError::Key(files.key.clone()),
            other => TlsError::Refused { path: files.certificate.clone(), reason: other.to_string() },
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(refused)?;
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        Ok(Some(Self { digest, config: Arc::new(config) }))
    }
}
