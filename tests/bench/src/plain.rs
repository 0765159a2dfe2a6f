//! A plain hyper server that calls the engine: what one would write without Spillway.
//!
//! In a process of its own, as the node is: within the caller's process, caller and server would take turns on one thread,
//! and a call would wake nobody.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use spillway_inference::{DType, KernelThreads, Model, ModelSource, Models, Tensor, TractEngine};
use spillway_types::Digest;
use tokio::net::TcpListener;

#[derive(Args)]
pub(crate) struct Plain {
    /// The model.
    file: PathBuf,
}

impl Plain {
    /// Serves on a free port of loopback, whose address goes to standard output, until the process is killed.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        tokio::runtime::Runtime::new()?.block_on(serve(&self.file))
    }
}

/// The process.
pub(crate) struct PlainServer {
    child: Child,
    address: String,
}

impl PlainServer {
    /// Starts this program as a server of the model in `file`.
    pub(crate) fn start(file: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg("plain").arg(file).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        let stdout = child.stdout.take().context("the pipe was asked for")?;
        let mut server = Self { child, address: String::new() };
        BufReader::new(stdout).read_line(&mut address)?;
        ensure!(!address.is_empty(), "the plain server does not start; run it by hand: `spillway-bench plain MODEL`");
        address.trim_end().clone_into(&mut server.address);
        Ok(server)
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for PlainServer {
    fn drop(&mut self) {
        // It is this process's own child, and has nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn serve(file: &Path) -> anyhow::Result<()> {
    let digest = Digest::of(&std::fs::read(file).with_context(|| file.display().to_string())?);
    let models = Models::new(Arc::new(TractEngine), Arc::new(KernelThreads::one_per_core()?));
    let model = models.open(ModelSource::new(digest, file)).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        // Neither side waits for more to send.
        let _ = stream.set_nodelay(true);
        let model = model.clone();
        let service = service_fn(move |request| answer(model.clone(), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// The engine is called on the spot: for a network of microseconds no other thread is worth its wake-up.
async fn answer(model: Arc<Model>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let computed = async {
        let body = request.into_body().collect().await?.to_bytes();
        let input = Tensor::from_bytes(DType::Float32, &[1, 64], &body)?;
        let run = model.run_blocking(vec![("x".to_owned(), input)], None)?;
        anyhow::Ok(run.outputs[0].as_bytes().map(Bytes::copy_from_slice).unwrap_or_default())
    };
    Ok(match computed.await {
        Ok(bytes) => Response::new(Full::new(bytes)),
        Err(error) => {
            let mut response = Response::new(Full::new(Bytes::from(error.to_string())));
            *response.status_mut() = hyper::StatusCode::BAD_REQUEST;
            response
        }
    })
}
