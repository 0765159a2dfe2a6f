//! A node's certificate, key and roots, read from files and checked before anything depends on them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{CertificateError as TlsCertificateError, ClientConfig, Error, RootCertStore, ServerConfig};
use spillway_types::{Digest, NodeIdentity};
use zeroize::Zeroizing;

use crate::certificate::{Certificate, CertificateError, ders};
use crate::secret::{FileError, read_bounded, read_secret};
use crate::tls::Credentials;

/// The node's certificate.
pub(crate) const CERTIFICATE_FILE: &str = "node.crt";

/// The node's key.
pub(crate) const KEY_FILE: &str = "node.key";

/// The certificates of the authorities that the node believes: one, or two while one takes over from the other.
pub(crate) const ROOTS_FILE: &str = "ca.crt";

/// Where a node's identity lies: `node.crt`, `node.key` and `ca.crt` in one folder.
#[derive(Clone, Debug)]
pub struct IdentityFiles {
    folder: PathBuf,
}

/// Who a node is, proved: what it shows to other nodes, and by what it knows them.
pub struct Identity {
    /// Who it is and where it stands.
    pub node: NodeIdentity,
    /// Until when its certificate holds.
    pub not_after: SystemTime,
    /// Of all three files.
    pub(crate) digest: Digest,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// Why a node cannot prove who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read, or others may read the key.
    #[error(transparent)]
    File(#[from] FileError),
    /// A certificate is damaged, or names no node.
    #[error("{}: {cause}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        cause: CertificateError,
    },
    /// The key is damaged.
    #[error("{} has no private key in PEM; take the one that `spillway ca issue` wrote with the certificate", .0.display())]
    Key(PathBuf),
    /// The key is another certificate's.
    #[error("{} does not belong to the certificate beside it; copy both from the same `spillway ca issue`", .0.display())]
    KeyMismatch(PathBuf),
    /// The certificate holds no more.
    #[error("{}: the certificate of {node} expired at {at}; issue a new one with `spillway ca issue`", path.display())]
    Expired {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        node: Box<NodeIdentity>,
        /// When.
        at: String,
    },
    /// The certificate does not hold yet.
    #[error("{}: the certificate of {node} holds from {from} on; set this machine's clock, or wait", path.display())]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        node: Box<NodeIdentity>,
        /// From when on.
        from: String,
    },
    /// None of the roots issued it.
    #[error(
        "{}: the certificate of {node} was issued by none of the authorities in {ROOTS_FILE} beside it; copy both from \
         the same `spillway ca issue`, or add its authority's certificate",
        path.display()
    )]
    WrongAuthority {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        node: Box<NodeIdentity>,
    },
    /// A root is no authority.
    #[error("{}: {subject} is no authority; put the `ca.crt` of `spillway ca init` there", path.display())]
    NotAuthority {
        /// The file.
        path: PathBuf,
        /// Whose certificate it is.
        subject: String,
    },
    /// No root holds any more.
    #[error("{}: every authority in it has expired; make a new one with `spillway ca init`", .0.display())]
    AuthorityExpired(PathBuf),
    /// TLS refuses the certificate for another reason.
    #[error("{}: {reason}; issue a new one with `spillway ca issue`", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        reason: String,
    },
    /// The files have become another node's while the node runs.
    #[error("{} is now for {found}, and this node is {own}; restart the node to make it another one", path.display())]
    Renamed {
        /// The file.
        path: PathBuf,
        /// Whom the file names.
        found: Box<NodeIdentity>,
        /// Who the node is.
        own: Box<NodeIdentity>,
    },
}

/// The text of the files, read and not yet believed.
pub(crate) struct Texts {
    certificate: String,
    key: Zeroizing<String>,
    roots: String,
}

impl Texts {
    /// Tells one state of the files from another.
    pub(crate) fn digest(&self) -> Digest {
        let parts = [self.certificate.as_str(), self.key.as_str(), self.roots.as_str()];
        // Digests of fixed length, so that nothing can move from one file to the next unseen.
        let digests = parts.map(|part| *Digest::of(part.as_bytes()).as_bytes());
        Digest::of(digests.as_flattened())
    }
}

impl IdentityFiles {
    /// The files in a folder. Nothing is read yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads the files and checks that other nodes with the same roots would believe them now.
    ///
    /// # Errors
    /// They would not, and why.
    pub fn load(&self) -> Result<Identity, IdentityError> {
        self.check(&self.read()?, SystemTime::now())
    }

