//! Connections: HTTP/1.1 and HTTP/2 on one port, in the clear (HTTP/2 with prior knowledge) or over TLS, and their orderly
//! end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use spillway_trust::ServerTls;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::beat::HeadTimer;
use super::guarded::Guarded;
use super::head::FIELDS_BYTES_MAX;
use super::standing::{Found, Looks, Standing};
use super::together::Together;
use crate::node::Node;

/// Calls that one connection may have under way at once.
const STREAMS_MAX: u32 = 256;
/// How often a caller with HTTP/2 that says nothing is asked whether it is there, and how long it may take to answer.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(20));

/// An open port.
pub(crate) struct Listener {
    listener: TcpListener,
}

impl Listener {
    /// Opens the port.
    ///
    /// # Errors
    /// Which port could not be had, why, and which option names another.
    pub(crate) async fn bind(address: SocketAddr, option: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                anyhow::anyhow!("{address} is taken by another process; stop it, or choose another port with {option}")
            }
            std::io::ErrorKind::PermissionDenied => {
                anyhow::anyhow!("this user may not listen on {address}; choose a port above 1023 with {option}")
            }
            _ => anyhow::anyhow!("cannot listen on {address}: {error}; choose another address with {option}"),
        })?;
        Ok(Self { listener })
    }

    /// The address it got, where port 0 asked for any.
    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The listener itself.
    pub(crate) fn into_inner(self) -> TcpListener {
        self.listener
    }

    /// Serves until `drain`, then lets requests in flight finish, `patience` at most. Says whether all did.
    pub(crate) async fn serve(
        self,
        node: Arc<Node>,
        tls: Option<Arc<ServerTls>>,
        drain: CancellationToken,
        patience: Duration,
    ) -> bool {
        let connections = TaskTracker::new();
        let server = Arc::new(server(node.config.stall_timeout));
        let places = Arc::new(Semaphore::new(node.health.connections_max()));
        loop {
            node.health.note_connections_left(places.available_permits());
            // Before the connection is taken: one that waits in the kernel takes no file handle.
            let accepted = async {
                let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
                node.health.note_connections_left(places.available_permits() + 1);
                self.listener.accept().await.map(|(stream, _)| (stream, place))
            };
            let accepted = tokio::select! {
                accepted = accepted => accepted,
                () = drain.cancelled() => break,
            };
            let (stream, place) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: the next accept would fail at once, too. `health` says so, once.
                    tracing::debug!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            let attended = Attended { server: server.clone(), node: node.clone(), drain: drain.clone() };
            // Asked for anew: certificates change without a restart.
            let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(tls.config()));
            let drain = drain.clone();
            connections.spawn(async move {
                let _place = place;
                match acceptor {
                    None => attended.attend(stream).await,
                    Some(acceptor) => {
                        let shaken = tokio::select! {
                            shaken = shake(acceptor, stream, attended.node.config.stall_timeout) => shaken,
                            () = drain.cancelled() => return,
                        };
                        match shaken {
                            Ok(stream) => attended.attend(stream).await,
                            Err(error) => tracing::debug!(%error, "no TLS with a caller"),
                        }
                    }
                }
            });
        }
        drop(self.listener);
        connections.close();
        tokio::time::timeout(patience, connections.wait()).await.is_ok()
    }
}

type Server = auto::Builder<TokioExecutor>;

/// What holds for all connections.
fn server(stall: Duration) -> Server {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(HeadTimer).header_read_timeout(stall);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        // One field more than is taken gets an answer with words from `head`.
        .max_header_list_size(2 * FIELDS_BYTES_MAX as u32)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1);
    server
}

async fn shake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    patience: Duration,
) -> std::io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    match tokio::time::timeout(patience, acceptor.accept(stream)).await {
        Ok(shaken) => shaken,
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}

/// What serving one connection takes.
struct Attended {
    server: Arc<Server>,
    node: Arc<Node>,
    drain: CancellationToken,
}

impl Attended {
    /// Serves a connection to its end.
    async fn attend(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { server, node, drain } = self;
        let (standing, patience) = (Standing::default(), node.config.stall_timeout);
        let stream = Guarded::new(stream, patience, standing.clone());
        let mut looks = Looks::new(standing.clone(), patience);
        let service = service_fn(move |request: Request<Incoming>| {
            let node = node.clone();
            let stream = (request.version() == Version::HTTP_2).then(|| standing.open());
            async move {
                let mut response = node.serve(request).await;
                if let Some(stream) = stream {
                    response = response.map(|body| stream.follow(body));
                }
                Together::default().await;
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
        let mut drained = pin!(drain.cancelled());
        let mut is_closing = false;
        let ended = poll_fn(|cx| {
            loop {
                if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                    return Poll::Ready(ended);
                }
                match looks.poll(cx) {
                    Poll::Ready(Found::Stuck) => {
                        return Poll::Ready(Err("nothing of an answer was taken for too long".into()));
                    }
                    Poll::Ready(Found::Idle) => {}
                    Poll::Pending if is_closing || drained.as_mut().poll(cx).is_pending() => return Poll::Pending,
                    Poll::Pending => {}
                }
                // What is under way is finished, and with HTTP/2 the caller told.
                if !std::mem::replace(&mut is_closing, true) {
                    connection.as_mut().graceful_shutdown();
                }
            }
        });
        // A caller that breaks off or speaks nonsense is its own trouble; hyper has answered what it could.
        if let Err(error) = ended.await {
            tracing::debug!(%error, "connection ended");
        }
    }
}
