//! TLS between nodes: version 1.3, HTTP/2, both ends with certificates of the cluster's authority.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerifier as _};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, KeyLogFile, RootCertStore,
    ServerConfig, SignatureScheme,
};
use spillway_types::{ClusterName, NodeIdentity, NodeName};

use crate::certificate::{dns_name, peer_identity};

/// HTTP/2, as ALPN has it (RFC 9113, section 3.2).
const ALPN: &[u8] = b"h2";

/// The name that a node wants in the certificate of the node that it calls, wherever that one listens.
pub fn server_name(node: &NodeName, cluster: &ClusterName) -> ServerName<'static> {
    ServerName::try_from(dns_name(node, cluster)).expect("labels and dots, 136 characters at most, are a DNS name")
}

/// The file that gets the secrets of all connections between nodes, where the environment asks for one: as browsers do, to
/// look at one's own traffic. Whoever reads it can read that.
pub fn key_log_file() -> Option<PathBuf> {
    // The name that `KeyLogFile` looks for.
    std::env::var_os("SSLKEYLOGFILE").map(PathBuf::from)
}

/// What a node shows to others and by what it knows them.
pub(crate) struct Credentials {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) roots: Arc<RootCertStore>,
}

impl Credentials {
    /// Whether other nodes with the same roots would believe the certificate, called and calling.
    pub(crate) fn check(&self, identity: &NodeIdentity, now: SystemTime) -> Result<(), Error> {
        let (first, rest) = self.chain.split_first().expect("a chain that was read has a certificate");
        let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(since_1970);
        let name = server_name(&identity.node, &identity.cluster);
        let server = WebPkiServerVerifier::builder_with_provider(self.roots.clone(), provider());
        server.build().map_err(no_verifier)?.verify_server_cert(first, rest, &name, &[], now)?;
        self.peers(&identity.cluster)?.verify_client_cert(first, rest, now).map(|_| ())
    }

    /// For taking connections of other nodes.
    ///
    /// # Errors
    /// The key is not the certificate's.
    pub(crate) fn server_config(&self, cluster: &ClusterName) -> Result<ServerConfig, Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(self.peers(cluster)?)
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session skips the certificate, which may have expired and whose authority may be trusted no more.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.key_log = Arc::new(KeyLogFile::new());
        Ok(config)
    }

    /// For calling other nodes.
    ///
    /// # Errors
    /// The key is not the certificate's.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, Error> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(self.roots.clone())
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        config.key_log = Arc::new(KeyLogFile::new());
        Ok(config)
    }

    fn peers(&self, cluster: &ClusterName) -> Result<Arc<Peers>, Error> {
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots.clone(), provider());
        Ok(Arc::new(Peers { inner: verifier.build().map_err(no_verifier)?, cluster: cluster.clone() }))
    }
}

fn no_verifier(error: VerifierBuilderError) -> Error {
    Error::General(error.to_string())
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Takes the certificates of the cluster's nodes: what rustls takes, if it also names a node.
///
/// A client is called by no name that rustls could compare; without this an authority that serves other purposes, too,
/// would let all that it ever certified in.
#[derive(Debug)]
struct Peers {
    inner: Arc<dyn ClientCertVerifier>,
    cluster: ClusterName,
}

impl ClientCertVerifier for Peers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        match peer_identity(std::slice::from_ref(end_entity)) {
            Ok((identity, _)) if identity.cluster == self.cluster => Ok(verified),
            _ => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
