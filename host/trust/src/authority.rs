//! The authority of a cluster, which issues certificates to nodes.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::ServerName;
use spillway_types::{ClusterName, NodeIdentity};
use zeroize::Zeroizing;

use crate::certificate::{Certificate, CertificateError, ders, dns_name, is_reserved, trust_domain};
use crate::identity::{CERTIFICATE_FILE, KEY_FILE, ROOTS_FILE};
use crate::secret::{FileError, read_bounded, read_secret, write_new, write_secret};

/// The authority's certificate beside its key. Nodes get it under the same name.
const AUTHORITY_FILE: &str = ROOTS_FILE;

/// The authority's key, which never leaves the machine that it was made on.
const AUTHORITY_KEY_FILE: &str = "ca.key";

/// How long before now a certificate begins to hold, so that nodes whose clocks are behind take it at once.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);

/// The longest that a certificate can hold: dates must stay below the year 10000 (RFC 5280, section 4.1.2.5).
const VALID_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// From when until when a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: SystemTime,
    /// The last moment.
    pub not_after: SystemTime,
}

impl Validity {
    /// From now on, and an hour before for clocks that are behind; at most 100 years.
    pub fn from_now(length: Duration) -> Self {
        let now = SystemTime::now();
        Self { not_before: now - CLOCK_SKEW, not_after: now + length.min(VALID_MAX) }
    }
}

/// The authority of one cluster: its certificate and its key.
pub struct Authority {
    cluster: ClusterName,
    certificate: Certificate,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What a node needs to be one: see [`IdentityFiles`](crate::IdentityFiles).
pub struct IssuedIdentity {
    /// Who it is.
    pub identity: NodeIdentity,
    /// The node's certificate.
    pub certificate_pem: String,
    /// The node's key.
    pub key_pem: Zeroizing<String>,
    /// The certificate of the authority, by which the node knows others.
    pub authority_pem: String,
    /// Until when the certificate holds.
    pub not_after: SystemTime,
}

/// Why there is no authority, or why it issues no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The authority's certificate is none.
    #[error("the authority's certificate cannot be read: {0}")]
    Certificate(#[from] CertificateError),
    /// It is a certificate of something else.
    #[error("the certificate of {subject} is no authority's of a cluster; make one with `spillway ca init CLUSTER`")]
    NotAuthority {
        /// Whose it is.
        subject: String,
    },
    /// The key is none.
    #[error("the authority's key cannot be read; it is a private key in PKCS#8 PEM, as `spillway ca init` writes it")]
    Key,
    /// The key is another's.
    #[error("the authority's key does not belong to its certificate; take both from the same `spillway ca init`")]
    KeyMismatch,
    /// Nobody would believe what it issued.
    #[error(
        "the authority of {cluster} expired at {at}; make a new one with `spillway ca init` and give it to all nodes"
    )]
    Expired {
        /// Whose authority it is.
        cluster: ClusterName,
        /// When.
        at: String,
    },
    /// The node belongs elsewhere.
    #[error("{identity} is in another cluster than the authority, which is of {cluster}")]
    WrongCluster {
        /// The node.
        identity: Box<NodeIdentity>,
        /// Whose authority it is.
        cluster: ClusterName,
    },
    /// A name that would let the node pass for another one.
    #[error(
        "`{0}` cannot be an address of a node: names under .spillway are the nodes' own; name a host or IP address"
    )]
    ReservedName(String),
    /// The certificate cannot be made.
    #[error("the certificate cannot be made: {0}")]
    Make(String),
}

impl From<rcgen::Error> for AuthorityError {
    fn from(error: rcgen::Error) -> Self {
        Self::Make(error.to_string())
    }
}

