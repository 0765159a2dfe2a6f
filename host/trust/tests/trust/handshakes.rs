//! TLS between nodes, without a socket: two connections of rustls that hand each other their bytes.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use spillway_trust::{Identity, IssuedIdentity, ReloadingIdentity, peer_identity, server_name};
use spillway_types::NodeIdentity;

use crate::{Files, authority, day, issue, node};

/// Two ends after their handshake.
struct Connected {
    client: ClientConnection,
    server: ServerConnection,
}

impl Connected {
    /// Whom each end sees: the client first.
    fn peers(&self) -> (NodeIdentity, NodeIdentity) {
        let seen = |certificates: Option<&[CertificateDer<'_>]>| peer_identity(certificates.unwrap()).unwrap().0;
        (seen(self.server.peer_certificates()), seen(self.client.peer_certificates()))
    }

    /// Sends text from client to server.
    fn says(&mut self, text: &str) -> String {
        use std::io::{Read as _, Write as _};
        self.client.writer().write_all(text.as_bytes()).unwrap();
        assert_eq!(exchange(&mut self.client, &mut self.server), (None, None));
        let mut heard = vec![0; text.len()];
        self.server.reader().read_exact(&mut heard).unwrap();
        String::from_utf8(heard).unwrap()
    }
}

/// What each end complains of, the client first.
type Complaints = (Option<String>, Option<String>);

/// Hands over bytes until neither end has any, or both have failed.
fn exchange(client: &mut ClientConnection, server: &mut ServerConnection) -> Complaints {
    let mut complaints: Complaints = (None, None);
    loop {
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut to_server).unwrap();
        }
        while server.wants_write() {
            server.write_tls(&mut to_client).unwrap();
        }
        if to_server.is_empty() && to_client.is_empty() {
            return complaints;
        }
        let (mut from_client, mut from_server) = (to_server.as_slice(), to_client.as_slice());
        while !from_client.is_empty() && complaints.1.is_none() {
            server.read_tls(&mut from_client).unwrap();
            complaints.1 = server.process_new_packets().err().map(|error| error.to_string());
        }
        while !from_server.is_empty() && complaints.0.is_none() {
            client.read_tls(&mut from_server).unwrap();
            complaints.0 = client.process_new_packets().err().map(|error| error.to_string());
        }
    }
}

fn connect(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    expected: &NodeIdentity,
) -> Result<Connected, Complaints> {
    let name = server_name(&expected.node, &expected.cluster);
    let mut client = ClientConnection::new(client, name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    match exchange(&mut client, &mut server) {
        (None, None) if !client.is_handshaking() && !server.is_handshaking() => Ok(Connected { client, server }),
        complaints => Err(complaints),
    }
}

fn load(issued: &IssuedIdentity) -> Identity {
    Files::of(issued).files.load().unwrap()
}

/// A client that shows any certificate, checked or not, and believes the given authority.
fn client_showing(issued: Option<&IssuedIdentity>, authority_pem: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority_pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let Some(issued) = issued else { return Arc::new(builder.with_no_client_auth()) };
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap()];
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    Arc::new(builder.with_client_auth_cert(chain, key).unwrap())
}

/// A server that shows any certificate, checked or not, and takes any client.
fn server_showing(issued: &IssuedIdentity) -> Arc<ServerConfig> {
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap()];
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

