//! `similar`: nearest neighbours by one product with vectors that lie in the node.

use reqwest::Method;
use serde_json::Value;
use spillway_tests::{Node, deploy_similar, similar_index};

use crate::samples::{embedded, target};

/// Rows of an index as large as the issue that asked for `similar` wants one.
const MANY: usize = 100_000;

/// An index of the references' texts and of as many more as make [`MANY`], whose vectors are made up: as `similar` makes them,
/// of length 1.
fn large_index(references: &[(String, Vec<f32>)]) -> (Vec<(String, Vec<f32>)>, Vec<u8>) {
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut rows = references.to_vec();
    for number in rows.len()..MANY {
        // Near one of the references, so that what is nearest is not just a reference.
        let near = &references[number % references.len()].1;
        let vector: Vec<f32> = near.iter().map(|value| value + 0.03 * random()).collect();
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        rows.push((format!("text {number}"), vector.iter().map(|value| value / length).collect()));
    }
    let file = similar_index(&rows);
    (rows, file)
}

#[tokio::test]
async fn similar_finds_among_100_000_vectors_just_those_that_are_nearest() {
    let node = Node::start().await;
    let references = embedded();
    let (rows, file) = large_index(&references);
    deploy_similar(&node, &file).await;
    assert_eq!(node.call("/similar").await.ok(), r#"{"texts":100000,"dimensions":384}"#);
    for (text, vector) in &references[..20] {
        let search = serde_json::json!({ "text": text, "count": 10 });
        let answer = Node::send(node.request(Method::POST, "/similar").json(&search)).await.ok();
        let found: Vec<Value> = serde_json::from_str(&answer).expect("similar answers JSON");
        // By brute force, in double precision.
        let score = |(text, row): &(String, Vec<f32>)| {
            let products = row.iter().zip(vector).map(|(a, b)| f64::from(*a) * f64::from(*b));
            (products.sum::<f64>(), text.clone())
        };
        let mut scores: Vec<_> = rows.iter().map(score).collect();
        scores.sort_by(|one, other| other.0.total_cmp(&one.0));
        assert_eq!(found.len(), 10);
        for (found, (score, _)) in found.iter().zip(&scores) {
            // Scores that are nearer to each other than single precision tells may change places; their texts differ then.
            assert!((found["score"].as_f64().expect("a number") - score).abs() < 1e-5, "{text}: {found} {score}");
        }
        assert_eq!(found[0]["text"], scores[0].1, "{text}");
    }
    let metrics = node.metrics().await;
    let tensors = metrics.sum("spillway_tensor_memory_bytes", &[("function", "similar")]).expect("it is counted");
    assert!(tensors < 1e7, "the index is nobody's own: {tensors} bytes of tensors");
}

#[tokio::test]
async fn similar_makes_an_index_that_it_then_searches() {
    let node = Node::start().await;
    node.cli(&["deploy", &target().join("spillway/similar.wasm").display().to_string(), "--json"]).await.json();
    let lines = "The kettle is on the stove.\n\nInterest rates were raised again.\nAn owl hunts at night.\n";
    let made = Node::send(node.request(Method::POST, "/similar/index").body(lines)).await;
    assert_eq!(made.status, 200, "{made:?}");
    deploy_similar(&node, &made.body).await;
    for (text, nearest) in [
        ("Water is being boiled for tea.", "The kettle is on the stove."),
        ("The central bank made money dearer.", "Interest rates were raised again."),
        ("A bird catches mice in the dark.", "An owl hunts at night."),
    ] {
        let search = serde_json::json!({ "text": text, "count": 1 });
        let answer = Node::send(node.request(Method::POST, "/similar").json(&search)).await.ok();
        let found: Vec<Value> = serde_json::from_str(&answer).expect("similar answers JSON");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["text"], nearest, "{answer}");
    }
}
