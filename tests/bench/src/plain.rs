//! A plain hyper server that calls the engine: what one would write without Spillway.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use spillway_inference::{DType, KernelThreads, Model, ModelSource, Models, Tensor, TractEngine};
use spillway_types::Digest;
use tokio::net::TcpListener;

/// Serves the model of `file` on a free port of loopback, and gives the address. It ends with the process.
pub(crate) async fn serve(file: &Path) -> anyhow::Result<String> {
    let digest = Digest::of(&std::fs::read(file).with_context(|| file.display().to_string())?);
    let models = Models::new(Arc::new(TractEngine), Arc::new(KernelThreads::one_per_core()?));
    let model = models.open(ModelSource::new(digest, file)).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Neither side waits for more to send.
            let _ = stream.set_nodelay(true);
            let model = model.clone();
            let service = service_fn(move |request| answer(model.clone(), request));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address)
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
