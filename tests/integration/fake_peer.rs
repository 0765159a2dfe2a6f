//! A peer with a good certificate and bad intentions. It answers what nodes ask each other, says of itself what a test
//! wants, and does with calls what no node does. For faults only: how good nodes are together is shown with good nodes.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::{Value, json};
use spillway_tests::{Answer, Cluster, Node, wait_until};
use spillway_types::NodeIdentity;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::clusters::{SPREAD_MAX, state};

/// What it does with a call that is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// Takes it and says nothing, while the connection stays as it is.
    Stall,
    /// Says that it has too much to do, as a node that has not run the call.
    Refuse,
    /// Takes it and breaks the connection.
    Break,
    /// Answers after so long.
    Dawdle(Duration),
}

/// A peer that is none. It ends with the test.
pub(crate) struct FakePeer {
    identity: Value,
    record: Value,
    connector: TlsConnector,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

struct Shared {
    name: String,
    conduct: Conduct,
    /// What it says of itself: [`FakePeer::boast`].
    capacity: Mutex<Value>,
    /// The header fields of all calls that were sent to it.
    taken: Mutex<Vec<HeaderMap>>,
}

/// A connection to a node, as one of its peers.
pub(crate) struct Line {
    connection: SendRequest<Full<Bytes>>,
}

impl FakePeer {
    /// Gets a certificate of the cluster's authority and listens. Nobody knows of it yet.
    pub(crate) async fn start(cluster: &Cluster, node: &Node, name: &str, site: &str, conduct: Conduct) -> Self {
        let folder = PathBuf::from(cluster.issue(name, "cloud", site).await);
        let own = node.get("/node").await;
        let mut identity = own["cluster"]["identity"].clone();
        (identity["node"], identity["site"], identity["role"]) = (json!(name), json!(site), json!("cloud"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let peer = listener.local_addr().expect("a listener has an address").to_string();
        let record = json!({
            "format": 1, "identity": identity, "peer": peer, "listen": "http://127.0.0.1:1",
            "version": env!("CARGO_PKG_VERSION"), "folder": format!("the folder of {name}"),
        });
        let (acceptor, connector) = tls(&folder);
        let (capacity, taken) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { name: name.to_owned(), conduct, capacity, taken });
        let listening = tokio::spawn(listen(listener, acceptor, shared.clone()));
        Self { identity, record, connector, shared, listening }
    }

    /// Who its certificate says it is.
    pub(crate) fn identity(&self) -> NodeIdentity {
        serde_json::from_value(self.identity.clone()).expect("it is one of a node with other names")
    }

    /// Calls a node's port for other nodes.
    pub(crate) async fn connect(&self, node: &Node) -> Line {
        let cluster = &node.get("/node").await["cluster"];
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let tcp = TcpStream::connect(text(&cluster["peer"])).await.expect("the node listens");
        let identity = &cluster["identity"];
        let name = format!("{}.{}.spillway", text(&identity["node"]), text(&identity["cluster"]));
        let name = ServerName::try_from(name).expect("names of nodes are names of hosts");
        let tls = self.connector.connect(name, tcp).await.expect("both have certificates of one authority");
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await;
        let (connection, driver) = handshake.expect("the node speaks HTTP/2");
        tokio::spawn(driver);
        Line { connection }
    }

    /// Makes itself known to a node, and waits until that has heard of it.
    pub(crate) async fn greet(&self, node: &Node) -> Line {
        let line = self.connect(node).await;
        let greeting = Request::post("http://node/peer/v1/greeting").body(self.record.to_string());
        line.send(greeting.expect("a request")).await.ok();
        wait_until("the node thinks the peer alive", SPREAD_MAX, async || {
            state(node, &self.shared.name).await == "alive"
        })
        .await;
        line
    }

    /// Says that it serves what the node serves, is ten times as fast and has nothing to do; and waits until the node
    /// believes it.
    pub(crate) async fn boast(&self, node: &Node) {
        let request = Request::get("http://node/peer/v1/capacity").body(String::new()).expect("a request");
        let mut capacity = self.connect(node).await.send(request).await.json();
        (capacity["work_seconds"], capacity["cores"]) = (json!(0.0), json!(64));
        for function in capacity["functions"].as_array_mut().expect("a list") {
            (function["queued"], function["running"], function["concurrency"]) = (json!(0), json!(0), json!(64));
            for times in function["service_times"].as_array_mut().expect("a list") {
                for time in ["p50_seconds", "p95_seconds"] {
                    times[time] = json!(times[time].as_f64().expect("a number") / 10.0);
                }
            }
        }
        *self.shared.capacity.lock().unwrap_or_else(PoisonError::into_inner) = capacity;
        self.greet(node).await;
        wait_until("the node believes that the peer serves", SPREAD_MAX, async || {
            node.get("/functions").await[0]["nodes"].as_array().map_or(0, Vec::len) == 2
        })
        .await;
    }

    /// The invocations that were sent to it.
    pub(crate) fn taken(&self) -> Vec<String> {
        let taken = self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let names = taken.iter().map(|headers| headers.get("spillway-invocation"));
        names.map(|name| name.expect("a call has a name").to_str().expect("in ASCII").to_owned()).collect()
    }
}

impl Drop for FakePeer {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Line {
    /// Sends a request and reads the answer.
    pub(crate) async fn send(&self, request: Request<String>) -> Answer {
        let sent = self.connection.clone().send_request(request.map(|body| Full::new(Bytes::from(body)))).await;
        let (parts, body) = sent.expect("the node answers").into_parts();
        let body = body.collect().await.expect("the answer has an end").to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }
}

/// As nodes do it, from the same three files.
fn tls(folder: &std::path::Path) -> (TlsAcceptor, TlsConnector) {
    let read = |name: &str| -> Vec<CertificateDer<'static>> {
        let certificates = CertificateDer::pem_file_iter(folder.join(name)).expect("the file is there");
        certificates.map(|certificate| certificate.expect("it is in PEM")).collect()
    };
    let key = || PrivateKeyDer::from_pem_file(folder.join("node.key")).expect("the file is there");
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(read("ca.crt"));
    let (roots, provider) = (Arc::new(roots), Arc::new(rustls::crypto::ring::default_provider()));
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
    let server =
        ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&rustls::version::TLS13]);
    let server = server.expect("ring has TLS 1.3").with_client_cert_verifier(verifier.expect("there is an authority"));
    let mut server = server.with_single_cert(read("node.crt"), key()).expect("they belong together");
    let client = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let client = client.expect("ring has TLS 1.3").with_root_certificates(roots);
    let mut client = client.with_client_auth_cert(read("node.crt"), key()).expect("they belong together");
    (server.alpn_protocols, client.alpn_protocols) = (vec![b"h2".to_vec()], vec![b"h2".to_vec()]);
    (TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client)))
}

