//! What a certificate says (RFC 5280). Whether to believe it is for `tls` to decide.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use spillway_types::{ClusterName, NodeIdentity, NodeName, ParseIdentityError};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The end of the DNS name of every node. It stands in no DNS: it is what a caller wants its peer's certificate to have.
const NAME_SUFFIX: &str = ".spillway";

/// The scheme of SPIFFE IDs.
const SPIFFE: &str = "spiffe://";

/// What one certificate says, whoever signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it is for, as a distinguished name.
    pub subject: String,
    /// Who issued it, likewise.
    pub issuer: String,
    /// Whether it may issue others.
    pub is_authority: bool,
    /// Its URIs: the identity of a node, or the trust domain of an authority.
    pub uris: Vec<String>,
    /// Its host names.
    pub dns_names: Vec<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// From when on it holds; 1970 if it says something earlier.
    pub not_before: SystemTime,
    /// Until when it holds; 1970 if it says something earlier.
    pub not_after: SystemTime,
    /// The public key in it, as the certificate has it.
    pub(crate) public_key: Vec<u8>,
}

/// A certificate that does not name a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No certificate at all.
    #[error("this is no X.509 certificate: {0}")]
    Malformed(String),
    /// A certificate of something else.
    #[error("the certificate of {subject} has {count} URIs, and a node's has one; issue one with `spillway ca issue`")]
    Uris {
        /// Whose it is.
        subject: String,
        /// How many it has.
        count: usize,
    },
    /// Its URI is no identity.
    #[error(transparent)]
    Identity(#[from] ParseIdentityError),
    /// Its DNS name is another node's, or it has several.
    #[error(
        "the certificate of {identity} must have the DNS name {expected} and no other under {NAME_SUFFIX}; issue one \
         with `spillway ca issue`"
    )]
    Name {
        /// Whom it names.
        identity: Box<NodeIdentity>,
        /// The name that goes with it.
        expected: String,
    },
}

impl Certificate {
    /// Reads one certificate.
    ///
    /// # Errors
    /// The bytes are something else: [`CertificateError::Malformed`].
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let malformed = |error: &dyn std::fmt::Display| CertificateError::Malformed(error.to_string());
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|error| malformed(&error))?;
        if !rest.is_empty() {
            return Err(malformed(&format!("{} bytes follow it", rest.len())));
        }
        let mut certificate = Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            is_authority: parsed.is_ca(),
            uris: Vec::new(),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            not_before: time(parsed.validity().not_before.timestamp()),
            not_after: time(parsed.validity().not_after.timestamp()),
            public_key: parsed.public_key().subject_public_key.data.to_vec(),
        };
        let names = parsed.subject_alternative_name().map_err(|error| malformed(&error))?;
        for name in names.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::URI(uri) => certificate.uris.push((*uri).to_owned()),
                GeneralName::DNSName(name) => certificate.dns_names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => certificate.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        Ok(certificate)
    }

    /// Reads all certificates in PEM text, whatever else stands there.
    ///
    /// # Errors
    /// One is damaged, or there is none: [`CertificateError::Malformed`].
    pub fn from_pem(text: &str) -> Result<Vec<Self>, CertificateError> {
        ders(text)?.iter().map(|der| Self::from_der(der)).collect()
    }

    /// The node that it names: its only URI is a node's SPIFFE ID, and of DNS names under `.spillway` it has that node's
    /// alone.
    ///
    /// Both say the same so that either may be checked: rustls compares the DNS name with the node that was called, and
    /// the URI says the rest.
    ///
    /// # Errors
    /// It names no node, several, or one in two ways.
    pub fn identity(&self) -> Result<NodeIdentity, CertificateError> {
        let [uri] = self.uris.as_slice() else {
            return Err(CertificateError::Uris { subject: self.subject.clone(), count: self.uris.len() });
        };
        let identity: NodeIdentity = uri.parse()?;
        let expected = dns_name(&identity.node, &identity.cluster);
        let mut names = self.dns_names.iter().filter(|name| is_reserved(name));
        match (names.next(), names.next()) {
            (Some(only), None) if *only == expected => Ok(identity),
            _ => Err(CertificateError::Name { identity: Box::new(identity), expected }),
        }
    }

    /// The cluster that it is the authority of, if it says so by the URI `spiffe://CLUSTER` (SPIFFE X509-SVID, section 3.2).
    pub fn authority_of(&self) -> Option<ClusterName> {
        match self.uris.as_slice() {
            [uri] if self.is_authority => uri.strip_prefix(SPIFFE)?.parse().ok(),
            _ => None,
        }
    }
}

/// The node that a peer has shown to be, and when its certificate ends, from the certificates of a TLS connection, its own first.
///
/// Only for certificates that TLS has verified: [`rustls::CommonState::peer_certificates`] after the handshake.
///
/// # Errors
/// There is no certificate, or it names no node.
pub fn peer_identity(certificates: &[CertificateDer<'_>]) -> Result<(NodeIdentity, SystemTime), CertificateError> {
    let first = certificates.first().ok_or_else(|| CertificateError::Malformed("there is none".to_owned()))?;
    let certificate = Certificate::from_der(first)?;
    Ok((certificate.identity()?, certificate.not_after))
}

/// All certificates in PEM text; at least one.
pub(crate) fn ders(text: &str) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let ders: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let ders = ders.map_err(|error| CertificateError::Malformed(error.to_string()))?;
    if ders.is_empty() {
        return Err(CertificateError::Malformed("there is no `BEGIN CERTIFICATE` in it".to_owned()));
    }
    Ok(ders)
}

/// The DNS name of a node.
pub(crate) fn dns_name(node: &NodeName, cluster: &ClusterName) -> String {
    format!("{node}.{cluster}{NAME_SUFFIX}")
}

/// Whether only a node's own certificate may have this DNS name. In any case of letters, as DNS compares.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.trim_end_matches('.').to_ascii_lowercase().ends_with(NAME_SUFFIX)
}

/// The URI of a cluster's authority.
pub(crate) fn trust_domain(cluster: &ClusterName) -> String {
    format!("{SPIFFE}{cluster}")
}

fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}
