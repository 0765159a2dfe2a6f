//! What a node and its functions take when nobody calls them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use spillway_tests::{Node, bundle, bundle_file, spillway, wait_until};

/// Memory that a deployment took is given back when it has not become less for so long.
const SETTLED: Duration = Duration::from_secs(7);
const LOOK: Duration = Duration::from_millis(100);
/// What the guest answers, which each copy of it says otherwise.
const GREETING: &[u8] = b"Hello from WASI 0.2\n";

/// The guest as another component: its code is compiled anew.
pub(super) fn other(component: &[u8], number: u64) -> anyhow::Result<Vec<u8>> {
    let at = component.windows(GREETING.len()).position(|window| window == GREETING);
    let at = at.context("the guest `plain` greets otherwise by now; change `GREETING`")?;
    let mut changed = component.to_vec();
    let greeting = format!("Hello {number:>width$}\n", width = GREETING.len() - 7);
    changed[at..at + GREETING.len()].copy_from_slice(greeting.as_bytes());
    Ok(changed)
}

/// Resident memory of a node, once it becomes no less.
async fn settled(node: &Node) -> f64 {
    let (mut least, mut since) = (node.resident_bytes(), Instant::now());
    while since.elapsed() < SETTLED {
        tokio::time::sleep(LOOK).await;
        if node.resident_bytes() < least {
            (least, since) = (node.resident_bytes(), Instant::now());
        }
    }
    least as f64
}

/// Resident memory of a node with `hello` deployed and called once, of so many nodes one after another: what a start takes
/// differs from that of the next.
pub(super) async fn idle_node(starts: u16) -> anyhow::Result<Vec<f64>> {
    let mut taken = Vec::new();
    for _ in 0..starts {
        let node = Node::start().await;
        node.cli(&["deploy", &bundle_file("hello").display().to_string(), "--json"]).await.json();
        node.call("/hello").await.ok();
        taken.push(settled(&node).await);
    }
    Ok(taken)
}

/// Size of the binary without its symbols.
pub(super) fn binary() -> anyhow::Result<f64> {
    let stripped = tempfile::NamedTempFile::new()?;
    let strip = std::process::Command::new("strip").arg("-o").arg(stripped.path()).arg(spillway()).status();
    ensure!(strip.context("`strip` of binutils does not start")?.success(), "`strip` failed");
    Ok(std::fs::metadata(stripped.path())?.len() as f64)
}

/// What each of so many different functions takes, in bytes of resident memory.
pub(super) async fn idle_function(count: u16) -> anyhow::Result<f64> {
    let node = Node::start().await;
    let built = spillway_tests::bare(&bundle("plain"));
    let deploy = async |number: u16| {
        let component = other(&built, u64::from(number))?;
        let answer = node.post(component, &format!("name=f{number}&route=/f{number}/*")).await;
        ensure!(answer.status == 201, "f{number} was not deployed: {}", answer.text());
        anyhow::Ok(())
    };
    // The first one brings what all of them need.
    deploy(0).await?;
    wait_until("its code has left memory", Duration::from_secs(180), async || {
        node.metrics().await.sum("spillway_code_loaded", &[]) == Some(0.0)
    })
    .await;
    let before = settled(&node).await;
    for number in 1..=count {
        deploy(number).await?;
        if number % 100 == 0 {
            eprintln!("{number} of {count} deployed");
        }
    }
    eprintln!("waiting until their code has left memory");
    wait_until("all code has left memory", Duration::from_secs(180), async || {
        node.metrics().await.sum("spillway_code_loaded", &[]) == Some(0.0)
    })
    .await;
    let after = settled(&node).await;
    let last = node.call(&format!("/f{count}/greet")).await.ok();
    ensure!(last.ends_with(&format!("{count}\n")), "another component answered: {last}");
    Ok((after - before) / f64::from(count))
}
