//! Model files that are too much of something: text, names, nodes, depth. Each is refused in few words or costs no more
//! than itself, and what served before serves on.

use spillway_tests::{Answer, Node, onnx};
use spillway_types::ProblemType;

use crate::hostile_models::{deploy, node};
use crate::serving;

/// What a problem may take: callers show it whole.
const LONGEST_PROBLEM: usize = 16 << 10;

fn refused(answer: &Answer, words: &[&str]) {
    answer.problem(ProblemType::InvalidModel, words);
    assert!(answer.body.len() < LONGEST_PROBLEM, "{} bytes: {words:?}", answer.body.len());
}

async fn grown(node: &Node, before: u64) -> u64 {
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
    node.peak_resident_bytes().saturating_sub(before)
}

#[tokio::test]
async fn names_of_megabytes_are_refused_in_few_words() {
    let node = node().await;
    let long = "n".repeat(1_000_000);
    for nodes in [
        [onnx::node(&long, "", &["x"], &["y"])],
        [onnx::node("Neg", &long, &["x"], &["y"])],
        [onnx::node("Neg", "", &[&long], &["y"])],
        [[onnx::node("Neg", "", &["x"], &["y"]), onnx::field(5, &onnx::field(1, long.as_bytes()))].concat()],
    ] {
        refused(&deploy(&node, onnx::model(&nodes, "n", &[])).await, &["1000000 bytes, more than 4096"]);
    }
    // Each name is short enough, and all together are not.
    let distinct =
        |index: usize| onnx::node(&format!("{}{index}", "N".repeat(2000)), "", &["x"], &[&format!("v{index}")]);
    let nodes: Vec<_> = (0..2000).map(distinct).chain([onnx::node("Neg", "", &["x"], &["y"])]).collect();
    refused(&deploy(&node, onnx::model(&nodes, "n", &[])).await, &["`NNN", " and 1990 more"]);
    serving::untouched(&node).await;
}

#[tokio::test]
async fn texts_about_a_model_cost_no_more_than_the_file() {
    let node = node().await;
    let before = node.peak_resident_bytes();
    let text = vec![b'a'; 16 << 20];
    let metadata = onnx::field(14, &[onnx::field(1, b"key"), onnx::field(2, &text)].concat());
    let model = onnx::model(&[onnx::node("Neg", "", &["x"], &["y"])], "n", &[onnx::field(6, &text), metadata]);
    let file_bytes = model.len() as u64;
    assert_eq!(deploy(&node, model).await.status, 201);
    let grown = grown(&node, before).await;
    assert!(grown < 6 * file_bytes, "the node grew by {grown} bytes");
}

#[tokio::test]
async fn tens_of_thousands_of_nodes_are_loaded_or_refused_and_the_node_stays_small() {
    let node = node().await;
    let before = node.peak_resident_bytes();
    let count = 20_000;
    let name = |index: usize| if index == count { "y".to_owned() } else { format!("v{index}") };
    let step = |index: usize| {
        let input = if index == 1 { "x".to_owned() } else { name(index - 1) };
        onnx::node("Sin", "", &[&input], &[&name(index)])
    };
    let chain: Vec<_> = (1..=count).map(step).collect();
    let wide = (0..count).map(|index| onnx::node("Sin", "", &["x"], &[&format!("v{index}")]));
    let names: Vec<_> = (0..count).map(|index| format!("v{index}")).collect();
    let inputs: Vec<&str> = names.iter().map(String::as_str).collect();
    let wide: Vec<_> = wide.chain([onnx::node("Sum", "", &inputs, &["y"])]).collect();
    for (shape, nodes) in [("chain", chain), ("wide", wide)] {
        let answer = deploy(&node, onnx::model(&nodes, "n", &[])).await;
        if answer.status != 201 {
            refused(&answer, &["scorer"]);
        }
        let grown = grown(&node, before).await;
        assert!(grown < 256 << 20, "{shape}: the node grew by {grown} bytes");
    }
}
