//! The blobs of peers, as a store to fetch from where the cluster's own lacks one or cannot be reached.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use spillway_types::Digest;

use super::table::Peer;
use super::wire::BLOBS;

impl Peer {
    /// Length and content of a blob that the peer has; `None` if it has none. The digest is for the receiver to compare.
    ///
    /// # Errors
    /// The peer gave no answer, or refused.
    pub(crate) async fn blob(
        self: Arc<Self>,
        digest: &Digest,
    ) -> anyhow::Result<Option<(u64, BoxStream<'static, io::Result<Bytes>>)>> {
        let request = self.client.request(Method::GET, &format!("{BLOBS}{digest}"), Bytes::new())?;
        let response = self.client.send(request).await.map_err(|(error, _)| error)?;
        match response.status() {
            StatusCode::OK => {
                let bytes = http_body::Body::size_hint(response.body()).lower();
                let chunks = response.into_body().into_data_stream().map_err(io::Error::other);
                Ok(Some((bytes, chunks.boxed())))
            }
            StatusCode::NOT_FOUND => Ok(None),
            status => anyhow::bail!("{} answered {status}", self.record.identity.node),
        }
    }
}
