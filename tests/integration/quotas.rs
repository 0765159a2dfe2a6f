//! What the functions of a namespace may take of a node together.

use std::time::Duration;

use reqwest::Method;
use spillway_tests::{Answer, Node, bundle, bundle_file, wait_until, with_manifest};
use spillway_types::ProblemType;

use crate::{serving, variants};

const SOON: Duration = Duration::from_secs(20);

/// `misbehave` in the namespace `shop`, and `hello` in `default`.
async fn node() -> Node {
    let node = Node::start().await;
    deploy(&node).await;
    node
}

async fn deploy(node: &Node) {
    let manifest = serving::changed("misbehave", |manifest| manifest.limits.deadline = SOON);
    assert_eq!(node.post(with_manifest(&bundle("misbehave"), &manifest), "namespace=shop").await.status, 201);
    node.deploy("hello").await;
}

async fn cli(node: &Node, args: &[&str]) -> String {
    let ran = node.cli(args).await;
    assert_eq!(ran.code, 0, "{args:?}: {ran:#?}");
    ran.stdout
}

fn retry_after(answer: &Answer) -> u64 {
    let seconds = answer.header("retry-after").expect("it says when to come again");
    seconds.parse().expect("in seconds")
}

async fn running(node: &Node, count: f64) {
    wait_until(&format!("{count} calls count"), SOON, async || {
        node.metrics().await.sum("spillway_quota_running", &[("namespace", "shop")]) == Some(count)
    })
    .await;
}

#[tokio::test]
async fn calls_beyond_the_rate_of_their_namespace_are_429_and_those_of_others_are_served() {
    let node = node().await;
    // One call in 25 s: the test is through before there is another.
    cli(&node, &["quota", "set", "shop", "--calls-per-second", "0.04"]).await;
    assert_eq!(node.call("/misbehave/greet").await.status, 200);
    let refused = node.call("/misbehave/greet").await;
    refused.problem(ProblemType::QuotaExceeded, &["namespace shop", "0.04 calls per second", "quota set shop"]);
    assert!((20..=25).contains(&retry_after(&refused)), "{refused:?}");
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
    let metrics = node.metrics().await;
    let labels = [("namespace", "shop"), ("quota", "calls-per-second")];
    assert_eq!(metrics.sum("spillway_quota_refusals_total", &labels), Some(1.0));
    assert_eq!(metrics.requests("misbehave", "refused"), 1);
    // It holds at once, and so does its end.
    assert!(cli(&node, &["quota", "ls"]).await.contains("0.04 calls/s"));
    cli(&node, &["quota", "rm", "shop"]).await;
    assert_eq!(node.call("/misbehave/greet").await.status, 200);
}

