//! Components that the toolchains of other languages make; tests deploy them unchanged.
//!
//! | file in `target/guests` | made from | by |
//! | --- | --- | --- |
//! | `python.wasm` | `tests/guests/python/app.py` | `componentize-py`, from PyPI |
//! | `javascript.wasm` | `tests/guests/javascript/app.js` | `jco componentize`, from npm |

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::process::Command;

use crate::setup::{debian, python};
use crate::step;
use crate::workspace::Workspace;

const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
/// jco 1.35.0 finds no WIT on Node.js 20.
const NPM_PACKAGES: [&str; 2] = ["@bytecodealliance/jco@1.28.1", "@bytecodealliance/componentize-js@0.23.0"];
/// Both start a whole interpreter to take its picture: 15 s each here.
const LIMIT: Duration = Duration::from_secs(600);
/// World of the WIT that comes with wasmtime-wasi-http: all of `wasi:http/proxy`, whatever its version.
const WORLD: &str = "bindings";

/// Makes what is missing or older than its source.
pub(crate) async fn provide(workspace: &Workspace) -> anyhow::Result<()> {
    let out = workspace.target().join("guests");
    std::fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let sources = workspace.root().join("tests/guests");

    let python = Component {
        out: out.join("python.wasm"),
        source: sources.join("python/app.py"),
        tools: COMPONENTIZE_PY.to_owned(),
    };
    if python.is_missing()? {
        from_python(&python, &workspace.fetched().join("python"), &wit(workspace).await?).await?;
        python.stamp()?;
    }
    let javascript = Component {
        out: out.join("javascript.wasm"),
        source: sources.join("javascript/app.js"),
        tools: NPM_PACKAGES.join(" "),
    };
    if javascript.is_missing()? {
        from_javascript(&javascript, &workspace.fetched().join("npm"), &wit(workspace).await?).await?;
        javascript.stamp()?;
    }
    for component in [python, javascript] {
        step::say("ready", format!("component {}", component.out.display()));
    }
    Ok(())
}

struct Component {
    out: PathBuf,
    source: PathBuf,
    /// What makes it, with versions.
    tools: String,
}

impl Component {
    /// A file beside the component says what it was made from; without that, changing either would go unnoticed.
    fn recipe(&self) -> anyhow::Result<String> {
        let source = std::fs::read_to_string(&self.source).with_context(|| self.source.display().to_string())?;
        Ok(format!("{}\n{source}", self.tools))
    }

    fn stamp_path(&self) -> PathBuf {
        self.out.with_extension("recipe")
    }

    fn is_missing(&self) -> anyhow::Result<bool> {
        let made_from = std::fs::read_to_string(self.stamp_path()).ok();
        Ok(!self.out.is_file() || made_from != Some(self.recipe()?))
    }

    fn stamp(&self) -> anyhow::Result<()> {
        std::fs::write(self.stamp_path(), self.recipe()?).with_context(|| self.stamp_path().display().to_string())
    }
}

async fn from_python(component: &Component, tools: &Path, wit: &Path) -> anyhow::Result<()> {
    let program = tools.join("bin/componentize-py");
    let version = COMPONENTIZE_PY.replace("==", "-").replace("componentize-py", "componentize_py");
    if !program.is_file() || !tools.join(format!("{version}.dist-info")).is_dir() {
        python::install(COMPONENTIZE_PY, tools).await?;
    }
    // A copy, because the interpreter leaves its cache beside what it reads.
    let app = tools.join("app");
    std::fs::create_dir_all(&app)?;
    std::fs::copy(&component.source, app.join("app.py"))?;
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", tools).arg(program).arg("-d").arg(wit).args(["-w", WORLD, "componentize", "-p"]);
    command.arg(app).args(["app", "-o"]).arg(&component.out);
    step::quietly("make", "component of Python", &mut command, LIMIT).await?;
    Ok(())
}

async fn from_javascript(component: &Component, tools: &Path, wit: &Path) -> anyhow::Result<()> {
    if step::ask("npm", &["--version"]).await.is_none() {
        debian::install(&["nodejs", "npm"]).await.context("npm is missing")?;
    }
    std::fs::create_dir_all(tools)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(tools).args(NPM_PACKAGES);
    step::quietly("fetch", &format!("npm {}", NPM_PACKAGES.join(" ")), &mut npm, LIMIT).await?;
    let mut jco = Command::new("node");
    jco.arg(tools.join("node_modules/@bytecodealliance/jco/dist/jco.js")).arg("componentize").arg(&component.source);
    // It answers through the export of `wasi:http`, not through the events of a browser's service worker.
    jco.args(["--world-name", WORLD, "--disable", "fetch-event", "--wit"]).arg(wit).arg("--out").arg(&component.out);
    step::quietly("make", "component of JavaScript", &mut jco, LIMIT).await?;
    Ok(())
}

/// The WIT of `wasi:http` 0.2 that the node itself is built with, from the sources of its dependency.
async fn wit(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let mut command = workspace.cargo();
    let output = command.args(["metadata", "--format-version", "1"]).output().await?;
    anyhow::ensure!(output.status.success(), "`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("`cargo metadata` lists no packages")?;
    let manifest = packages
        .iter()
        .find(|package| package["name"] == "wasmtime-wasi-http")
        .and_then(|package| package["manifest_path"].as_str())
        .context("wasmtime-wasi-http is no dependency any more; take the WIT from where the node has it now")?;
    Ok(Path::new(manifest).with_file_name("wit"))
}
