//! A server that functions ask: it notes what it reads and answers by path.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use spillway_tests::wait_until;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// On a loaded machine; only a hang takes this long.
const SOON: Duration = Duration::from_secs(30);

/// A server on a free port of 127.0.0.1; it goes with the test.
pub(crate) struct Upstream {
    port: u16,
    seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    /// Heads of requests, each as it was on the wire.
    heads: Mutex<Vec<String>>,
    /// What came after them, on all connections.
    bodies: Mutex<Vec<u8>>,
    connections: AtomicUsize,
    /// Connections that the other side closed while it had no whole answer.
    given_up: AtomicUsize,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        Self::with_tls(None).await
    }

    /// A server that speaks TLS if it is given the means.
    pub(crate) async fn with_tls(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("any port");
        let port = listener.local_addr().expect("it is bound").port();
        let seen = Arc::new(Seen::default());
        let all = seen.clone();
        let accepting = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, tls) = (all.clone(), tls.clone());
                seen.connections.fetch_add(1, SeqCst);
                serving.spawn(async move {
                    match tls {
                        None => serve(stream, &seen).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &seen).await,
                            Err(_) => false,
                        },
                    }
                });
            }
        });
        Self { port, seen, accepting }
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same under a name that the machine resolves to 127.0.0.1.
    pub(crate) fn named(&self, scheme: &str) -> String {
        format!("{scheme}://localhost:{}", self.port)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.origin() + path
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(SeqCst)
    }

    /// The head of the last request.
    pub(crate) fn head(&self) -> String {
        let heads = self.seen.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.last().cloned().expect("a request was made")
    }

    /// Waits until bodies of requests have brought `text`.
    pub(crate) async fn has_read(&self, text: &str) {
        wait_until("the body comes", SOON, async || {
            let bodies = self.seen.bodies.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8_lossy(&bodies).contains(text)
        })
        .await;
    }

    /// Waits until `count` requests have come.
    pub(crate) async fn has_requests(&self, count: usize) {
        wait_until("requests come", SOON, async || {
            self.seen.heads.lock().unwrap_or_else(PoisonError::into_inner).len() >= count
        })
        .await;
    }

    /// Waits until `count` connections were closed that had no whole answer.
    pub(crate) async fn was_given_up(&self, count: usize) {
        wait_until("the connection is closed", SOON, async || self.seen.given_up.load(SeqCst) >= count).await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves one request; whether it was answered to the end.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, seen: &Seen) -> bool {
    let Some((head, rest)) = read_head(&mut stream).await else { return false };
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.heads.lock().unwrap_or_else(PoisonError::into_inner).push(head);
    let answer = match path.split('?').next().unwrap_or_default() {
        "/hello" => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_owned(),
        "/redirect" => {
            let to = path.split_once('?').map_or("", |(_, to)| to);
            format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
        }
        "/echo" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
            return echo(stream, &rest, seen).await;
        }
        "/half" => "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_owned(),
        "/large-head" => format!("HTTP/1.1 200 OK\r\nx-large: {}\r\n\r\n", "x".repeat(1 << 20)),
        // Nothing ever.
        _ => String::new(),
    };
    let whole = !matches!(path.as_str(), "/half") && !answer.is_empty();
    let _ = stream.write_all(answer.as_bytes()).await;
    // The other side closes when it has what it wants.
    let _ = stream.read_to_end(&mut Vec::new()).await;
    if !whole {
        seen.given_up.fetch_add(1, SeqCst);
    }
    whole
}

/// Sends back what comes, as it comes, until a `.` does.
async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin, rest: &[u8], seen: &Seen) -> bool {
    let mut chunk = rest.to_vec();
    loop {
        seen.bodies.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&chunk);
        if stream.write_all(&chunk).await.is_err() {
            return false;
        }
        if chunk.contains(&b'.') {
            return stream.shutdown().await.is_ok();
        }
        chunk = vec![0; 64 * 1024];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return false,
            Ok(length) => chunk.truncate(length),
        }
    }
}

/// The head of a request, and what came along with its end.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Some((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
