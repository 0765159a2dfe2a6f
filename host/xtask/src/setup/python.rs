//! Packages from PyPI, by `pip`.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::Command;

use crate::setup::debian;
use crate::step;

/// Packages here are at most some 80 MB.
const LIMIT: Duration = Duration::from_secs(600);

/// `pip` of the `python3` on the path, installed if need be.
async fn pip() -> anyhow::Result<Command> {
    if step::ask("python3", &["-m", "pip", "--version"]).await.is_none() {
        debian::install(&["python3", "python3-pip"]).await.context("pip is missing")?;
    }
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]);
    Ok(command)
}

/// The platform of a wheel that fits any machine.
pub(crate) const ANY_MACHINE: &str = "any";

/// Whose wheels are taken where there is one for each Python, whichever runs here: what is pinned is one file.
const PYTHON: &str = "3.11";

/// Downloads one wheel for a platform.
pub(crate) async fn download(requirement: &str, platform: &str, folder: &Path) -> anyhow::Result<()> {
    let mut command = pip().await?;
    command.args(["download", "--no-deps", "--only-binary", ":all:", "--platform", platform]);
    command.args(["--python-version", PYTHON, "--dest"]).arg(folder);
    step::quietly("fetch", &format!("PyPI {requirement}"), command.arg(requirement), LIMIT).await?;
    Ok(())
}

/// Installs a package into a folder of its own; such a folder is allowed where the system's Python is not ours to change.
pub(crate) async fn install(requirement: &str, folder: &Path) -> anyhow::Result<()> {
    let mut command = pip().await?;
    command.args(["install", "--only-binary", ":all:", "--upgrade", "--target"]).arg(folder).arg(requirement);
    step::quietly("fetch", &format!("PyPI {requirement}"), &mut command, LIMIT).await?;
    Ok(())
}