    pub(crate) fn certificate_path(&self) -> PathBuf {
        self.folder.join(CERTIFICATE_FILE)
    }

    pub(crate) fn read(&self) -> Result<Texts, IdentityError> {
        Ok(Texts {
            certificate: read_bounded(&self.certificate_path())?,
            key: read_secret(&self.folder.join(KEY_FILE))?,
            roots: read_bounded(&self.folder.join(ROOTS_FILE))?,
        })
    }

    pub(crate) fn check(&self, texts: &Texts, now: SystemTime) -> Result<Identity, IdentityError> {
        let (path, key_path) = (self.certificate_path(), self.folder.join(KEY_FILE));
        let unreadable = |cause| IdentityError::Certificate { path: path.clone(), cause };
        let chain = ders(&texts.certificate).map_err(unreadable)?;
        let certificate = Certificate::from_der(&chain[0]).map_err(unreadable)?;
        let node = certificate.identity().map_err(unreadable)?;
        let key =
            PrivateKeyDer::from_pem_slice(texts.key.as_bytes()).map_err(|_| IdentityError::Key(key_path.clone()))?;
        let credentials = Credentials { chain, key, roots: Arc::new(self.roots(&texts.roots, now)?) };
        let refused = |error| self.refused(error, &node, &certificate);
        credentials.check(&node, now).map_err(refused)?;
        let key_refused = |error| match error {
            Error::InconsistentKeys(_) => IdentityError::KeyMismatch(key_path.clone()),
            // Not a key of a kind that can sign in TLS.
            Error::General(_) => IdentityError::Key(key_path.clone()),
            other => refused(other),
        };
        let server = Arc::new(credentials.server_config(&node.cluster).map_err(key_refused)?);
        let client = Arc::new(credentials.client_config().map_err(key_refused)?);
        Ok(Identity { node, not_after: certificate.not_after, digest: texts.digest(), server, client })
    }

    /// The authorities that hold now. TLS does not ask: for it a root is a name and a key.
    fn roots(&self, text: &str, now: SystemTime) -> Result<RootCertStore, IdentityError> {
        let path = self.folder.join(ROOTS_FILE);
        let unreadable = |cause| IdentityError::Certificate { path: path.clone(), cause };
        let mut roots = RootCertStore::empty();
        for der in ders(text).map_err(unreadable)? {
            let root = Certificate::from_der(&der).map_err(unreadable)?;
            if !root.is_authority {
                return Err(IdentityError::NotAuthority { path, subject: root.subject });
            }
            if root.not_after > now {
                roots.add(der).map_err(|error| unreadable(CertificateError::Malformed(error.to_string())))?;
            }
        }
        if roots.is_empty() { Err(IdentityError::AuthorityExpired(path)) } else { Ok(roots) }
    }

    /// The words for what rustls says of the certificate.
    fn refused(&self, error: Error, node: &NodeIdentity, certificate: &Certificate) -> IdentityError {
        let (path, node) = (self.certificate_path(), Box::new(node.clone()));
        let time = |time| humantime::format_rfc3339_seconds(time).to_string();
        let Error::InvalidCertificate(error) = error else {
            return IdentityError::Refused { path, reason: error.to_string() };
        };
        match error {
            TlsCertificateError::Expired | TlsCertificateError::ExpiredContext { .. } => {
                IdentityError::Expired { path, node, at: time(certificate.not_after) }
            }
            TlsCertificateError::NotValidYet | TlsCertificateError::NotValidYetContext { .. } => {
                IdentityError::NotYetValid { path, node, from: time(certificate.not_before) }
            }
            // An authority of the same name and another key: its signature is wrong.
            TlsCertificateError::UnknownIssuer | TlsCertificateError::BadSignature => {
                IdentityError::WrongAuthority { path, node }
            }
            other => IdentityError::Refused { path, reason: other.to_string() },
        }
    }
}

impl Identity {
    /// For taking connections: TLS 1.3, HTTP/2, and a certificate demanded of whoever calls.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }

    /// For calling other nodes, each by its [`server_name`](crate::server_name).
    pub fn client_config(&self) -> Arc<ClientConfig> {
        self.client.clone()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("node", &self.node).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}
