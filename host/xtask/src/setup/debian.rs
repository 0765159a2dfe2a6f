//! Packages on Debian and its descendants.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::Command;

use crate::step;

/// A mirror may be slow, and the guest toolchain is 300 MB.
const LIMIT: Duration = Duration::from_secs(900);

/// Whether packages can be installed without asking anybody.
async fn is_root_on_debian() -> bool {
    Path::new("/usr/bin/apt-get").exists() && step::ask("id", &["-u"]).await.as_deref() == Some("0")
}

/// Installs packages.
///
/// # Errors
/// This is not Debian, we are not root, or the packages cannot be had; names the command to run.
pub(crate) async fn install(packages: &[&str]) -> anyhow::Result<()> {
    let list = packages.join(" ");
    let by_hand = format!("on Debian, run as root: apt-get install {list}");
    anyhow::ensure!(is_root_on_debian().await, by_hand);
    let install = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "--yes", "--no-install-recommends"]);
        command.args(packages);
        command
    };
    if step::quietly("install", &format!("Debian packages {list}"), &mut install(), LIMIT).await.is_ok() {
        return Ok(());
    }
    // A fresh image has no lists, or lists of packages that the mirror has since replaced.
    let mut update = Command::new("apt-get");
    step::quietly("install", "lists of Debian packages", update.arg("update"), LIMIT).await.context(by_hand.clone())?;
    step::quietly("install", &format!("Debian packages {list}"), &mut install(), LIMIT).await.context(by_hand)?;
    Ok(())
}
