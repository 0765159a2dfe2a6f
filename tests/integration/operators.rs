//! Native kernels behind a sandbox, and guests that ask too much of them.

use reqwest::Method;
use spillway_tests::{Node, bundle, bundle_file, with_manifest, workspace};
use spillway_types::ProblemType;

/// What a node may grow by while guests try to fill it: the guests' own memory (16 MiB) and what allocators keep.
const GROWTH_MAX: u64 = 64 << 20;

async fn node() -> Node {
    let node = Node::start().await;
    node.deploy("misbehave").await;
    node
}

#[tokio::test]
async fn a_picture_is_decoded_in_the_host_and_only_numbers_enter_the_guest() {
    let node = node().await;
    let file = std::fs::read(workspace().join("tests/data/operators/gradient.png")).expect("it is kept");
    let answer = Node::send(node.request(Method::POST, "/misbehave/image").body(file)).await;
    // Means by Pillow and NumPy: tests/data/operators/make.py prints them.
    assert_eq!(answer.ok(), "[16, 24, 3] [120.0, 127.5, 64.0]\n");
}

#[tokio::test]
async fn a_component_of_wasi_0_2_computes_with_kernels() {
    let node = Node::start().await;
    let file = bundle_file("blocking").display().to_string();
    node.cli(&["deploy", &file, "--json"]).await.json();
    // Softmax of ln 1, ln 3 is 1/4, 3/4, taken from the second row of a view, and its greatest.
    assert_eq!(node.call("/blocking/kernels").await.ok(), "[0.25, 0.75] [1]");
    // As a graph: relu of x times 2 and minus 1, on [1.5, -1], whose constant part is computed once.
    for _ in 0..2 {
        assert_eq!(node.call("/blocking/graph").await.ok(), "[2.0, 0.0] [[2]] [[2]]");
    }
    let refused = node.call("/blocking/refused-graph").await.ok();
    assert!(refused.starts_with("ErrorCode::InvalidArgument: ") && refused.contains("operation 1"), "{refused}");
    let refused = node.call("/blocking/refused").await.ok();
    assert!(refused.starts_with("ErrorCode::InvalidArgument: ") && refused.contains("softmax"), "{refused}");
}

#[tokio::test]
async fn a_guest_that_takes_100_000_handles_or_huge_views_is_refused_and_the_node_does_not_grow() {
    let node = node().await;
    assert_eq!(node.call("/misbehave/greet").await.status, 200);
    let before = node.resident_bytes();
    for what in ["handles", "views"] {
        for _ in 0..3 {
            node.call(&format!("/misbehave/{what}")).await.problem(ProblemType::OutOfMemory, &["tensor memory"]);
        }
    }
    let log = node.logs("misbehave").await;
    let refused = |record: &&serde_json::Value| record["message"].to_string().contains("handles already; drop tensors");
    assert_eq!(log.iter().filter(refused).count(), 6, "{log:#?}");
    for (what, part) in [
        ("huge-sum", "raise `tensors` under [limits] in spillway.toml"),
        ("huge-image", "a tensor of 10800000000 bytes does not fit"),
        ("deep-shape", "1000000 axes; a tensor has at most 64"),
    ] {
        for _ in 0..3 {
            let told = node.call(&format!("/misbehave/{what}")).await.ok();
            assert!(told.contains(part), "{what}: {told}");
        }
    }
    // Reading has no error to return, so the guest traps, as it would when its own memory ends.
    assert_eq!(node.call("/misbehave/huge-read").await.status, 500);
    assert_eq!(node.call("/misbehave/greet").await.status, 200);
    let after = node.resident_bytes();
    assert!(after < before + GROWTH_MAX, "grew from {before} to {after} bytes");
}

#[tokio::test]
async fn a_budget_of_zero_is_refused_and_one_of_a_byte_is_held() {
    let node = Node::start().await;
    let manifest = std::fs::read_to_string(workspace().join("tests/guests/misbehave/spillway.toml"));
    let manifest = manifest.expect("it is kept");
    let deploy = async |budget: &str| {
        let manifest = manifest.replace("tensors = \"1MiB\"", &format!("tensors = \"{budget}\""));
        node.post(with_manifest(&bundle("misbehave"), &manifest), "").await
    };
    let refused = deploy("0").await;
    refused.problem(ProblemType::InvalidManifest, &[]);
    assert!(refused.text().contains("`tensors` is 0; write a size such as `64MiB`"), "{refused:?}");
    let deployed = deploy("1B").await;
    assert_eq!(deployed.status, 201, "{deployed:?}");
    for _ in 0..3 {
        for path in ["tensor", "products?count=3&times=1"] {
            node.call(&format!("/misbehave/{path}")).await.problem(ProblemType::OutOfMemory, &["tensor memory"]);
        }
        assert_eq!(node.call("/misbehave/greet").await.status, 200);
    }
}
