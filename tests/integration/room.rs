//! Functions whose models do not fit live where they do, from the first call on.

use reqwest::Method;
use spillway_tests::{Cluster, Node, Ran, bundle_file};

const FILE: &str = "fn main() {\n    println!(\"hello\");\n}\n";

async fn sniff(node: &Node) -> Option<String> {
    let answer = Node::send(node.request(Method::POST, "/sniff").body(FILE)).await;
    assert!(answer.ok().contains("rust"), "{answer:?}");
    answer.header("spillway-node").map(ToOwned::to_owned)
}

async fn deploy(cluster: &Cluster, node: &Node, name: &str) -> Ran {
    cluster.sign(node, &["deploy", &bundle_file(name).display().to_string()]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_whose_models_fit_on_no_edge_node_lives_in_the_cloud_from_the_first_call() {
    let cluster = Cluster::start().await;
    let small = ["--model-memory", "1MiB"];
    let edge = cluster.builder("edge", "edge", "paris").await.args(&small).start().await;
    let other = cluster.builder("other", "edge", "paris").await.args(&small).start().await;
    cluster.settled(&[&edge, &other]).await;
    // With nobody to run it, the deployer hears why, each time, and nothing has changed.
    for _ in 0..2 {
        let refused = deploy(&cluster, &edge, "sniff").await;
        assert_eq!(refused.code, 4, "{refused:#?}");
        for part in ["--model-memory", "other: "] {
            assert!(refused.stderr.contains(part), "{part}: {refused:#?}");
        }
    }
    assert_eq!(edge.get("/functions").await, serde_json::json!([]));

    let cloud = cluster.join("cloud", "cloud", "frankfurt").await;
    cluster.settled(&[&edge, &other, &cloud]).await;
    let deployed = deploy(&cluster, &edge, "sniff").await;
    assert_eq!(deployed.code, 0, "{deployed:#?}");
    assert_eq!(sniff(&edge).await.as_deref(), Some("cloud"));
    let inspected = edge.cli(&["inspect", "sniff"]).await;
    assert!(inspected.stdout.contains("1.0 MiB in all"), "{inspected:#?}");
    // Nor is it forgotten that it does not fit.
    edge.kill();
    let edge = cluster.builder("edge", "edge", "paris").await.args(&small).start().await;
    cluster.settled(&[&edge, &cloud]).await;
    assert_eq!(sniff(&edge).await.as_deref(), Some("cloud"));
    // With more memory it comes home.
    edge.kill();
    let edge = cluster.join("edge", "edge", "paris").await;
    cluster.settled(&[&edge, &cloud]).await;
    spillway_tests::wait_until("it runs here", crate::clusters::SPREAD_MAX, async || sniff(&edge).await.is_none())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_does_not_fit_the_only_node_is_never_deployed() {
    let cluster = Cluster::start().await;
    let only = cluster.builder("only", "edge", "paris").await.args(&["--model-memory", "1MiB"]).start().await;
    for _ in 0..2 {
        let refused = deploy(&cluster, &only, "sniff").await;
        assert_eq!(refused.code, 4, "{refused:#?}");
        assert!(refused.stderr.contains("no other node may run it"), "{refused:#?}");
    }
    assert_eq!(only.get("/functions").await, serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_fits_once_something_idle_is_unloaded_gets_its_place() {
    let cluster = Cluster::start().await;
    let probe = Node::start().await;
    let bytes = async |name: &str| {
        probe.cli(&["deploy", &bundle_file(name).display().to_string(), "--json"]).await.json();
        let models = probe.get("/models").await;
        models
            .as_array()
            .expect("a list")
            .iter()
            .map(|model| model["memory_bytes"].as_u64().expect("a number"))
            .sum::<u64>()
    };
    let first = bytes("sniff").await;
    let second = bytes("blocking").await - first;
    assert!(second > 0, "both have a model");
    // Either alone, and not both.
    let room = format!("{}B", first.max(second) + second.min(first) / 2);
    let node = cluster.builder("one", "edge", "paris").await.args(&["--model-memory", &room]).start().await;
    for name in ["sniff", "blocking"] {
        let deployed = deploy(&cluster, &node, name).await;
        assert_eq!(deployed.code, 0, "{deployed:#?}");
    }
    let unloads = async || {
        node.metrics().await.sum("spillway_model_unloads_total", &[("reason", "pressure")]).expect("it is counted")
    };
    let before = unloads().await;
    assert!(before >= 1.0, "the second took the place of the first");
    assert_eq!(sniff(&node).await, None);
    assert!(node.call("/blocking/add").await.status == 200 && unloads().await > before);
}
