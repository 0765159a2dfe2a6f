//! Takes connections of peers. Who is at the other end is what its certificate says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use spillway_trust::{ReloadingIdentity, peer_identity};
use spillway_types::NodeIdentity;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

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

    /// Serves until `stop`, then lets requests in flight finish, `patience` at most.
    pub(crate) async fn serve(
        self,
        node: Arc<Node>,
        identity: Arc<ReloadingIdentity>,
        stop: CancellationToken,
        patience: Duration,
    ) {
        let graceful = GracefulShutdown::new();
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
            let (node, stop, watcher) = (node.clone(), stop.clone(), graceful.watcher());
            // Ends with its connection, which the graceful shutdown below waits for.
            tokio::spawn(async move {
                let opened = tokio::select! {
                    opened = open(acceptor, stream) => opened,
                    () = stop.cancelled() => return,
                };
                let (stream, peer) = match opened {
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
                if let Err(error) = watcher.watch(connection).await {
                    tracing::debug!(peer = %peer.node, %error, "connection of a peer ended");
                }
            });
        }
        drop(self.listener);
        let _ = tokio::time::timeout(patience, graceful.shutdown()).await;
    }
}

/// TLS, and who is there.
async fn open(acceptor: TlsAcceptor, stream: TcpStream) -> Result<(TlsStream<TcpStream>, NodeIdentity), String> {
    let _ = stream.set_nodelay(true);
    let opened = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await;
    let stream = match opened {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no certificate within {HANDSHAKE_MAX:?}")),
    };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let peer = peer_identity(certificates).map_err(|error| error.to_string())?;
    Ok((stream, peer))
}