impl Authority {
    /// A new authority, with a new ECDSA key on P-256, which TLS stacks and OpenSSL alike take.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn init(cluster: &ClusterName, validity: Validity) -> Result<Self, AuthorityError> {
        let mut params = params(cluster, "Spillway authority", validity);
        // Issues certificates to nodes, and to no further authority.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![SanType::URI(trust_domain(cluster).try_into()?)];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Self::from_pem(&certificate.pem(), &key.serialize_pem())
    }

    /// Reads an authority's certificate and key.
    ///
    /// # Errors
    /// One of them is something else, or they do not belong together.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, AuthorityError> {
        let der = ders(certificate_pem)?.remove(0);
        let certificate = Certificate::from_der(&der)?;
        let cluster = certificate
            .authority_of()
            .ok_or_else(|| AuthorityError::NotAuthority { subject: certificate.subject.clone() })?;
        let key = KeyPair::from_pem(key_pem).map_err(|_| AuthorityError::Key)?;
        if key.public_key_raw() != certificate.public_key {
            return Err(AuthorityError::KeyMismatch);
        }
        let issuer = Issuer::from_ca_cert_der(&der, key)?;
        Ok(Self { cluster, certificate, certificate_pem: certificate_pem.to_owned(), issuer })
    }

    /// Reads `ca.crt` and `ca.key` in a folder.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem), or a file cannot be read, or others may read the key.
    pub fn load(folder: &Path) -> Result<Self, AuthorityError> {
        let key = read_secret(&folder.join(AUTHORITY_KEY_FILE))?;
        Self::from_pem(&read_bounded(&folder.join(AUTHORITY_FILE))?, &key)
    }

    /// Writes `ca.crt` and `ca.key` into a folder, which is made where it is missing.
    ///
    /// # Errors
    /// One of them is there already or cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), AuthorityError> {
        let (certificate, key) = (folder.join(AUTHORITY_FILE), folder.join(AUTHORITY_KEY_FILE));
        refuse_existing(&[&certificate, &key])?;
        write_secret(&key, self.key_pem().as_bytes())?;
        Ok(write_new(&certificate, self.certificate_pem.as_bytes())?)
    }

    /// Which cluster it is the authority of.
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// What its certificate says.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Its certificate, which every node gets.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its key. Who holds it can be any node.
    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    /// A key and a certificate for a node, which holds no longer than the authority's own. `addresses` are host names and
    /// IP addresses by which others than nodes reach it.
    ///
    /// # Errors
    /// The node is of another cluster, an address is a node's name, or the authority has expired.
    pub fn issue(
        &self,
        identity: &NodeIdentity,
        validity: Validity,
        addresses: &[ServerName<'_>],
    ) -> Result<IssuedIdentity, AuthorityError> {
        if identity.cluster != self.cluster {
            let cluster = self.cluster.clone();
            return Err(AuthorityError::WrongCluster { identity: Box::new(identity.clone()), cluster });
        }
        let not_after = validity.not_after.min(self.certificate.not_after);
        if not_after <= validity.not_before || self.certificate.not_after <= SystemTime::now() {
            let at = humantime::format_rfc3339_seconds(self.certificate.not_after).to_string();
            return Err(AuthorityError::Expired { cluster: self.cluster.clone(), at });
        }
        let validity = Validity { not_after, ..validity };
        let mut params = params(&self.cluster, identity.node.as_str(), validity);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // A node is called and calls.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names = vec![
            SanType::URI(identity.to_string().try_into()?),
            SanType::DnsName(dns_name(&identity.node, &identity.cluster).try_into()?),
        ];
        for address in addresses {
            params.subject_alt_names.push(match address {
                ServerName::IpAddress(ip) => SanType::IpAddress((*ip).into()),
                name if is_reserved(&name.to_str()) => {
                    return Err(AuthorityError::ReservedName(name.to_str().into_owned()));
                }
                name => SanType::DnsName(name.to_str().as_ref().try_into()?),
            });
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(IssuedIdentity {
            identity: identity.clone(),
            certificate_pem: certificate.pem(),
            key_pem: Zeroizing::new(key.serialize_pem()),
            authority_pem: self.certificate_pem.clone(),
            not_after,
        })
    }
}

impl IssuedIdentity {
    /// Writes `node.crt`, `node.key` and `ca.crt` into a folder, which is made where it is missing.
    ///
    /// # Errors
    /// One of them is there already or cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), FileError> {
        let [certificate, key, roots] = [CERTIFICATE_FILE, KEY_FILE, ROOTS_FILE].map(|name| folder.join(name));
        refuse_existing(&[&certificate, &key, &roots])?;
        write_secret(&key, self.key_pem.as_bytes())?;
        write_new(&certificate, self.certificate_pem.as_bytes())?;
        write_new(&roots, self.authority_pem.as_bytes())
    }
}

/// Before anything is written, so that a refusal leaves no half of a pair.
fn refuse_existing(paths: &[&Path]) -> Result<(), FileError> {
    match paths.iter().find(|path| path.exists()) {
        Some(path) => Err(FileError::Exists(path.to_path_buf())),
        None => Ok(()),
    }
}

fn params(cluster: &ClusterName, common_name: &str, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, cluster.as_str());
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = validity.not_before.into();
    params.not_after = validity.not_after.into();
    params
}