#[tokio::test]
async fn calls_at_once_are_counted_over_all_functions_and_given_back_when_they_end() {
    let node = node().await;
    let other = variants::variant("hello", |manifest| manifest.name = "hello-too".parse().expect("a name"));
    let put = |quota: &'static str| {
        let request = node.api(Method::PUT, "/quotas/shop").header("content-type", "application/json");
        Node::send(request.body(quota))
    };
    cli(&node, &["rm", "hello", "--yes"]).await;
    assert_eq!(node.post(other, "namespace=shop").await.status, 201);
    let slow = |ms: u32| tokio::spawn(node.request(Method::GET, &format!("/misbehave/slow?ms={ms}")).send());
    // Once, so that the node knows how long it takes.
    assert_eq!(slow(2500).await.expect("no panic").expect("an answer").status(), 200);
    let set = put(r#"{"concurrent": 2}"#).await;
    assert_eq!(set.json()["concurrent"], 2, "{set:?}");
    let calls = [slow(2500), slow(2500)];
    running(&node, 2.0).await;
    let refused = node.call("/misbehave/greet").await;
    refused.problem(ProblemType::QuotaExceeded, &["namespace shop", "2 calls at once"]);
    assert!((1..=3).contains(&retry_after(&refused)), "{refused:?}");
    node.call("/hello").await.problem(ProblemType::QuotaExceeded, &["namespace shop"]);
    // Another quota counts those that run.
    put(r#"{"concurrent": 3}"#).await;
    assert_eq!(node.call("/hello").await.status, 200);
    put(r#"{"concurrent": 2}"#).await;
    node.call("/hello").await.problem(ProblemType::QuotaExceeded, &[]);
    for call in calls {
        assert_eq!(call.await.expect("no panic").expect("an answer").status(), 200);
    }
    running(&node, 0.0).await;
    assert_eq!(node.call("/hello").await.status, 200);
    // A caller that hangs up gives its place back as well.
    let gone = slow(15_000);
    running(&node, 1.0).await;
    gone.abort();
    running(&node, 0.0).await;
}

#[tokio::test]
async fn kernel_time_that_was_taken_too_much_is_waited_for() {
    let node = Node::start().await;
    cli(&node, &["deploy", &bundle_file("mlp").display().to_string()]).await;
    cli(&node, &["quota", "set", "default", "--kernel-time", "0.0001%"]).await;
    // 64 numbers of four bytes.
    let call = || Node::send(node.request(Method::POST, "/mlp").body(vec![0; 256]));
    let first = call().await;
    assert_eq!(first.status, 200, "{first:?}");
    // A microsecond in a second is allowed, and some tens were taken at least.
    let refused = call().await;
    refused.problem(ProblemType::QuotaExceeded, &["native inference"]);
    assert!(retry_after(&refused) >= 2, "{refused:?}");
}

#[tokio::test]
async fn sandboxes_that_hold_too_much_let_no_further_call_in_but_a_lone_one() {
    let node = node().await;
    cli(&node, &["quota", "set", "shop", "--memory", "64KiB"]).await;
    let slow = tokio::spawn(node.request(Method::GET, "/misbehave/slow?ms=3000").send());
    wait_until("its sandbox holds memory", SOON, async || {
        let metrics = node.metrics().await;
        metrics.sum("spillway_quota_memory_bytes", &[("namespace", "shop")]).is_some_and(|bytes| bytes > 65536.0)
    })
    .await;
    let refused = node.call("/misbehave/greet").await;
    refused.problem(ProblemType::QuotaExceeded, &["64.0 KiB of sandboxes' memory"]);
    assert!(retry_after(&refused) >= 1);
    assert_eq!(slow.await.expect("no panic").expect("an answer").status(), 200);
    running(&node, 0.0).await;
    assert_eq!(node.call("/misbehave/greet").await.status, 200, "alone it may");
}

/// Both calls begin while there is room; what would go beyond is refused where it is asked for, tensor or linear memory.
#[tokio::test]
async fn calls_that_have_begun_do_not_take_more_together_than_their_namespace_may_hold() {
    let node = Node::start().await;
    let manifest = serving::changed("misbehave", |manifest| {
        manifest.limits.deadline = SOON;
        manifest.limits.tensor_bytes = 64 << 20;
        manifest.sandbox.concurrency = 1;
    });
    assert_eq!(node.post(with_manifest(&bundle("misbehave"), &manifest), "namespace=shop").await.status, 201);
    cli(&node, &["quota", "set", "shop", "--memory", "32MiB"]).await;
    let hold = |mib: u32, ms: u32| node.request(Method::GET, &format!("/misbehave/hold?bytes={}&ms={ms}", mib << 20));
    assert_eq!(Node::send(hold(40, 0)).await.text(), "granted\n", "the only one may go beyond");
    let first = tokio::spawn(hold(24, 3000).send());
    wait_until("it holds its tensor", SOON, async || {
        let metrics = node.metrics().await;
        let held = metrics.sum("spillway_quota_memory_bytes", &[("namespace", "shop")]);
        held.is_some_and(|bytes| bytes > f64::from(24 << 20))
    })
    .await;
    let refused = Node::send(hold(24, 0)).await;
    assert!(refused.text().contains("the sandboxes of namespace shop hold"), "{refused:?}");
    assert!(refused.text().contains("--memory of `spillway quota set shop`"), "{refused:?}");
    let grown = node.call("/misbehave/allocate").await;
    grown.problem(ProblemType::OutOfMemory, &["other sandboxes of namespace shop", "32.0 MiB"]);
    assert_eq!(Node::send(hold(1, 0)).await.text(), "granted\n", "within the quota they are two");
    assert_eq!(first.await.expect("no panic").expect("an answer").status(), 200);
    assert_eq!(Node::send(hold(24, 0)).await.text(), "granted\n", "what was held is given back");
}

#[tokio::test]
async fn quotas_outlast_a_restart_and_what_is_none_is_refused() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let node = Node::builder().data(folder.path()).start().await;
    deploy(&node).await;
    cli(&node, &["quota", "set", "shop", "--calls-per-second", "0.01", "--memory", "1GiB"]).await;
    node.interrupt();
    assert_eq!(node.wait(SOON).await.status.code(), Some(0));
    let node = Node::builder().data(folder.path()).start().await;
    let listed = cli(&node, &["quota", "ls", "--json"]).await;
    assert!(listed.contains("\"memory_bytes\": 1073741824") && listed.contains("0.01"), "{listed}");
    assert_eq!(node.call("/misbehave/greet").await.status, 200);
    node.call("/misbehave/greet").await.problem(ProblemType::QuotaExceeded, &[]);
    for (body, says) in
        [(r#"{"concurrent": 0}"#, "concurrent is 0"), ("{}", "limits nothing"), (r#"{"cals": 1}"#, "cals")]
    {
        let request = node.api(Method::PUT, "/quotas/shop").header("content-type", "application/json").body(body);
        Node::send(request).await.problem(ProblemType::BadRequest, &[says]);
    }
    Node::send(node.api(Method::DELETE, "/quotas/none")).await.problem(ProblemType::NotFound, &["quota ls"]);
    let nothing = node.cli(&["quota", "set", "shop"]).await;
    assert_eq!(nothing.code, 2, "{nothing:#?}");
}
