//! Bodies larger than a sandbox's memory, in both directions: they stream, and neither node nor sandbox grows.

use std::io::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, Method, Response};
use spillway_tests::{Node, wait_until};
use spillway_types::{Digest, DigestHasher, Manifest};

use crate::variants::variant;

const CHUNK_BYTES: usize = 1 << 20;
const CHUNKS: usize = 200;
const BODY_BYTES: usize = CHUNKS * CHUNK_BYTES;
/// Less than a third of a body: a node that keeps one is found out, one that keeps a few chunks for each hop is not.
const GROWTH_MAX: u64 = 64 << 20;
/// What the guest may keep: a few chunks on their way through.
const SANDBOX_GROWTH_MAX: f64 = 8.0 * CHUNK_BYTES as f64;

/// A node that has compiled and called hello before, in an earlier life: the compiler's memory would hide a body's.
struct Warm {
    node: Node,
    _folder: tempfile::TempDir,
    sandbox_bytes: f64,
    peak_bytes: u64,
}

impl Warm {
    async fn start() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Manifest)) -> Self {
        let folder = tempfile::tempdir().expect("tests may write temporary files");
        let node = Node::builder().data(folder.path()).start().await;
        assert_eq!(node.post(variant("hello", change), "").await.status, 201);
        node.kill();
        let node = Node::builder().data(folder.path()).start().await;
        node.call("/hello").await.ok();
        let (sandbox_bytes, peak_bytes) = (sandbox_bytes(&node).await, node.peak_resident_bytes());
        Self { node, _folder: folder, sandbox_bytes, peak_bytes }
    }

    /// Fails if the node or the sandbox has ever been larger than a body allows.
    async fn has_stayed_flat(&self) {
        let (grown, sandbox) = (self.node.peak_resident_bytes() - self.peak_bytes, sandbox_bytes(&self.node).await);
        assert!(grown < GROWTH_MAX, "the node grew by {grown} bytes above {}", self.peak_bytes);
        // A sandbox never gives memory back, and this one is kept, so that what it has now is its peak.
        let grown = sandbox - self.sandbox_bytes;
        assert!(grown < SANDBOX_GROWTH_MAX, "the sandbox grew by {grown} bytes above {}", self.sandbox_bytes);
    }
}

async fn sandbox_bytes(node: &Node) -> f64 {
    let bytes = node.metrics().await.sum("spillway_sandbox_memory_bytes", &[("function", "hello")]);
    bytes.expect("hello has been called")
}

/// A body that no two chunks of are alike, and its digest once it is sent.
fn body() -> (impl Stream<Item = Result<Bytes, Error>>, Digest) {
    let chunk = |number: usize| {
        let mut state = number as u64 + 1;
        // The generator of Knuth's MMIX: cheap, and nothing that a guest or the node could guess or compress.
        let words = std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 32) as u32
        });
        Bytes::from_iter(words.take(CHUNK_BYTES / 4).flat_map(u32::to_le_bytes))
    };
    let mut hasher = DigestHasher::default();
    (0..CHUNKS).for_each(|number| hasher.update(&chunk(number)));
    (stream::iter(0..CHUNKS).map(move |number| Ok(chunk(number))), hasher.finish().0)
}

/// Reads a body to its end without keeping it.
async fn digest_of(response: Response) -> (Digest, u64) {
    assert_eq!(response.status(), 200, "{response:?}");
    let mut hasher = DigestHasher::default();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        hasher.update(&chunk.expect("the body comes to its end"));
    }
    hasher.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_200_mb_with_a_length_comes_back_and_memory_stays_flat() {
    let warm = Warm::start().await;
    let (body, digest) = body();
    let request = warm.node.request(Method::POST, "/hello").header(CONTENT_LENGTH, BODY_BYTES);
    let response = request.body(Body::wrap_stream(body)).send().await.expect("hello answers while it reads");
    assert_eq!(digest_of(response).await, (digest, BODY_BYTES as u64));
    warm.has_stayed_flat().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_200_mb_in_chunks_comes_back_and_memory_stays_flat() {
    let warm = Warm::start().await;
    let (body, digest) = body();
    let request = warm.node.request(Method::PUT, "/hello");
    let response = request.body(Body::wrap_stream(body)).send().await.expect("hello answers while it reads");
    assert_eq!(response.content_length(), None, "a length that nobody could know");
    assert_eq!(digest_of(response).await, (digest, BODY_BYTES as u64));
    warm.has_stayed_flat().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_answer_of_200_mb_arrives_whole_and_memory_stays_flat() {
    let warm = Warm::start().await;
    let path = format!("/hello/stream?chunks={CHUNKS}&bytes={CHUNK_BYTES}");
    let response = warm.node.request(Method::GET, &path).send().await.expect("hello answers at once");
    let dots = vec![b'.'; CHUNK_BYTES];
    let mut expected = DigestHasher::default();
    (0..CHUNKS).for_each(|_| expected.update(&dots));
    assert_eq!(digest_of(response).await, expected.finish());
    warm.has_stayed_flat().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_much_slower_than_the_deadline_gets_everything_and_holds_up_nobody() {
    const DEADLINE: Duration = Duration::from_secs(1);
    let warm = Warm::with(|manifest| manifest.limits.deadline = DEADLINE).await;
    let node = &warm.node;
    let path = format!("/hello/stream?chunks={CHUNKS}&bytes={CHUNK_BYTES}");
    let mut response = node.request(Method::GET, &path).send().await.expect("hello answers at once");

    let (start, mut read) = (Instant::now(), 0);
    while let Some(chunk) = response.chunk().await.expect("the body comes to its end") {
        read += chunk.len();
        // Until its share of three deadlines is over, the reader does other things, with the same function.
        let share = 3 * DEADLINE * u32::try_from(read >> 10).expect("small") / (BODY_BYTES >> 10) as u32;
        while start.elapsed() < share {
            assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
        }
    }
    assert_eq!(read, BODY_BYTES);
    assert!(start.elapsed() > 2 * DEADLINE, "the reader was not slow");
    // What the reader has not taken yet is not kept for it: the function waits.
    warm.has_stayed_flat().await;
    wait_until("no call has failed", Duration::from_secs(10), async || {
        let metrics = node.metrics().await;
        let all = metrics.sum("spillway_requests_total", &[("function", "hello")]);
        all == Some(metrics.requests("hello", "answered") as f64)
    })
    .await;
}
