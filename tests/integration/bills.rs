//! What calls cost: told to the caller who asks, written into the log, summed over nodes and days.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use spillway_tests::{Answer, Cluster, Node, bundle_file, wait_until};
use spillway_types::{Money, ProblemType};

use crate::clusters::SPREAD_MAX;
use crate::variants::traveller;

const FILE: &str = "fn main() {\n    println!(\"hello\");\n}\n";

/// One call of `sniff` that asks for its bill.
async fn billed(node: &Node) -> Answer {
    let answer = Node::send(node.request(Method::POST, "/sniff").header("spillway-bill", "1").body(FILE)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// A number in a member of the bill.
fn amount(member: &str, name: &str) -> f64 {
    let found = member.split(';').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name} in {member}")).parse().expect("amounts are numbers")
}

fn money(value: &Value) -> Money {
    value.as_str().expect("money is text").parse().expect("it is an amount")
}

async fn deploy_sniff(node: &Node) {
    node.cli(&["deploy", &bundle_file("sniff").display().to_string(), "--json"]).await.json();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_says_what_it_took_and_the_sums_outlast_the_node() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let node = Node::builder().data(folder.path()).args(&["--price", "3.6"]).start().await;
    deploy_sniff(&node).await;
    let unasked = Node::send(node.request(Method::POST, "/sniff").body(FILE)).await;
    assert_eq!((unasked.status, unasked.header("spillway-bill")), (200, None), "{unasked:?}");

    let answer = billed(&node).await;
    let bill = answer.header("spillway-bill").expect("it was asked for");
    assert!(bill.starts_with("here;cost=0.0"), "{bill}");
    for name in ["cpu", "kernel", "memory"] {
        assert!(amount(bill, name) > 0.0, "{name} in {bill}");
    }
    assert_eq!(amount(bill, "request"), FILE.len() as f64, "{bill}");
    assert!(!bill.contains("transfer"), "{bill}");
    // A node at 3.6 an hour costs a thousandth a second, all its cores together.
    let most = (amount(bill, "cpu") + amount(bill, "kernel")) / 1000.0;
    assert!(amount(bill, "cost") > 0.0 && amount(bill, "cost") <= most + 1e-9, "{bill}");

    let logged = node.logs("sniff").await;
    let ended: Vec<_> = logged.iter().filter(|record| record["outcome"] == "answered").collect();
    assert_eq!(ended.len(), 2, "{logged:#?}");
    let in_log: Money = ended.iter().map(|record| money(&record["bill"]["cost"])).sum();
    assert!(ended.iter().all(|record| record["bill"]["response_bytes"].as_u64() > Some(0)), "{ended:#?}");
    let counted = node.metrics().await.sum("spillway_cost_total", &[("function", "sniff")]).expect("it is counted");
    assert!((counted - in_log.as_f64()).abs() < 1e-12, "{counted} and {in_log}");

    let costs = async |node: &Node| {
        let costs = node.cli(&["cost", "sniff", "--json"]).await.json();
        (costs["costs"][0]["calls"].clone(), money(&costs["costs"][0]["cost"]))
    };
    assert_eq!(costs(&node).await, (2.into(), in_log));
    node.interrupt();
    assert!(node.wait(Duration::from_secs(20)).await.status.success());
    let node = Node::builder().data(folder.path()).args(&["--price", "0"]).start().await;
    assert_eq!(costs(&node).await, (2.into(), in_log));
    // Another price is for what comes now.
    let bill = billed(&node).await;
    assert!(bill.header("spillway-bill").is_some_and(|bill| bill.starts_with("here;cost=0;cpu=")), "{bill:?}");
    assert_eq!(costs(&node).await, (3.into(), in_log));
    let table = node.cli(&["cost"]).await;
    assert!(table.stdout.starts_with("FUNCTION") && table.stdout.contains(&in_log.to_string()), "{table:#?}");
    assert_eq!(node.cli(&["cost", "nobody"]).await.stdout, "no calls\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bill_of_a_call_that_was_sent_has_both_nodes_and_any_node_sums_all() {
    let cluster = Cluster::start().await;
    let near = cluster.builder("near", "edge", "paris").await.args(&["--transfer-price", "1024"]).start().await;
    let far = cluster.builder("far", "cloud", "lyon").await.args(&["--price", "3.6"]).start().await;
    cluster.settled(&[&near, &far]).await;
    let file = bundle_file("sniff").display().to_string();
    cluster.sign(&near, &["deploy", &file, "--json"]).await.json();
    wait_until("the other node serves it", SPREAD_MAX, async || {
        near.get("/functions").await[0]["nodes"].as_array().map_or(0, Vec::len) == 2
    })
    .await;
    near.cli(&["drain", "near"]).await;

    let answer = billed(&near).await;
    assert_eq!(answer.header("spillway-node"), Some("far"), "{answer:?}");
    let members: Vec<&str> =
        answer.headers.get_all("spillway-bill").iter().map(|value| value.to_str().expect("it is text")).collect();
    let [ran, sent] = members[..] else { panic!("{members:?}") };
    assert!(ran.starts_with("far;cost=0.0") && amount(ran, "cpu") > 0.0, "{ran}");
    assert_eq!(amount(sent, "transfer"), FILE.len() as f64, "{sent}");
    // A GiB at 1024 is a millionth a byte, nearly.
    let price = FILE.len() as f64 * 1024.0 / f64::from(1 << 30);
    assert!(sent.starts_with("near;") && (amount(sent, "cost") - price).abs() < 1e-9, "{sent}, {price}");

    for node in [&near, &far] {
        let costs = node.cli(&["cost", "--json"]).await.json();
        let costs = costs["costs"].as_array().expect("a list").clone();
        let of = |name: &str| costs.iter().find(|cost| cost["node"] == name).unwrap_or_else(|| panic!("{costs:#?}"));
        assert_eq!((&of("near")["calls"], &of("far")["calls"]), (&1.into(), &1.into()), "{costs:#?}");
        assert!(of("far")["transfer_bytes"].as_u64() > Some(0), "its answer went to the other node: {costs:#?}");
    }
    let table = far.cli(&["cost", "--by", "node"]).await;
    assert!(
        table.stdout.starts_with("NODE") && table.stdout.contains("near") && table.stdout.contains("far"),
        "{table:#?}"
    );
    // Who cannot be asked is named.
    near.kill();
    wait_until("the missing node is named", SPREAD_MAX, async || {
        far.cli(&["cost"]).await.stderr.contains("warning: near is not counted")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_too_dear_is_refused_and_not_told_to_come_again() {
    const CALL: &str = "/misbehave/work?ms=30";
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    // All its cores cost one a second.
    let node = Node::builder().args(&["--price", "3600"]).start().await;
    let file = folder.path().join("poor.wasm");
    let poor = traveller(|manifest| manifest.placement.max_cost = Some("0.0001".parse().expect("it is an amount")));
    std::fs::write(&file, poor).expect("tests may write temporary files");
    node.cli(&["deploy", &file.display().to_string(), "--json"]).await.json();
    // Its first calls are how the node learns what one takes.
    wait_until("it is known what a call costs", Duration::from_secs(20), async || node.call(CALL).await.status == 503)
        .await;
    let refused = node.call(CALL).await;
    refused.problem(ProblemType::TooDear, &["default/misbehave", "here", "0.0001", "`max_cost`"]);
    assert_eq!(refused.header("retry-after"), None, "{refused:?}");
}
