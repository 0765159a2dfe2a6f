//! A caller keeps its data nearer than the manifest does; what that refuses is remembered.

use reqwest::Method;
use spillway_tests::{Answer, Cluster, Node, bundle, manifest_of, wait_until, with_manifest};
use spillway_types::{ProblemType, Role};

use crate::clusters::{SPREAD_MAX, deploy, greets};

async fn call(node: &Node, path: &str, residency: &str) -> Answer {
    Node::send(node.request(Method::GET, path).header("spillway-residency", residency)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_keeps_its_data_near_and_never_sends_it_farther() {
    let cluster = Cluster::start().await;
    let edge = cluster.join("edge", "edge", "paris").await;
    let cloud = cluster.join("cloud", "cloud", "frankfurt").await;
    cluster.settled(&[&edge, &cloud]).await;
    // On the cloud alone, and its data may go anywhere.
    let built = bundle("hello");
    let mut manifest = manifest_of(&built);
    manifest.placement.roles = vec![Role::Cloud];
    let file = cluster.path("hello.wasm");
    std::fs::write(&file, with_manifest(&built, &manifest.to_bundle_toml())).expect("tests may write files");
    assert_eq!(cluster.sign(&edge, &["deploy", &file]).await.code, 0);
    // The first call after the deployment is answered already.
    let answer = edge.call("/hello").await;
    assert_eq!((answer.status, answer.header("spillway-node")), (200, Some("cloud")), "{answer:?}");

    for (residency, reaches) in [("any", true), ("region", true), ("site", false), ("node", false)] {
        let answer = call(&edge, "/hello", residency).await;
        if reaches {
            assert_eq!(answer.header("spillway-node"), Some("cloud"), "{residency}: {answer:?}");
        } else {
            let words = ["cloud is farther away", &format!("residency = \"{residency}\"")];
            answer.problem(ProblemType::Residency, &words);
        }
    }
    call(&edge, "/hello", "here")
        .await
        .problem(ProblemType::BadRequest, &["spillway-residency", "node, site, region, any"]);
    let taken = cloud.metrics().await.requests("hello", "answered");
    assert_eq!(taken, 3, "what was refused has not been there");

    let audit = edge.cli(&["audit", "--json"]).await.json();
    let counted: u64 = audit
        .as_array()
        .expect("a list")
        .iter()
        .filter(|record| record["kind"] == "residency" && record["function"] == "default/hello")
        .map(|record| record["count"].as_u64().expect("a number"))
        .sum();
    assert_eq!(counted, 2, "{audit:#}");
    let table = edge.cli(&["audit"]).await;
    assert!(table.stdout.contains("residency") && table.stdout.contains("default/hello"), "{table:#?}");
    assert_eq!(cloud.cli(&["audit"]).await.stdout, "nothing was refused that is audited\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_drains_runs_what_its_caller_keeps_near() {
    let cluster = Cluster::start().await;
    let edge = cluster.join("edge", "edge", "paris").await;
    let cloud = cluster.join("cloud", "cloud", "frankfurt").await;
    cluster.settled(&[&edge, &cloud]).await;
    assert_eq!(deploy(&cluster, &edge, "Salut").await.code, 0);
    greets(&cloud, "Salut").await;
    edge.cli(&["drain", "edge"]).await;
    wait_until("calls go to the other", SPREAD_MAX, async || {
        edge.call("/hello").await.header("spillway-node") == Some("cloud")
    })
    .await;
    for residency in ["site", "node"] {
        let answer = call(&edge, "/hello", residency).await;
        assert_eq!((answer.status, answer.header("spillway-node")), (200, None), "{answer:?}");
    }
}
