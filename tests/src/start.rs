//! Starting a node.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::process::{Exit, Output, clean, clock, clock_of};
use crate::{Node, spillway};

/// A node under load on a shared machine starts in a fraction of a second; only a hang takes this long.
const START_MAX: Duration = Duration::from_secs(60);

/// How a node is to be started.
#[derive(Debug, Default)]
pub struct NodeBuilder {
    data: Option<PathBuf>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    token: Option<String>,
    under: Vec<String>,
    program: Option<PathBuf>,
}

impl NodeBuilder {
    /// Keeps the data in `folder`, which stays; without this, in a folder of its own that goes with the node.
    pub fn data(mut self, folder: &Path) -> Self {
        self.data = Some(folder.to_owned());
        self
    }

    /// Adds arguments of `spillway up`.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(ToString::to_string));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes the control API demand a token; [`Node::api`] shows it.
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Gives the node another clock, such as `-7m`; the time that timers count goes on as it is.
    ///
    /// # Panics
    /// If `faketime` is not installed.
    pub fn clock(self, offset: &str) -> Self {
        clock(offset).into_iter().fold(self, |builder, (name, value)| builder.env(&name, &value))
    }

    /// Gives the node the clock that a file says, such as `+6h`, read anew each time that the node looks at its clock.
    ///
    /// # Panics
    /// If `faketime` is not installed.
    pub fn clock_of(self, file: &Path) -> Self {
        clock_of(file).into_iter().fold(self, |builder, (name, value)| builder.env(&name, &value))
    }

    /// Runs the program of another build.
    pub fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// Runs the node under another program, such as `strace -f -o FILE`. Signals then go to that program.
    pub fn under(mut self, program: &[&str]) -> Self {
        self.under = program.iter().map(ToString::to_string).collect();
        self
    }

    /// Starts the node and waits until it serves.
    ///
    /// # Panics
    /// If it does not, with what it wrote to stderr.
    pub async fn start(self) -> Node {
        match self.try_start().await {
            Ok(node) => node,
            Err(exit) => panic!("the node does not start: {exit:#?}"),
        }
    }

    /// As [`start`](Self::start), for a start that may be refused.
    ///
    /// # Errors
    /// How the process ended.
    ///
    /// # Panics
    /// If it neither serves nor ends.
    ///
    /// # Cancel safety
    /// A node whose start is given up is killed.
    pub async fn try_start(self) -> Result<Node, Exit> {
        let own = self.data.is_none().then(|| tempfile::tempdir().expect("tests may write temporary files"));
        let data = self.data.clone().or_else(|| own.as_ref().map(|own| own.path().join("data")));
        let data = data.expect("there is a folder of its own where none is given");
        let child = self.command(&data).spawn().expect("the binary is there and can be run");
        let mut starting = Starting(Some(child));
        let child = starting.child();
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut stderr = Output::collect(child.stderr.take().expect("stderr is piped"));
        // Off the async thread, which may have other nodes and calls to look after.
        let first = tokio::task::spawn_blocking(move || {
            let mut lines = BufReader::new(stdout);
            let mut line = String::new();
            let _ = lines.read_line(&mut line);
            // Read on, lest the node meets a closed pipe.
            std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
            line
        });
        let line = tokio::time::timeout(START_MAX, first).await;
        let line = line
            .unwrap_or_else(|_| panic!("the node printed no addresses in {START_MAX:?}; stderr:\n{}", stderr.text()));
        let line = line.expect("reading a line does not panic");
        if line.is_empty() {
            let status = starting.child().wait().expect("the child is ours");
            return Err(Exit { status, stderr: stderr.finish() });
        }
        let said: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in what `up` said: {line}"));
        let address = |key: &str| said[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {line}")).to_owned();
        let (listen, api) = (address("listen"), address("api"));
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let http = http.build().expect("the client needs nothing from outside");
        let child = starting.0.take().expect("nobody else takes it");
        Ok(Node { child, listen, api, token: self.token, data, _own: own, stderr, http })
    }

    fn command(&self, data: &Path) -> Command {
        let mut words = self.under.clone();
        words.push(self.program.clone().unwrap_or_else(spillway).display().to_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["up", "--json", "--data"]).arg(data);
        // A test that gives a port of its own replaces these: the command line takes each option once.
        for option in ["--listen", "--api"] {
            if !self.args.iter().any(|arg| arg == option) {
                command.args([option, "127.0.0.1:0"]);
            }
        }
        clean(&mut command).args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(token) = &self.token {
            command.env("SPILLWAY_TOKEN", token);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// A process that is to become a node; killed unless it does.
struct Starting(Option<Child>);

impl Starting {
    fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("only the end of the start takes it")
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
