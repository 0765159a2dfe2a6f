//! Programs that the tests run.

use crate::setup::debian;
use crate::step;

/// Each program, and Debian's package of the same name: `strace` shows the order in which a deployment reaches the disk,
/// `curl` runs the lines of the README, `faketime` gives a node another clock, `tshark` captures what nodes say to each other
/// and decrypts it.
const PROGRAMS: [&str; 4] = ["strace", "curl", "faketime", "tshark"];

/// Installs those that are missing.
pub(crate) async fn provide() -> anyhow::Result<()> {
    let mut missing = Vec::new();
    for program in PROGRAMS {
        if step::ask(program, &["--version"]).await.is_none() {
            missing.push(program);
        }
    }
    if !missing.is_empty() {
        debian::install(&missing).await?;
    }
    step::say("ready", format!("programs for tests: {}", PROGRAMS.join(", ")));
    Ok(())
}
