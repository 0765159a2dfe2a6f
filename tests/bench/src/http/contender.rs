//! Who is measured: Spillway, and what one would take instead, each a process that is killed in the end.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use spillway_tests::{bundle_file, workspace};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// A workerd compiles nothing, but wasmtime its component.
const START_MAX: Duration = Duration::from_secs(60);

/// A server that answers hello.
pub(super) struct Contender {
    _child: Child,
    url: String,
}

impl Contender {
    /// `wasmtime serve -Scli`, with more arguments.
    pub(super) async fn wasmtime_serve(under: &[&str], guest: &str, more: &[&str]) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = command(under, tool("wasmtime")?);
        command.args(["serve", "-Scli", "--addr", &address.to_string()]).args(more).arg(bundle_file(guest));
        Self::start(command, address, "/greet").await
    }

    /// workerd with a hello in JavaScript.
    pub(super) async fn workerd(under: &[&str], folder: &Path) -> anyhow::Result<Self> {
        let address = free_address()?;
        let script = "export default { fetch() { return new Response('Hello from workerd\\n'); } };\n";
        std::fs::write(folder.join("hello.js"), script)?;
        let config = format!(
            "using Workerd = import \"/workerd/workerd.capnp\";\n\
             const config :Workerd.Config = (\n  services = [(name = \"main\", worker = (\n    \
             modules = [(name = \"hello.js\", esModule = embed \"hello.js\")],\n    compatibilityDate = \"2026-01-01\"))],\n  \
             sockets = [(name = \"http\", address = \"{address}\", http = (), service = \"main\")]\n);\n"
        );
        let file = folder.join("config.capnp");
        std::fs::write(&file, config)?;
        let mut command = command(under, tool("workerd")?);
        command.arg("serve").arg(file);
        Self::start(command, address, "/").await
    }

    /// A plain hyper server, this program itself.
    pub(super) async fn hyper(under: &[&str]) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = command(under, std::env::current_exe()?);
        command.args(["hello", &address.to_string()]);
        Self::start(command, address, "/").await
    }

    async fn start(mut command: Command, address: SocketAddr, path: &str) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let shown = format!("{:?}", command.as_std());
        let mut child = command.spawn().with_context(|| shown.clone())?;
        let started = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            ensure!(child.try_wait()?.is_none(), "{shown} ended; run it by hand to see why");
            ensure!(started.elapsed() < START_MAX, "{shown} does not listen within {START_MAX:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { _child: child, url: format!("http://{address}{path}") })
    }

    /// What to call.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

/// A program under another, or under none, which takes its place and keeps its process.
fn command(under: &[&str], program: PathBuf) -> Command {
    let Some((first, rest)) = under.split_first() else { return Command::new(program) };
    let mut command = Command::new(first);
    command.args(rest).arg(program);
    command
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A program that `cargo xtask bench http` has fetched.
fn tool(name: &str) -> anyhow::Result<PathBuf> {
    let path = workspace().join("target/tools").join(name);
    ensure!(path.is_file(), "{} is missing; run `cargo xtask bench http`, which fetches it", path.display());
    Ok(path)
}
