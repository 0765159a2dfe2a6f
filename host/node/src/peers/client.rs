//! One connection to one peer, made when it is needed and made again when it has gone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use spillway_runtime::Body;
use spillway_trust::{ReloadingIdentity, peer_identity, server_name};
use spillway_types::{NodeIdentity, Problem, ProblemType};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::wire::READY;

/// How long a connection may take: name, TCP, TLS, HTTP/2. Shorter than it takes to call a node dead.
const CONNECT_MAX: Duration = Duration::from_millis(1500);
/// A peer's word about itself, all functions included.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// A peer that vanishes without closing: its connection is given up after this long without an answer to a ping.
const PING_EVERY: Duration = Duration::from_secs(1);
const PING_MAX: Duration = Duration::from_secs(2);
/// Flow control by stream: bodies up to this size travel in one round trip.
const WINDOW_BYTES: u32 = 4 << 20;

/// Why a peer gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// There is no connection: the peer has seen nothing of the request.
    #[error("{peer} cannot be reached at {address}: {reason}")]
    Unreachable { peer: String, address: String, reason: String },
    /// The connection broke after the request had been given to it: the peer may have acted on it.
    #[error("the connection to {peer} broke: {reason}")]
    Broken { peer: String, reason: String },
    /// The peer refused.
    #[error("{peer} answered {}: {}", problem.status, problem.detail)]
    Refused { peer: String, problem: Box<Problem> },
}

/// A way to one peer. Cheap to clone; clones share the connection.
#[derive(Clone)]
pub(crate) struct PeerClient {
    shared: Arc<Shared>,
}

struct Shared {
    /// Who must be at the other end.
    peer: NodeIdentity,
    /// `HOST:PORT`.
    address: String,
    /// What this node shows, as its files have it when a connection is made.
    identity: Arc<ReloadingIdentity>,
    /// The connection in use. Never locked across a wait.
    connection: Mutex<Option<Open>>,
    /// One connection is made at a time: who comes meanwhile gets it, too.
    connecting: tokio::sync::Mutex<()>,
}

struct Open {
    connection: SendRequest<Body>,
    /// When the certificate ends that the peer has shown.
    until: SystemTime,
}

impl PeerClient {
    pub(crate) fn new(peer: NodeIdentity, address: String, identity: Arc<ReloadingIdentity>) -> Self {
        let (connection, connecting) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { shared: Arc::new(Shared { peer, address, identity, connection, connecting }) }
    }

    /// Sends a request as it is.
    ///
    /// # Errors
    /// There is no connection, or it broke before the answer's head. A request that did not go out comes back with it.
    pub(crate) async fn send(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, (ClientError, Option<Request<Body>>)> {
        let mut connection = match self.connection().await {
            Ok(connection) => connection,
            Err(error) => return Err((error, Some(request))),
        };
        connection.try_send_request(request).await.map_err(|mut error| {
            self.forget();
            match error.take_message() {
                Some(unsent) => (self.unreachable(error.error()), Some(unsent)),
                None => (self.broken(error.error()), None),
            }
        })
    }

    /// A request to the peer itself.
    pub(crate) fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Body>, ClientError> {
        let uri = Uri::builder().scheme("https").authority(self.shared.address.as_str()).path_and_query(path).build();
        let uri = uri.map_err(|error| self.unreachable(error))?;
        let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
        let request = Request::builder().method(method).uri(uri).version(http::Version::HTTP_2);
        request.header(header::CONTENT_TYPE, "application/json").body(body).map_err(|error| self.unreachable(error))
    }

    /// Asks for JSON.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer that is not what was asked for.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.exchange(Method::GET, path, Bytes::new()).await
    }

