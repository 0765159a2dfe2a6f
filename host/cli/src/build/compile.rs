//! Runs Cargo for the guests' target.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use cargo_metadata::{Artifact, CrateType, Message, PackageId};

use super::source::Source;
use super::toolchain::{TARGET, Toolchain};

/// Components by package.
pub(crate) type Compiled = BTreeMap<PackageId, PathBuf>;

/// Compiles the sources; those of one workspace together, so that what they share is built once.
///
/// Cargo draws its own progress and messages on stderr.
pub(crate) fn compile(sources: &[Source], target: Option<&Path>) -> anyhow::Result<Compiled> {
    let mut workspaces: BTreeMap<&Path, Vec<&Source>> = BTreeMap::new();
    for source in sources {
        workspaces.entry(source.workspace.as_std_path()).or_default().push(source);
    }
    let mut compiled = Compiled::new();
    for (workspace, members) in workspaces {
        // Apart from the host's own builds: other flags, and nobody waits for the other's lock.
        let target = target.unwrap_or(members[0].target.as_std_path()).join("guests");
        let target = std::path::absolute(target)?;
        for artifact in run_cargo(workspace, &members, &target)? {
            if let Some(component) = component_of(&artifact) {
                compiled.insert(artifact.package_id, component);
            }
        }
    }
    for source in sources {
        anyhow::ensure!(
            compiled.contains_key(&source.package.id),
            "{} makes no component; add to it:\n\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n",
            source.folder.join("Cargo.toml").display(),
        );
    }
    Ok(compiled)
}

fn run_cargo(workspace: &Path, members: &[&Source], target: &Path) -> anyhow::Result<Vec<Artifact>> {
    let toolchain = Toolchain::find(workspace)?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--release", "--target", TARGET, "--message-format=json-render-diagnostics", "--target-dir"])
        .arg(target)
        .args(&toolchain.args)
        .current_dir(workspace)
        .envs(toolchain.env)
        // Function names stay for backtraces; line tables would be several times the code.
        .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    for member in members {
        command.args(["--package", &member.package.id.repr]);
    }
    let mut child = command.spawn().context("`cargo` does not start; install Rust, with rustup for instance")?;
    let stdout = child.stdout.take().context("cargo's output is not connected")?;
    let mut artifacts = Vec::new();
    for message in Message::parse_stream(std::io::BufReader::new(stdout)) {
        if let Message::CompilerArtifact(artifact) = message.context("cargo's output breaks off")? {
            artifacts.push(artifact);
        }
    }
    let status = child.wait()?;
    anyhow::ensure!(status.success(), "the build failed ({status}); the compiler's messages are above");
    Ok(artifacts)
}

/// The `.wasm` file of a library that can be linked as a component.
fn component_of(artifact: &Artifact) -> Option<PathBuf> {
    let cdylib = artifact.target.crate_types.contains(&CrateType::CDyLib);
    let wasm = artifact.filenames.iter().find(|file| file.extension() == Some("wasm"));
    wasm.filter(|_| cdylib).map(|file| file.clone().into_std_path_buf())
}
