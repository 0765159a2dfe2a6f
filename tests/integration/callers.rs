//! Who may call: tokens, and TLS whose certificate changes under way.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use spillway_tests::{Node, Ran, bundle, wait_until, with_manifest};
use spillway_types::{Auth, Manifest, ProblemType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{serving, variants};

const SOON: Duration = Duration::from_secs(20);

async fn run(args: &[&str]) -> Ran {
    let ran = spillway_tests::run(args).await;
    assert_eq!(ran.code, 0, "{args:?}: {ran:#?}");
    ran
}

/// Makes a token and gives it.
async fn token(file: &str, name: &str, functions: &str) -> String {
    let made = run(&["caller", "new", name, "--functions", functions, "--callers", file, "--json"]).await;
    made.json()["token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn routes_that_want_a_token_take_those_of_their_callers_and_forget_them_when_they_are_removed() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let file = folder.path().join("callers.toml");
    let file = file.to_str().expect("a plain path");
    let (ada, bob) = (token(file, "ada", "misbehave").await, token(file, "bob", "other/*").await);
    let node = Node::builder().args(&["--callers", file]).start().await;
    let manifest = serving::changed("misbehave", |manifest| manifest.routes[0].auth = Some(Auth::Token));
    assert_eq!(node.post(with_manifest(&bundle("misbehave"), &manifest), "").await.status, 201);
    node.deploy("hello").await;

    let call = async |token: Option<&str>| {
        let request =
            node.request(Method::GET, "/misbehave/header?name=spillway-caller").header("spillway-caller", "root");
        Node::send(token.into_iter().fold(request, |request, token| request.bearer_auth(token))).await
    };
    let stranger = call(None).await;
    stranger.problem(ProblemType::CallerUnknown, &["authorization: Bearer"]);
    assert_eq!(stranger.header("www-authenticate"), Some("Bearer realm=\"spillway\""));
    call(Some("spw_guessed")).await.problem(ProblemType::CallerUnknown, &["not known"]);
    call(Some(&bob)).await.problem(ProblemType::CallerForbidden, &["default/misbehave"]);
    assert!(call(Some(&ada)).await.ok().contains("ada"), "the function sees who calls");
    let own = Node::send(node.request(Method::GET, "/misbehave/header?name=authorization").bearer_auth(&ada)).await;
    assert!(!own.ok().contains(&ada), "the function does not see the token");
    // On loopback the others are open, as they were.
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");

    let listed = run(&["caller", "ls", "--callers", file]).await.stdout;
    assert!(listed.contains("ada") && listed.contains("other/*") && !listed.contains("spw_"), "{listed}");
    run(&["caller", "rm", "ada", "--callers", file]).await;
    wait_until("the token is known no more", SOON, async || call(Some(&ada)).await.status == 401).await;
    // What is no list changes nothing, and is said.
    std::fs::write(file, "[[caller]]\nname = 1\n").expect("a file");
    wait_until("the node says what is wrong", SOON, async || node.stderr().contains("callers.toml")).await;
    call(Some(&bob)).await.problem(ProblemType::CallerForbidden, &[]);
}

#[tokio::test]
async fn who_may_call_from_other_machines_has_to_be_said() {
    let refused = async |args: &[&str]| {
        let exit = Node::builder().args(args).try_start().await.err().expect("it does not start");
        assert_eq!(exit.status.code(), Some(2), "{exit:#?}");
        exit.stderr
    };
    let said = refused(&["--listen", "0.0.0.0:0"]).await;
    assert!(said.contains("--callers") && said.contains("--auth none"), "{said}");
    let said = refused(&["--auth", "token"]).await;
    assert!(said.contains("--callers"), "{said}");
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let file = folder.path().join("callers.toml");
    let file = file.to_str().expect("a plain path");
    let all = token(file, "all", "*").await;
    let node = Node::builder().args(&["--listen", "0.0.0.0:0", "--callers", file]).start().await;
    let open = variants::variant("hello", |manifest: &mut Manifest| manifest.routes[0].auth = Some(Auth::None));
    assert_eq!(node.post(open, "").await.status, 201);
    let at = |path: &str| format!("{}{path}", node.listen().replace("0.0.0.0", "127.0.0.1"));
    let get = |path: &str| node.http().get(at(path));
    assert_eq!(Node::send(get("/hello")).await.ok(), "Hello, world!\n");
    Node::send(get("/hello/x")).await.problem(ProblemType::CallerUnknown, &[]);
    assert_eq!(Node::send(get("/hello/x").bearer_auth(&all)).await.status, 200);
    assert_eq!(
        Node::builder().args(&["--listen", "0.0.0.0:0", "--auth", "none"]).start().await.call("/").await.status,
        404
    );
}

/// A certificate and key for callers, from an authority of its own: the folder of the authority's, and the two files.
async fn issue(folder: &Path, name: &str) -> (String, String, String) {
    let at = |name: &str| folder.join(name).to_str().expect("a plain path").to_owned();
    let ca = at("ca");
    if !Path::new(&ca).exists() {
        run(&["ca", "init", "acme", "--dir", &ca]).await;
    }
    let out = at(name);
    run(&["ca", "issue", name, "--role", "edge", "--site", "here", "--dir", &ca, "--out", &out]).await;
    (format!("{out}/ca.crt"), format!("{out}/node.crt"), format!("{out}/node.key"))
}

/// A caller's connection that speaks these protocols, and whose certificate is to be for `name`.
async fn connect(node: &Node, roots: &str, name: &str, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut store = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(roots).expect("a file") {
        store.add(root.expect("a certificate")).expect("a root");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.expect("versions").with_root_certificates(store).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let address = node.listen().strip_prefix("https://").expect("the node says that it speaks HTTPS");
    let stream = TcpStream::connect(address).await.expect("the node listens");
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn callers_speak_tls_with_either_protocol_and_the_certificate_changes_without_a_restart() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let (roots, certificate, key) = issue(folder.path(), "one").await;
    let node = Node::builder().args(&["--tls-cert", &certificate, "--tls-key", &key]).start().await;
    node.deploy("hello").await;
    let name = |node: &str| format!("{node}.acme.spillway");

    let mut h1 = connect(&node, &roots, &name("one"), &[b"http/1.1"]).await.expect("TLS");
    assert_eq!(h1.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let ask = b"GET /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let keep = b"GET /hello?name=kept HTTP/1.1\r\nhost: a\r\n\r\n";
    h1.write_all(keep).await.expect("sent");
    let mut first = [0; 4096];
    let read = h1.read(&mut first).await.expect("an answer");
    assert!(String::from_utf8_lossy(&first[..read]).contains("Hello, kept!"));

    let h2 = connect(&node, &roots, &name("one"), &[b"h2", b"http/1.1"]).await.expect("TLS");
    assert_eq!(h2.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = hyper_util::rt::TokioIo::new(h2);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get("https://a/hello?name=h2").body(String::new()).expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    let body = http_body_util::BodyExt::collect(response.into_body()).await.expect("a body").to_bytes();
    assert_eq!(body, "Hello, h2!\n");
    drop((sender, connection));
    assert!(connect(&node, &roots, &name("two"), &[]).await.is_err(), "the certificate is not for that name");

    // Half of a change is none: the old certificate stays until the key is its own.
    let (_, new_certificate, new_key) = issue(folder.path(), "two").await;
    std::fs::copy(&new_certificate, &certificate).expect("copied");
    wait_until("the node says what is wrong", SOON, async || node.stderr().contains("is not the key of")).await;
    drop(connect(&node, &roots, &name("one"), &[]).await.expect("the old certificate"));
    std::fs::copy(&new_key, &key).expect("copied");
    wait_until("the new certificate is shown", SOON, async || connect(&node, &roots, &name("two"), &[]).await.is_ok())
        .await;
    // A connection that was there goes on.
    h1.write_all(ask).await.expect("sent");
    let mut rest = Vec::new();
    h1.read_to_end(&mut rest).await.expect("an answer");
    assert!(String::from_utf8_lossy(&rest).contains("Hello, world!"));

    // Plain HTTP is answered by nobody there, and harms nothing.
    assert!(node.http().get(node.listen().replace("https", "http")).send().await.is_err());
    node.interrupt();
    assert_eq!(node.wait(SOON).await.status.code(), Some(0));
}

#[tokio::test]
async fn a_key_that_is_not_the_certificates_or_that_others_may_read_starts_no_node() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let (_, certificate, key) = issue(folder.path(), "one").await;
    let (_, _, other) = issue(folder.path(), "two").await;
    let refused = async |certificate: &str, key: &str| {
        let args = ["--tls-cert", certificate, "--tls-key", key];
        Node::builder().args(&args).try_start().await.err().expect("it does not start").stderr
    };
    assert!(refused(&certificate, &other).await.contains("is not the key of"));
    assert!(refused(&key, &key).await.contains("BEGIN CERTIFICATE"));
    assert!(refused("/nowhere.pem", &key).await.contains("/nowhere.pem"));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("changed");
    assert!(refused(&certificate, &key).await.contains("chmod 600"));
}
