//! Deploys and rollbacks while callers call: nobody notices, except by the answer.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures::channel::mpsc;
use futures::future::try_join_all;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use reqwest::{Body, Method};
use spillway_tests::{Node, wait_until};
use tokio::net::TcpStream;

use crate::variants::hello_that_says;

const CONNECTIONS: usize = 64;
const CALLS: u64 = 20_000;
const DEPLOYS: usize = 10;

/// What is changed while the callers call.
#[derive(Clone, Copy)]
enum Change {
    /// Deploys the bundle with the greeting that does not serve.
    Deploy,
    /// Goes back to the revision before, which has the other greeting, too.
    Rollback,
}

/// What driver and callers tell each other.
#[derive(Default)]
struct Load {
    /// Calls answered as they should be.
    calls: AtomicU64,
    /// Twice the number of changes that are through, and one more while one is under way.
    phase: AtomicUsize,
}

impl Load {
    const GREETINGS: [&str; 2] = ["Hello", "Grüezi"];

    /// The answer that a call must get that began and ended in these phases; `None` where both are right.
    fn answer_between(before: usize, after: usize) -> Option<String> {
        let is_settled = before == after && before.is_multiple_of(2);
        is_settled.then(|| Self::answer(before / 2))
    }

    /// The answer after so many changes: each leads to the other greeting.
    fn answer(changes: usize) -> String {
        format!("{}, world!\n", Self::GREETINGS[changes % 2])
    }

    /// Calls over one connection until the driver is through and there were enough, and once after that.
    async fn call(&self, address: &str, last_phase: usize) -> anyhow::Result<()> {
        let mut connection = Connection::open(address).await?;
        loop {
            let before = self.phase.load(SeqCst);
            let is_last = before == last_phase && self.calls.load(SeqCst) >= CALLS;
            let (status, text) = connection.get("/hello").await?;
            let after = self.phase.load(SeqCst);
            ensure!(status == 200, "{status} in phase {before}: {text}");
            match Self::answer_between(before, after) {
                Some(answer) => ensure!(text == answer, "{text:?} instead of {answer:?} in phase {before}"),
                None => ensure!(text == Self::answer(0) || text == Self::answer(1), "{text:?} is nobody's answer"),
            }
            self.calls.fetch_add(1, SeqCst);
            if is_last {
                return Ok(());
            }
        }
    }

    /// Makes the changes, evenly spread over the calls.
    async fn change(&self, node: &Node, changes: &[Change]) -> anyhow::Result<()> {
        let bundles = Self::GREETINGS.map(hello_that_says);
        for (done, change) in changes.iter().enumerate() {
            let due = CALLS * (done as u64 + 1) / (changes.len() as u64 + 1);
            let enough_calls = async || self.calls.load(SeqCst) >= due;
            wait_until("the callers call", Duration::from_secs(120), enough_calls).await;
            self.phase.fetch_add(1, SeqCst);
            let answer = match change {
                Change::Deploy => node.post(bundles[(done + 1) % 2].clone(), "").await,
                Change::Rollback => {
                    Node::send(node.api(Method::POST, "/functions/default/hello/rollback").body("{}")).await
                }
            };
            ensure!(matches!(answer.status, 200 | 201), "change {done}: {answer:?}");
            self.phase.fetch_add(1, SeqCst);
        }
        Ok(())
    }
}

/// One connection. It is never opened anew, so that one which breaks is a call that failed.
struct Connection {
    sender: SendRequest<Empty<Bytes>>,
}

impl Connection {
    async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("no connection")?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the sender. What goes wrong with it, the sender's next call tells.
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    async fn get(&mut self, path: &str) -> anyhow::Result<(u16, String)> {
        self.sender.ready().await.context("the node closed the connection")?;
        let request = hyper::Request::get(path).header("host", "spillway.test").body(Empty::new())?;
        let response = self.sender.send_request(request).await.context("no answer")?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.context("the answer broke off")?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys_and_rollbacks_under_load_fail_no_call() {
    let node = Node::start().await;
    let first = node.post(hello_that_says(Load::GREETINGS[0]), "").await;
    assert_eq!(first.status, 201, "{first:?}");
    // Two deploys, one rollback, and so on.
    let changes: Vec<Change> =
        (0..DEPLOYS / 2).flat_map(|_| [Change::Deploy, Change::Deploy, Change::Rollback]).collect();

    let load = Load::default();
    let address = node.listen().trim_start_matches("http://");
    let callers = try_join_all((0..CONNECTIONS).map(|_| load.call(address, 2 * changes.len())));
    tokio::try_join!(callers, load.change(&node, &changes)).unwrap_or_else(|error| panic!("{error:#}"));

    let calls = load.calls.into_inner();
    assert!(calls >= CALLS, "{calls}");
    // A call is counted just after its caller has the answer.
    wait_until("all calls are counted", Duration::from_secs(10), async || {
        node.metrics().await.requests("hello", "answered") == calls
    })
    .await;
    let all = node.metrics().await.sum("spillway_requests_total", &[("function", "hello")]);
    assert_eq!(all, Some(calls as f64), "some calls ended otherwise:\n{}", node.metrics().await.text());
    // A rollback makes no revision of its own.
    let detail = node.get("/functions/default/hello").await;
    assert_eq!(detail["revisions"][0]["number"], DEPLOYS + 1, "{detail:#}");
}

#[tokio::test]
async fn a_call_in_flight_finishes_on_the_revision_it_started_on() {
    let node = Node::start().await;
    node.deploy("hello").await;
    let (body, chunks) = mpsc::unbounded::<Result<Bytes, std::io::Error>>();
    body.unbounded_send(Ok(Bytes::from_static(b"before "))).expect("the request is not through");
    let sent = node.request(Method::POST, "/hello").body(Body::wrap_stream(chunks)).send().await;
    let mut response = sent.expect("the call is answered while its body comes");
    let first = response.chunk().await.expect("the body comes back as it is sent");
    assert_eq!(first.as_deref(), Some(&b"before "[..]));

    // Three, so that the first revision is neither the one that serves nor the one kept ready for a rollback.
    for word in ["Salve", "Ahoj", "Grüezi"] {
        assert_eq!(node.post(hello_that_says(word), "").await.status, 201);
    }
    assert_eq!(node.call("/hello").await.ok(), "Grüezi, world!\n");
    body.unbounded_send(Ok(Bytes::from_static(b"and after"))).expect("the request is not through");
    drop(body);
    assert_eq!(response.text().await.expect("the call is finished"), "and after");

    wait_until("the call is in the log as one of the first revision", Duration::from_secs(10), async || {
        let logs = node.logs("hello").await;
        logs.iter().any(|record| record["revision"] == 1 && record["outcome"] == "answered")
    })
    .await;
}
