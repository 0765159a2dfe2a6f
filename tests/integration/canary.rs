//! Where payloads go when a node has too much to do: looked for in all that was on the wire, and on the disks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use spillway_tests::{Capture, Cluster, Conversation, Node, Wiretap, contains, free_port, wait_until};
use spillway_types::{ProblemType, Residency};

use crate::clusters::SPREAD_MAX;
use crate::variants::{deploy_bundle, traveller};

/// More calls at once than two cores finish in half of the time that callers wait; above that, calls are sent on.
const CROWD: usize = 60;
const PATIENCE_MS: &str = "1500";
const CALL: &str = "/misbehave/work?ms=50";
/// A connection on which no more than this was sent may have failed before anything was said.
const HANDSHAKE_BYTES_MAX: usize = 16 << 10;

/// What is to be seen of a crowd that came to an edge node with a larger node beside it, at another site.
struct Seen {
    canary: String,
    /// Calls that the other node answered.
    there: usize,
    refused: usize,
    capture: Capture,
    conversations: Vec<Conversation>,
    /// Whether the canary is in the data folder of each.
    kept_at_edge: bool,
    kept_at_cloud: bool,
    _cluster: Cluster,
}

async fn crowd(residency: Residency) -> Seen {
    let cluster = Cluster::start().await;
    let [edge_at, cloud_at] = [free_port(), free_port()];
    let peers = [edge_at.port(), cloud_at.port()];
    let keys = PathBuf::from(cluster.path("keys.log"));
    let file = PathBuf::from(cluster.path("wire.pcapng"));
    let tap = Wiretap::start(&file, &[peers[0], peers[1], cluster.nats.address().port()]).await;
    let log = keys.display().to_string();
    let edge = cluster.builder_at(edge_at, "edge", "edge", "paris").await.env("SSLKEYLOGFILE", &log).start().await;
    let cloud = cluster.builder_at(cloud_at, "cloud", "cloud", "dc-1").await.env("SSLKEYLOGFILE", &log).start().await;
    for node in [&edge, &cloud] {
        wait_until("the log warns", SPREAD_MAX, async || node.stderr().contains("SSLKEYLOGFILE is set")).await;
    }
    cluster.settled(&[&edge, &cloud]).await;
    deploy_bundle(&cluster, &edge, &traveller(|manifest| manifest.placement.residency = residency)).await;
    wait_until("the edge knows that the other serves", SPREAD_MAX, async || {
        edge.get("/functions").await[0]["nodes"].as_array().map_or(0, Vec::len) == 2
    })
    .await;

    let canary = format!("canary-{:032x}", rand::random::<u128>());
    let payload = format!("{canary} ").repeat(20);
    // How long a call takes, learnt from calls with nothing in them.
    for _ in 0..5 {
        Node::send(edge.request(Method::POST, CALL).body("x".repeat(payload.len()))).await.ok();
    }
    let call = || edge.request(Method::POST, CALL).header("spillway-deadline-ms", PATIENCE_MS).body(payload.clone());
    let (mut there, mut refused) = (0, 0);
    for answer in join_all((0..CROWD).map(|_| Node::send(call()))).await {
        match (answer.status, answer.header("spillway-node")) {
            (200, Some(node)) => {
                assert_eq!(node, "cloud");
                there += 1;
            }
            (200, None) => {}
            (503, _) => {
                answer.problem(ProblemType::Overloaded, &["deadline", "try again"]);
                refused += 1;
            }
            // A busy machine may be late after all.
            (504, _) => {}
            _ => panic!("{answer:?}"),
        }
    }
    let capture = tap.stop().await;
    for node in [edge, cloud] {
        node.interrupt();
        node.wait(Duration::from_secs(30)).await;
    }
    let conversations = capture.decrypt(&peers, &keys).await;
    for port in peers {
        // What is known to have been said in both directions is found, or it would say nothing that a canary is not.
        let said = |asked: &str, answered: &str| {
            conversations.iter().any(|conversation| {
                conversation.port == port
                    && contains(&conversation.asked, asked.as_bytes())
                    && contains(&conversation.answered, answered.as_bytes())
            })
        };
        assert!(said("\"identity\"", "\"clock_ms\"") && said("\"identity\"", "\"service_times\""), "port {port}");
    }
    for Conversation { port, wire_bytes, asked, answered } in &conversations {
        let is_read = !asked.is_empty() && !answered.is_empty();
        assert!(is_read || *wire_bytes < HANDSHAKE_BYTES_MAX, "{wire_bytes} bytes to {port} were not decrypted");
    }
    let [kept_at_edge, kept_at_cloud] =
        ["edge", "cloud"].map(|node| is_in_folder(&cluster.data(node), canary.as_bytes()));
    Seen { canary, there, refused, capture, conversations, kept_at_edge, kept_at_cloud, _cluster: cluster }
}

impl Seen {
    fn is_in_what_was_said(&self) -> bool {
        let all = self.conversations.iter().flat_map(|conversation| [&conversation.asked, &conversation.answered]);
        all.into_iter().any(|said| contains(said, self.canary.as_bytes()))
    }

    fn is_on_the_wire(&self) -> bool {
        contains(&self.capture.wire(), self.canary.as_bytes())
    }
}

/// Whether any file in a folder, or below, contains `part`.
fn is_in_folder(folder: &Path, part: &[u8]) -> bool {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    entries.map(|entry| entry.expect("it can be listed").path()).any(|path| match path.is_dir() {
        true => is_in_folder(&path, part),
        false => contains(&std::fs::read(&path).expect("it can be read"), part),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_may_not_leave_its_site_is_on_no_wire_and_on_no_other_disk() {
    let seen = crowd(Residency::Site).await;
    assert!(seen.refused > 0, "the edge had too much to do");
    assert_eq!(seen.there, 0);
    assert!(!seen.is_in_what_was_said());
    assert!(!seen.is_on_the_wire());
    // The function writes it into its log: at home, where it may be.
    assert!(seen.kept_at_edge && !seen.kept_at_cloud);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_search_finds_a_payload_that_may_travel_and_the_wire_alone_shows_nothing() {
    let seen = crowd(Residency::Any).await;
    assert!(seen.there > 0, "calls were sent on");
    assert!(seen.is_in_what_was_said());
    assert!(seen.kept_at_cloud);
    // Nodes encrypt what they say to each other, and tell the control store nothing of it.
    assert!(!seen.is_on_the_wire());
}
