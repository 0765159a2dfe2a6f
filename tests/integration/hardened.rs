//! A hardened node: it has given up most rights of its process, and does all that it did.

use std::time::Duration;

use reqwest::Method;
use spillway_tests::{Cluster, Node, wait_until};

const SOON: Duration = Duration::from_secs(30);

/// What the kernel says of the process.
fn holds(node: &Node) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("it runs");
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).map(ToOwned::to_owned);
    assert_eq!((field("NoNewPrivs:").as_deref(), field("Seccomp:").as_deref()), (Some("1"), Some("2")), "{status}");
    for thread in std::fs::read_dir(format!("/proc/{}/task", node.pid())).expect("it runs") {
        let thread = thread.expect("an entry").path().join("status");
        // One that has ended meanwhile needs nothing.
        let Ok(status) = std::fs::read_to_string(thread) else { continue };
        assert!(status.contains("Seccomp:\t2"), "{status}");
    }
    let capabilities = u64::from_str_radix(&field("CapPrm:").expect("a field"), 16).expect("hexadecimal");
    // Bits of linux/capability.h: to pass over the owner of a file (1), and ports below 1024 (10).
    assert_eq!(capabilities & !(1 << 1 | 1 << 10), 0, "{status}");
    assert!(node.stderr().contains("hardened") && node.stderr().contains("Landlock"), "{}", node.stderr());
}

#[tokio::test]
async fn a_hardened_node_compiles_checks_models_infers_collects_and_starts_again() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let start = || Node::builder().data(folder.path()).args(&["--hardened"]).start();
    let node = start().await;
    holds(&node);
    for guest in ["hello", "plain", "sniff", "misbehave"] {
        let path = spillway_tests::bundle_file(guest).display().to_string();
        let deployed = node.cli(&["deploy", &path]).await;
        assert_eq!(deployed.code, 0, "{guest}: {deployed:#?}");
    }
    let works = async |node: &Node| {
        assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
        assert_eq!(node.call("/plain/greet").await.ok(), "Hello from WASI 0.2\n");
        let sniffed =
            Node::send(node.request(Method::POST, "/sniff").body("fn main() {\n    println!(\"hello\");\n}\n")).await;
        assert!(sniffed.ok().contains("rust"), "{sniffed:?}");
        assert_eq!(node.call("/misbehave/trap").await.status, 500);
    };
    works(&node).await;
    let collected = node.cli(&["gc"]).await;
    assert_eq!(collected.code, 0, "{collected:#?}");
    node.interrupt();
    assert_eq!(node.wait(SOON).await.status.code(), Some(0));
    let node = start().await;
    works(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hardened_nodes_are_a_cluster() {
    let cluster = Cluster::start().await;
    let one = cluster.builder("one", "edge", "paris").await.args(&["--hardened"]).start().await;
    let two = cluster.builder("two", "cloud", "frankfurt").await.args(&["--hardened"]).start().await;
    cluster.settled(&[&one, &two]).await;
    holds(&one);
    let path = spillway_tests::bundle_file("hello").display().to_string();
    let deployed = cluster.sign(&one, &["deploy", &path]).await;
    assert_eq!(deployed.code, 0, "{deployed:#?}");
    wait_until("both serve it", SOON, async || two.call("/hello").await.status == 200).await;
    assert_eq!(one.call("/hello").await.ok(), "Hello, world!\n");
}

#[tokio::test]
async fn a_file_that_a_hardened_node_needs_and_that_is_not_there_is_named() {
    let args = ["--hardened", "--tls-cert", "/nowhere/chain.pem", "--tls-key", "/nowhere/key.pem"];
    let exit = Node::builder().args(&args).try_start().await.err().expect("it does not start");
    assert!(exit.stderr.contains("/nowhere") && exit.stderr.contains("is not there"), "{exit:#?}");
}

/// Kernels that lack what is needed, as strace can play them: with some system calls that fail.
#[tokio::test]
async fn a_kernel_without_landlock_or_seccomp_is_named_and_the_node_does_not_start() {
    for (fault, named) in [
        ("landlock_create_ruleset:error=ENOSYS", "needs Landlock"),
        ("landlock_create_ruleset:error=EOPNOTSUPP", "needs Landlock"),
        // The version of Linux 5.13, in which no file may go from one folder to another.
        ("landlock_create_ruleset:retval=1:when=1", "needs Landlock of Linux 5.19 or later"),
        ("seccomp:error=EINVAL", "needs seccomp filters"),
    ] {
        let folder = tempfile::tempdir().expect("tests may write temporary files");
        let data = folder.path().join("data");
        let inject = format!("inject={fault}");
        let strace = ["strace", "-f", "-e", "trace=landlock_create_ruleset,seccomp", "-e", &inject, "-o", "/dev/null"];
        let builder = Node::builder().data(&data).args(&["--hardened"]).under(&strace);
        let exit = builder.try_start().await.err().expect("it does not start");
        assert!(exit.stderr.contains(named) && exit.stderr.contains("start without --hardened"), "{fault}: {exit:#?}");
        assert!(!data.join("blobs").exists(), "{fault}: the node has begun to work");
    }
}

#[tokio::test]
async fn a_hardened_node_reads_its_callers_again_after_their_file_was_replaced() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let file = folder.path().join("callers.toml").display().to_string();
    let token = async |name: &str| {
        let made =
            spillway_tests::run(&["caller", "new", name, "--functions", "hello", "--callers", &file, "--json"]).await;
        assert_eq!(made.code, 0, "{made:#?}");
        made.json()["token"].as_str().expect("a token").to_owned()
    };
    let ada = token("ada").await;
    let node = Node::builder().args(&["--hardened", "--auth", "token", "--callers", &file]).start().await;
    node.deploy("hello").await;
    let status = async |token: &str| Node::send(node.request(Method::GET, "/hello").bearer_auth(token)).await.status;
    assert_eq!(status(&ada).await, 200);
    let eve = token("eve").await;
    wait_until("the new caller is known", SOON, async || status(&eve).await == 200).await;
}