async fn listen(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let broken = Arc::new(Notify::new());
            let breaks = broken.clone();
            let service = service_fn(move |request| {
                let (shared, breaks) = (shared.clone(), breaks.clone());
                async move { Ok::<_, Infallible>(shared.answer(request, &breaks).await) }
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(tls), service);
            tokio::select! {
                _ = connection => {}
                () = broken.notified() => {}
            }
        });
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>, breaks: &Notify) -> Response<Full<Bytes>> {
        let said = |bytes: Vec<u8>| Response::new(Full::new(Bytes::from(bytes)));
        if request.headers().contains_key("spillway-function") {
            self.taken.lock().unwrap_or_else(PoisonError::into_inner).push(request.headers().clone());
            return self.take(breaks).await;
        }
        match request.uri().path() {
            "/peer/v1/ready" => said(Vec::new()),
            "/peer/v1/greeting" => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis();
                let greeting = json!({
                    "format": 1, "version": env!("CARGO_PKG_VERSION"), "folder": format!("the folder of {}", self.name),
                    "clock_ms": u64::try_from(now).expect("for a long time"), "cordoned": false, "draining": false,
                    "changes": 1,
                });
                said(greeting.to_string().into_bytes())
            }
            "/peer/v1/capacity" => {
                said(self.capacity.lock().unwrap_or_else(PoisonError::into_inner).to_string().into_bytes())
            }
            "/peer/v1/functions" => said(b"[]".to_vec()),
            "/peer/v1/payload" => said(vec![0; 512 << 10]),
            _ => {
                let mut response = said(Vec::new());
                *response.status_mut() = hyper::StatusCode::NOT_FOUND;
                response
            }
        }
    }

    async fn take(&self, breaks: &Notify) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from_static(b"by the liar\n")));
        let mut set = |name: &'static str, value: &str| {
            response.headers_mut().insert(name, HeaderValue::from_str(value).expect("a value"));
        };
        set("spillway-node", &self.name);
        set("spillway-work-us", "0");
        match self.conduct {
            Conduct::Dawdle(time) => tokio::time::sleep(time).await,
            Conduct::Refuse => {
                set("spillway-refused", "busy");
                set("retry-after", "1");
                *response.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
            }
            Conduct::Break => {
                breaks.notify_one();
                std::future::pending().await
            }
            Conduct::Stall => std::future::pending().await,
        }
        response
    }
}
