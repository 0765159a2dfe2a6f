//! Takes connections of peers. Who is at the other end is what its certificate says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use spillway_trust::{ReloadingIdentity, peer_identity};
use spillway_types::NodeIdentity;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::node::Node;

/// A peer proves who it is within this time, or is cut off.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Calls that one peer may have here at once, and its questions. Each function's own limits come before this one.
const STREAMS_MAX: u32 = 1024;
const WINDOW_BYTES: u32 = 4 << 20;

/// An open port for peers.
pub(crate) struct PeerListener {
    listener: TcpListener,
}

impl PeerListener {
    /// Opens the port.
    ///
    /// # Errors
    /// Which port could not be had and why.
    pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            anyhow::anyhow!("cannot listen for other nodes on {address}: {error}; choose another address with --peer")
        })?;
        Ok(Self { listener })
    }

    /// The address it got, where port 0 asked for any.
    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`, then lets requests in flight finish, `patience` at most. A connection ends with the certificate
    /// that was shown on it, and all do when `renewed` says that this node's own identity or its authorities are others.
    pub(crate) async fn serve(
        self,
        node: Arc<Node>,
        identity: Arc<ReloadingIdentity>,
        renewed: Arc<Notify>,
        stop: CancellationToken,
        patience: Duration,
    ) {
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection of a peer");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            // Asked for anew: certificates change without a restart.
            let acceptor = TlsAcceptor::from(identity.server_config());
            let (node, stop, renewed) = (node.clone(), stop.clone(), renewed.clone());
            connections.spawn(async move {
                let opened = tokio::select! {
                    opened = open(acceptor, stream) => opened,
                    () = stop.cancelled() => return,
                };
                let Opened { stream, peer, until } = match opened {
                    Ok(opened) => opened,
                    Err(reason) => {
                        tracing::warn!(%address, reason, "refused a connection to the port for other nodes");
                        return;
                    }
                };
                let sender = peer.clone();
                let service = service_fn(move |request| {
                    let (node, sender) = (node.clone(), sender.clone());
                    async move { Ok::<_, Infallible>(node.answer_peer(sender, request).await) }
                });
                let connection = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .max_concurrent_streams(STREAMS_MAX)
                    .initial_stream_window_size(WINDOW_BYTES)
                    .initial_connection_window_size(4 * WINDOW_BYTES)
                    .keep_alive_interval(Duration::from_secs(5))
                    .keep_alive_timeout(Duration::from_secs(5))
                    .serve_connection(TokioIo::new(stream), service);
                let mut connection = pin!(connection);
                let ended = tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = last(until, &renewed, &stop) => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                };
                if let Err(error) = ended {
                    tracing::debug!(peer = %peer.node, %error, "connection of a peer ended");
                }
            });
        }
        drop(self.listener);
        connections.close();
        let _ = tokio::time::timeout(patience, connections.wait()).await;
    }
}

/// A connection whose other end has shown who it is.
struct Opened {
    stream: TlsStream<TcpStream>,
    peer: NodeIdentity,
    /// When its certificate ends.
    until: SystemTime,
}

/// Until a connection takes no more requests: what was proved when it began holds no longer, or the node stops.
async fn last(until: SystemTime, renewed: &Notify, stop: &CancellationToken) {
    tokio::select! {
        // It holds to the end of its last second.
        () = tokio::time::sleep((until + Duration::from_secs(1)).duration_since(SystemTime::now()).unwrap_or_default()) => {}
        () = renewed.notified() => {}
        () = stop.cancelled() => {}
    }
}

/// TLS, and who is there.
async fn open(acceptor: TlsAcceptor, stream: TcpStream) -> Result<Opened, String> {
    let _ = stream.set_nodelay(true);
    let opened = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await;
    let stream = match opened {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no certificate within {HANDSHAKE_MAX:?}")),
    };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let (peer, until) = peer_identity(certificates).map_err(|error| error.to_string())?;
    Ok(Opened { stream, peer, until })
}
