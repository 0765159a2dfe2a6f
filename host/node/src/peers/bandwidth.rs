//! How fast large answers come from a peer: asked for now and then, since few calls are large enough to tell.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;

use super::client::ClientError;
use super::table::Peer;
use super::wire::{PAYLOAD, PAYLOAD_BYTES};

/// How long it is taken to stay as it is.
const AGE_MAX: Duration = Duration::from_secs(600);
/// On a link that takes longer for it than this, no call is sent that could wait here.
const PAYLOAD_MAX: Duration = Duration::from_secs(30);
/// What clocks tell apart: on loopback the second half is there at once.
const SHORTEST: Duration = Duration::from_micros(50);

/// Measures, unless that was done lately.
pub(super) async fn measure(peer: &Peer) {
    if peer.said().bandwidth_asked.is_some_and(|asked| asked.elapsed() < AGE_MAX) {
        return;
    }
    peer.note(|said| said.bandwidth_asked = Some(Instant::now()));
    match tokio::time::timeout(PAYLOAD_MAX, receive(peer)).await {
        Ok(Ok(bandwidth)) => peer.note(|said| said.bandwidth_bytes_per_second = Some(bandwidth)),
        Ok(Err(error)) => tracing::debug!(peer = %peer.name(), %error, "bandwidth was not measured"),
        Err(_) => {
            let at_most = PAYLOAD_BYTES as f64 / PAYLOAD_MAX.as_secs_f64();
            peer.note(|said| said.bandwidth_bytes_per_second = Some(at_most));
        }
    }
}

/// The rate of the second half: until then the connection may still feel its way.
async fn receive(peer: &Peer) -> Result<f64, ClientError> {
    let request = peer.client.request(Method::GET, PAYLOAD, Bytes::new())?;
    let mut body = peer.client.send(request).await.map_err(|(error, _)| error)?.into_body();
    let (mut bytes, mut half) = (0, None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| peer.client.broken(error))?;
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if half.is_none() && bytes >= PAYLOAD_BYTES / 2 {
            half = Some((bytes, Instant::now()));
        }
    }
    let (before, since) = half.ok_or_else(|| peer.client.broken("the payload was shorter than agreed"))?;
    Ok((bytes - before) as f64 / since.elapsed().max(SHORTEST).as_secs_f64())
}