#[test]
fn two_nodes_of_one_cluster_know_each_other_and_speak_http_2_over_tls_1_3() {
    let authority = authority("acme");
    let (a, b) = (load(&issue(&authority, "a")), load(&issue(&authority, "b")));
    let mut connected = connect(a.client_config(), b.server_config(), &node("b")).ok().unwrap();
    assert_eq!(connected.peers(), (node("a"), node("b")));
    assert_eq!(connected.server.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(connected.server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(connected.says("hello"), "hello");
}

#[test]
fn neither_end_resumes_a_session_so_that_every_connection_shows_its_certificate() {
    let authority = authority("acme");
    let (issued_a, issued_b) = (issue(&authority, "a"), issue(&authority, "b"));
    // On the other end each time one that would.
    let willing = (client_showing(Some(&issued_a), authority.certificate_pem()), server_showing(&issued_b));
    let again = |client: &Arc<ClientConfig>, server: &Arc<ServerConfig>| {
        let kinds = [(); 2].map(|()| {
            let mut connected = connect(client.clone(), server.clone(), &node("b")).ok().unwrap();
            connected.says("hello");
            connected.client.handshake_kind().unwrap()
        });
        kinds[1]
    };
    assert_eq!(again(&willing.0, &willing.1), rustls::HandshakeKind::Resumed, "they do among themselves");
    assert_eq!(again(&load(&issued_a).client_config(), &willing.1), rustls::HandshakeKind::Full);
    assert_eq!(again(&willing.0, &load(&issued_b).server_config()), rustls::HandshakeKind::Full);
}

#[test]
fn a_node_of_another_authority_gets_in_nowhere_though_it_bears_the_right_name() {
    let (ours, theirs) = (authority("acme"), authority("acme"));
    let (a, b) = (load(&issue(&ours, "a")), load(&issue(&ours, "b")));
    let impostor = issue(&theirs, "b");
    let as_server = connect(a.client_config(), server_showing(&impostor), &node("b")).err().unwrap();
    assert!(as_server.0.unwrap().contains("BadSignature"), "the client refuses");
    let as_client = client_showing(Some(&impostor), ours.certificate_pem());
    let as_client = connect(as_client, b.server_config(), &node("b")).err().unwrap();
    assert!(as_client.1.unwrap().contains("BadSignature"), "the server refuses");

    let stranger = load(&issue(&authority("other"), "other/b"));
    let refused = connect(a.client_config(), stranger.server_config(), &node("b")).err().unwrap();
    assert!(refused.0.unwrap().contains("UnknownIssuer"));
    let refused = connect(stranger.client_config(), b.server_config(), &node("b")).err().unwrap();
    // It cannot even tell who it is talking to.
    assert!(refused.0.unwrap().contains("UnknownIssuer"));
}

#[test]
fn an_expired_certificate_is_refused_on_either_end() {
    let authority = authority("acme");
    let expired = authority.issue(&node("b"), day(-2), &[]).unwrap();
    let a = load(&issue(&authority, "a"));
    let as_server = connect(a.client_config(), server_showing(&expired), &node("b")).err().unwrap();
    assert!(as_server.0.unwrap().contains("expired"));
    let client = client_showing(Some(&expired), authority.certificate_pem());
    let as_client = connect(client, a.server_config(), &node("a")).err().unwrap();
    assert!(as_client.1.unwrap().contains("expired"));
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let authority = authority("acme");
    let server = load(&issue(&authority, "a"));
    let bare = client_showing(None, authority.certificate_pem());
    let refused = connect(bare, server.server_config(), &node("a")).err().unwrap();
    assert!(refused.1.unwrap().contains("peer sent no certificates"));
}

#[test]
fn another_node_of_the_cluster_does_not_pass_for_the_one_that_was_called() {
    let authority = authority("acme");
    let (a, c) = (load(&issue(&authority, "a")), load(&issue(&authority, "c")));
    let refused = connect(a.client_config(), c.server_config(), &node("b")).err().unwrap();
    assert!(refused.0.unwrap().contains("not valid for name"));
}

#[test]
fn a_certificate_of_the_right_authority_that_names_no_node_is_refused() {
    let authority = authority("acme");
    let server = load(&issue(&authority, "a"));
    // The authority itself: its certificate is signed by a root that the server trusts, and names a trust domain only.
    let itself = IssuedIdentity {
        certificate_pem: authority.certificate_pem().to_owned(),
        key_pem: authority.key_pem(),
        ..issue(&authority, "b")
    };
    let client = client_showing(Some(&itself), authority.certificate_pem());
    connect(client, server.server_config(), &node("a")).err().unwrap();

    // A service of the same authority: everything about it is right but that it has no SPIFFE ID.
    let service = crate::authorities::service(&authority);
    let client = client_showing(Some(&service), authority.certificate_pem());
    let refused = connect(client, server.server_config(), &node("a")).err().unwrap();
    assert!(refused.1.unwrap().contains("ApplicationVerificationFailure"));
}

#[test]
fn certificates_and_authorities_change_without_a_restart_and_connections_live_on() {
    let (old, new) = (authority("acme"), authority("acme"));
    let both = format!("{}{}", old.certificate_pem(), new.certificate_pem());
    let files = [Files::of(&issue(&old, "a")), Files::of(&issue(&old, "b"))];
    let nodes = files.each_ref().map(|files| ReloadingIdentity::load(files.files.clone()).unwrap());
    let [a, b] = &nodes;
    let connect_now = || connect(a.client_config(), b.server_config(), &node("b"));
    let mut first = connect_now().ok().unwrap();
    assert!(!a.reload_if_changed().unwrap(), "nothing has changed");

    // First everybody believes both authorities, then nodes change over one by one, then the old authority goes.
    for (files, node) in files.iter().zip(&nodes) {
        files.write("ca.crt", &both);
        assert!(node.reload_if_changed().unwrap());
    }
    let mut second = connect_now().ok().unwrap();
    files[0].replace(&issue(&new, "a"));
    assert!(a.reload_if_changed().unwrap());
    let mut third = connect_now().ok().unwrap();
    files[1].replace(&issue(&new, "b"));
    assert!(b.reload_if_changed().unwrap());
    for (files, node) in files.iter().zip(&nodes) {
        files.write("ca.crt", new.certificate_pem());
        assert!(node.reload_if_changed().unwrap());
    }
    let mut fourth = connect_now().ok().unwrap();
    for connected in [&mut first, &mut second, &mut third, &mut fourth] {
        assert_eq!(connected.says("still here"), "still here");
    }
    // What the old authority issued is worth nothing now.
    let left = client_showing(Some(&issue(&old, "c")), new.certificate_pem());
    connect(left, b.server_config(), &node("b")).err().unwrap();
}

#[test]
fn an_authority_that_takes_over_before_others_know_it_is_refused() {
    let (old, new) = (authority("acme"), authority("acme"));
    let (a, b) = (load(&issue(&old, "a")), load(&issue(&new, "b")));
    connect(a.client_config(), b.server_config(), &node("b")).err().unwrap();
}
