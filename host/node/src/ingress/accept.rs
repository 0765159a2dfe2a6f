//! Connections: HTTP/1.1 and HTTP/2 with prior knowledge on one port, and their orderly end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::node::Node;

/// A caller that takes longer than this to send its request's head is cut off.
const HEAD_MAX: Duration = Duration::from_secs(30);

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
    pub(crate) async fn serve(self, node: Arc<Node>, drain: CancellationToken, patience: Duration) -> bool {
        let graceful = GracefulShutdown::new();
        let mut server = auto::Builder::new(TokioExecutor::new());
        server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
        server.http2().timer(TokioTimer::new()).max_concurrent_streams(256);
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
            let node = node.clone();
            let service = service_fn(move |request| {
                let node = node.clone();
                async move { Ok::<_, Infallible>(node.serve(request).await) }
            });
            let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                let _place = place;
                // A caller that breaks off or speaks nonsense is its own trouble; hyper has answered what it could.
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "connection ended");
                }
            });
        }
        drop(self.listener);
        tokio::time::timeout(patience, graceful.shutdown()).await.is_ok()
    }
}
