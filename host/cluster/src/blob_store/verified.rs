//! Content that is checked while it flows.

use std::io;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt as _};
use spillway_types::{Digest, DigestHasher};

use super::{BlobContent, BlobStoreError};

/// `content`, which ends with an error unless it has this digest.
pub(crate) fn verified(digest: Digest, content: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> BlobContent {
    let state = Some((content.boxed(), DigestHasher::default()));
    stream::unfold(state, move |state| async move {
        let (mut content, mut hasher) = state?;
        match content.next().await {
            Some(Ok(chunk)) => {
                hasher.update(&chunk);
                Some((Ok(chunk), Some((content, hasher))))
            }
            Some(Err(error)) => Some((Err(error), None)),
            None => {
                let (actual, _) = hasher.finish();
                (actual != digest).then(|| (Err(BlobStoreError::Corrupt { digest, actual }.into()), None))
            }
        }
    })
    .boxed()
}
