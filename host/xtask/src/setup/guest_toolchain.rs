//! A compiler for `wasm32-wasip2`: rustup's target, or Debian's packages.
//!
//! `spillway build` takes either; what is there already is kept.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::setup::debian;
use crate::step;
use crate::workspace::Workspace;

const TARGET: &str = "wasm32-wasip2";
const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "rust-web-src", "rust-web-llvm", "wasi-libc"];
/// What those packages bring, one file of each.
const DEBIAN_FILES: [&str; 3] =
    ["/usr/lib/rustlib/src/rust/library/std/Cargo.toml", "/usr/lib/wasm32-wasi/libc.a", "/usr/bin/rustc"];
/// The target is 30 MB; a machine that takes longer has no way to the server.
const RUSTUP_LIMIT: Duration = Duration::from_secs(300);

/// Finds or installs one.
pub(crate) async fn provide(workspace: &Workspace) -> anyhow::Result<()> {
    if has_target().await {
        step::say("ready", format!("guest toolchain: {TARGET} of the installed rustc"));
        return Ok(());
    }
    if has_debian_packages() {
        step::say("ready", "guest toolchain: Debian's rustc-web");
        return Ok(());
    }
    let mut reasons = Vec::new();
    // The distribution's packages first: they come from the mirror that the machine has anyway, as everything else here.
    match debian::install(&DEBIAN_PACKAGES).await {
        Ok(()) => return Ok(()),
        Err(error) => reasons.push(error),
    }
    if step::ask("rustup", &["--version"]).await.is_some() {
        let mut rustup = tokio::process::Command::new("rustup");
        rustup.args(["target", "add", TARGET]).current_dir(workspace.root());
        match step::quietly("install", &format!("rustup target {TARGET}"), &mut rustup, RUSTUP_LIMIT).await {
            Ok(_) => return Ok(()),
            Err(error) => reasons.push(error),
        }
    }
    let reasons = reasons.iter().map(|error| format!("{error:#}")).collect::<Vec<_>>().join("\n");
    Err(anyhow::anyhow!("{reasons}"))
        .with_context(|| format!("no compiler for {TARGET}; install one with `rustup target add {TARGET}`"))
}

/// Whether the compiler that builds this repository has the target's library.
async fn has_target() -> bool {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let Some(folder) = step::ask(&rustc, &["--print", "target-libdir", "--target", TARGET]).await else { return false };
    std::fs::read_dir(folder)
        .is_ok_and(|files| files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libstd-")))
}

fn has_debian_packages() -> bool {
    DEBIAN_FILES.iter().all(|file| Path::new(file).exists())
}