    /// Sends JSON and gets JSON.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let bytes = serde_json::to_vec(body).map_err(|error| self.unreachable(error))?;
        self.post_bytes(path, bytes.into()).await
    }

    /// Sends what is JSON already and gets JSON.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) async fn post_bytes<T: DeserializeOwned>(&self, path: &str, body: Bytes) -> Result<T, ClientError> {
        self.exchange(Method::POST, path, body).await
    }

    async fn exchange<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, ClientError> {
        let request = self.request(method, path, body)?;
        let response = self.send(request).await.map_err(|(error, _)| error)?;
        let status = response.status();
        let bytes = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let bytes = bytes.collect().await.map_err(|error| self.broken(error))?.to_bytes();
        if !status.is_success() {
            let problem = serde_json::from_slice::<Problem>(&bytes).unwrap_or_else(|_| {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                Problem { status: status.as_u16(), ..Problem::new(ProblemType::HostFault, text) }
            });
            return Err(ClientError::Refused { peer: self.name(), problem: Box::new(problem) });
        }
        serde_json::from_slice(&bytes).map_err(|error| self.broken(error))
    }

    /// The connection in use, or another one.
    async fn connection(&self) -> Result<SendRequest<Body>, ClientError> {
        if let Some(connection) = self.open() {
            return Ok(connection);
        }
        let _one = self.shared.connecting.lock().await;
        if let Some(connection) = self.open() {
            return Ok(connection);
        }
        let made = tokio::time::timeout(CONNECT_MAX, self.connect()).await;
        let open = made.map_err(|_| self.unreachable(format!("no answer within {CONNECT_MAX:?}")))??;
        let connection = open.connection.clone();
        *self.shared.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(open);
        Ok(connection)
    }

    fn open(&self) -> Option<SendRequest<Body>> {
        let connection = self.shared.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let open =
            connection.as_ref().filter(|open| !open.connection.is_closed() && SystemTime::now() <= open.until)?;
        Some(open.connection.clone())
    }

    /// Lets the connection go: the next request makes another. Requests on it go on.
    pub(crate) fn forget(&self) {
        self.shared.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    async fn connect(&self) -> Result<Open, ClientError> {
        let shared = &self.shared;
        let tcp = TcpStream::connect(&shared.address).await.map_err(|error| self.unreachable(error))?;
        tcp.set_nodelay(true).map_err(|error| self.unreachable(error))?;
        let connector = TlsConnector::from(shared.identity.client_config());
        let name = server_name(&shared.peer.node, &shared.peer.cluster);
        let tls = connector.connect(name, tcp).await.map_err(|error| self.unreachable(error))?;
        let certificates = tls.get_ref().1.peer_certificates().unwrap_or_default();
        let (found, until) = peer_identity(certificates).map_err(|error| self.unreachable(error))?;
        // The name alone would let a node that moved to another site, or another role, pass for what it was.
        if found != shared.peer {
            return Err(self.unreachable(format!("its certificate is that of {found}, not of {}", shared.peer)));
        }
        let (connection, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_MAX)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(4 * WINDOW_BYTES)
            .handshake::<_, Body>(TokioIo::new(tls))
            .await
            .map_err(|error| self.unreachable(error))?;
        let peer = self.name();
        // Ends with the connection, which ends with its last sender.
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(peer, %error, "connection to a peer ended");
            }
        });
        // The other end may refuse our certificate, and with TLS 1.3 says so only now: no call is to be lost by that.
        let mut first = connection.clone();
        let answered = first.send_request(self.request(Method::GET, READY, Bytes::new())?).await;
        answered.map_err(|error| self.unreachable(error))?;
        Ok(Open { connection, until })
    }

    fn name(&self) -> String {
        self.shared.peer.node.to_string()
    }

    fn unreachable(&self, reason: impl ToString) -> ClientError {
        let (peer, address) = (self.name(), self.shared.address.clone());
        ClientError::Unreachable { peer, address, reason: reason.to_string() }
    }

    pub(super) fn broken(&self, reason: impl ToString) -> ClientError {
        ClientError::Broken { peer: self.name(), reason: reason.to_string() }
    }
}
