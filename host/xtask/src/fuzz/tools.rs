//! What fuzzing needs beside this repository: a nightly compiler, a C++ compiler, and cargo-fuzz.

use std::path::PathBuf;

use tokio::process::Command;

use super::target;
use crate::setup::debian;
use crate::step;
use crate::workspace::Workspace;

/// The version that the options here are of.
const CARGO_FUZZ: &str = "0.13.1";

/// Finds or installs all.
pub(super) async fn provide(workspace: &Workspace) -> anyhow::Result<()> {
    let nightly = step::ask("rustup", &["run", "nightly", "rustc", "--version"]).await;
    let Some(nightly) = nightly else {
        // Not installed unasked: it is somebody's machine, and a gigabyte.
        anyhow::bail!(
            "libFuzzer needs a nightly compiler, and there is none; install it with \
             `rustup toolchain install nightly --profile minimal`"
        );
    };
    step::say("ready", format!("nightly compiler: {nightly}"));
    if step::ask("c++", &["--version"]).await.is_none() {
        debian::install(&["g++"]).await?;
    }
    let program = programs(workspace).join("bin/cargo-fuzz");
    let installed = step::ask(&program.to_string_lossy(), &["--version"]).await;
    if installed.is_none_or(|version| version != format!("cargo-fuzz {CARGO_FUZZ}")) {
        let mut install = workspace.cargo();
        install.args(["install", "--locked", "--root"]).arg(programs(workspace));
        install.args(["cargo-fuzz", "--version", &format!("={CARGO_FUZZ}")]);
        let text = format!("cargo-fuzz {CARGO_FUZZ} from crates.io, into {}", programs(workspace).display());
        step::openly("install", &text, &mut install).await?;
    }
    step::say("ready", format!("cargo-fuzz {CARGO_FUZZ}"));
    Ok(())
}

/// Where programs are installed that only chores use.
fn programs(workspace: &Workspace) -> PathBuf {
    workspace.target().join("tools")
}

/// `cargo fuzz COMMAND` of the nightly compiler, on our targets.
pub(super) fn cargo_fuzz(workspace: &Workspace, command: &str) -> Command {
    let mut cargo_fuzz = Command::new(programs(workspace).join("bin/cargo-fuzz"));
    // Cargo told us of the compiler that built this program; cargo-fuzz would take it.
    for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        cargo_fuzz.env_remove(variable);
    }
    cargo_fuzz.env("RUSTUP_TOOLCHAIN", "nightly").current_dir(workspace.root());
    cargo_fuzz.arg(command).arg("--fuzz-dir").arg(target::folder(workspace).join("libfuzzer"));
    cargo_fuzz.arg("--target-dir").arg(workspace.target().join("fuzz"));
    cargo_fuzz
}
