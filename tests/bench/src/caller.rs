//! An HTTP client that adds as little as it can: one connection, one request at a time, no redirects, no pool.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A connection that is kept.
pub(crate) struct Caller {
    sender: SendRequest<Full<Bytes>>,
    address: String,
}

impl Caller {
    /// Connects to `address`, host and port, with or without a scheme in front.
    pub(crate) async fn connect(address: &str) -> anyhow::Result<Self> {
        let address = address.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&address).await.with_context(|| format!("{address} does not answer"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, address })
    }

    /// Sends a body, and gives the answer's and how long it took, first byte to last.
    pub(crate) async fn post(&mut self, path: &str, body: Bytes) -> anyhow::Result<(Bytes, Duration)> {
        let (answer, _, took) = self.send(path, body).await?;
        Ok((answer, took))
    }

    /// Sends a body, and gives how long the node says that native inference took.
    pub(crate) async fn inferred(&mut self, path: &str, body: Bytes) -> anyhow::Result<Duration> {
        let (_, headers, _) = self.send(path, body).await?;
        let timing = headers.get("server-timing").and_then(|timing| timing.to_str().ok()).unwrap_or_default();
        let milliseconds = timing.split(", ").find_map(|entry| entry.strip_prefix("infer;dur="));
        let milliseconds = milliseconds.with_context(|| format!("{path}: no time of inference in {timing:?}"))?;
        Ok(Duration::from_secs_f64(milliseconds.parse::<f64>()? / 1e3))
    }

    async fn send(&mut self, path: &str, body: Bytes) -> anyhow::Result<(Bytes, HeaderMap, Duration)> {
        let request = Request::builder().method(Method::POST).uri(path).header("host", &self.address);
        let request = request.header("spillway-timing", "1").body(Full::new(body))?;
        // The connection may still be busy with the end of the last answer.
        self.sender.ready().await?;
        let started = Instant::now();
        let response = self.sender.send_request(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let answer = response.into_body().collect().await?.to_bytes();
        let took = started.elapsed();
        ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&answer));
        Ok((answer, headers, took))
    }
}
