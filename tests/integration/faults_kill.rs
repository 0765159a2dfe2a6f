//! SIGKILL in the middle of everything that a node acknowledges: deployments, key-value writes, models. All that it has
//! acknowledged is there after each restart.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use spillway_tests::{Node, wait_until, workspace};
use spillway_types::Digest;

use crate::variants::hello_that_says;

/// How often the node is killed; each time everything is under way.
const KILLS: u64 = 6;
const SOON: Duration = Duration::from_secs(30);

/// What the node has acknowledged.
#[derive(Default)]
struct Acknowledged {
    /// The highest count that a caller has read.
    count: AtomicU64,
    /// The number of the word that the last acknowledged deployment has, and of the last one tried.
    word: AtomicU64,
    tried: AtomicU64,
    /// Calls answered since the node was started.
    calls: AtomicU64,
}

impl Acknowledged {
    /// Counts until the node is gone.
    async fn count(&self, node: &Node) {
        while let Ok(answer) = node.request(Method::GET, "/misbehave/count").send().await {
            let status = answer.status();
            let Ok(text) = answer.text().await else { return };
            assert_eq!(status, 200, "{text}");
            self.count.fetch_max(text.trim().parse().expect("a count is a number"), SeqCst);
            self.calls.fetch_add(1, SeqCst);
        }
    }

    /// Deploys one word after the other until the node is gone.
    async fn deploy(&self, node: &Node) {
        loop {
            let word = self.tried.fetch_add(1, SeqCst) + 1;
            let deployed = node.api(Method::POST, "/functions").body(hello_that_says(&format!("Word {word}")));
            let Ok(answer) = deployed.send().await else { return };
            let status = answer.status();
            let Ok(text) = answer.text().await else { return };
            assert_eq!(status, 201, "{text}");
            self.word.store(word, SeqCst);
        }
    }

    /// All that was acknowledged is there.
    async fn holds(&self, node: &Node) {
        let (word, tried) = (self.word.load(SeqCst), self.tried.load(SeqCst));
        let said = node.call("/hello").await.ok();
        let serves = (word..=tried).find(|word| said == format!("Word {word}, world!\n"));
        assert!(serves.is_some(), "{said:?} serves; {word} was acknowledged, {tried} tried");
        let detail = node.get("/functions/default/hello").await;
        assert!(detail["fault"].is_null(), "{detail:#}");
        let count: u64 = node.call("/misbehave/count").await.ok().trim().parse().expect("a number");
        assert!(count > self.count.load(SeqCst), "{count} after {:?}", self.count);
    }
}

/// No file of the folder is half written: blobs are what their names say, nothing is left of uploads.
fn is_whole(data: &Path) {
    let entries = |folder: &Path| -> Vec<_> {
        std::fs::read_dir(folder)
            .expect("the folder is there")
            .map(|entry| entry.expect("it can be read").path())
            .collect()
    };
    for path in entries(&data.join("blobs/sha256")).iter().flat_map(|folder| entries(folder)) {
        let found = std::fs::File::open(&path).and_then(Digest::of_reader).expect("a blob can be read").0;
        assert!(path.ends_with(found.hex()), "{found} lies in {path:?}");
    }
    assert_eq!(entries(&data.join("staging")), [] as [&Path; 0], "uploads are left over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_killed_under_load_has_all_that_it_acknowledged() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let data = folder.path().join("data");
    let mut node = Node::builder().data(&data).start().await;
    node.deploy("misbehave").await;
    let acknowledged = Acknowledged::default();
    let model = std::fs::read(workspace().join("tests/data/mlp/mlp.onnx")).expect("it is in the repository");
    let digest = Digest::of(&model);
    let upload = node.api(Method::PUT, &format!("/blobs/{digest}")).body(model);
    assert_eq!(Node::send(upload).await.status, 201);
    let added = node.api(Method::POST, "/models").json(&json!({ "digest": digest, "label": "kept" }));
    assert_eq!(Node::send(added).await.status, 201);

    for kill in 0..KILLS {
        acknowledged.calls.store(0, SeqCst);
        let before = acknowledged.word.load(SeqCst);
        let killed = async {
            // Each time somewhere else: after so many acknowledgements of both kinds, and the next ones under way.
            wait_until("there is load", SOON, async || {
                acknowledged.calls.load(SeqCst) > 50 + 37 * kill && acknowledged.word.load(SeqCst) > before
            })
            .await;
            node.signal(Signal::KILL);
        };
        let callers = futures::future::join_all((0..8).map(|_| acknowledged.count(&node)));
        tokio::join!(callers, acknowledged.deploy(&node), killed);
        node.kill();
        node = Node::builder().data(&data).start().await;
        is_whole(&data);
        acknowledged.holds(&node).await;
        let models = node.get("/models").await;
        assert!(models.as_array().is_some_and(|all| all.iter().any(|it| it["label"] == "kept")), "{models:#}");
    }
}
