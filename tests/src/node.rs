//! A node of one's own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use spillway_types::api::Deployment;

use crate::process::{Exit, Output, Ran, clean};
use crate::start::NodeBuilder;
use crate::{Answer, Metrics, bundle, spillway, wait_until};

/// A running node, killed when dropped.
pub struct Node {
    pub(crate) child: Child,
    pub(crate) listen: String,
    pub(crate) api: String,
    pub(crate) token: Option<String>,
    pub(crate) data: PathBuf,
    /// Removes the folder, where the test gave none. After `child` has ended: see `drop`.
    pub(crate) _own: Option<tempfile::TempDir>,
    pub(crate) stderr: Output,
    pub(crate) http: reqwest::Client,
}

impl Node {
    /// Starts a node with nothing on it.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Says how a node is to be started.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// Where callers reach functions: `http://127.0.0.1:PORT`.
    pub fn listen(&self) -> &str {
        &self.listen
    }

    /// Where the control API is: `http://127.0.0.1:PORT`.
    pub fn api_url(&self) -> &str {
        &self.api
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the node has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// The client that the calls go through.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// A request to a function.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.listen))
    }

    /// A request to the control API, `path` below `/api/v1`, with the token if there is one.
    pub fn api(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}/api/v1{path}", self.api));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Calls a function with GET.
    ///
    /// # Panics
    /// If there is no answer at all.
    pub async fn call(&self, path: &str) -> Answer {
        Self::send(self.request(Method::GET, path)).await
    }

    /// Sends a request and reads the answer.
    ///
    /// # Panics
    /// If there is no answer at all.
    pub async fn send(request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap_or_else(|error| panic!("no answer: {error:?}"));
        Answer::read(response).await.unwrap_or_else(|error| panic!("the answer broke off: {error:?}"))
    }

    /// Deploys a built guest by name, as it is.
    ///
    /// # Panics
    /// If the node refuses it.
    pub async fn deploy(&self, name: &str) -> Deployment {
        let answer = self.post(bundle(name), "").await;
        assert_eq!(answer.status, 201, "{name} cannot be deployed: {answer:?}");
        serde_json::from_slice(&answer.body).expect("a deployment's answer is one")
    }

    /// Deploys a bundle; `query` is `name=…&route=…` for a component without a manifest.
    pub async fn post(&self, bundle: Vec<u8>, query: &str) -> Answer {
        let request = self.api(Method::POST, &format!("/functions?{query}"));
        Self::send(request.body(bundle)).await
    }

    /// Gets JSON from the control API.
    ///
    /// # Panics
    /// If the answer is not 200 and JSON.
    pub async fn get(&self, path: &str) -> Value {
        let answer = Self::send(self.api(Method::GET, path)).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    /// The records of a function's log, oldest first.
    pub async fn logs(&self, function: &str) -> Vec<Value> {
        let answer = Self::send(self.api(Method::GET, &format!("/functions/default/{function}/logs?tail=10000"))).await;
        answer.ok().lines().map(|line| serde_json::from_str(line).expect("a log is JSON lines")).collect()
    }

    /// Scrapes `/metrics`.
    pub async fn metrics(&self) -> Metrics {
        Metrics::new(Self::send(self.http.get(format!("{}/metrics", self.api))).await.ok())
    }

    /// Runs the command line against this node.
    pub async fn cli(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(spillway());
        clean(&mut command).args(args).env("SPILLWAY_NODE", &self.api).stdin(Stdio::null());
        if let Some(token) = &self.token {
            command.env("SPILLWAY_TOKEN", token);
        }
        Ran::of(command).await
    }

    /// Resident memory of the node in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.status_kib("VmRSS:") * 1024
    }

    /// The most resident memory that the node has had, in bytes.
    pub fn peak_resident_bytes(&self) -> u64 {
        self.status_kib("VmHWM:") * 1024
    }

    /// A line of `/proc/PID/status`, see proc(5).
    fn status_kib(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the node runs");
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("Linux says so of each process");
        line.trim().trim_end_matches(" kB").parse().expect("the kernel writes a number")
    }

    /// Sends a signal to the node.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the child is ours and has not been waited for");
    }

    /// Sends Ctrl-C.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Waits for the node to end by itself, or after [`interrupt`](Self::interrupt).
    ///
    /// # Panics
    /// If it does not within `limit`.
    pub async fn wait(mut self, limit: Duration) -> Exit {
        let mut status = None;
        let (child, seen) = (&mut self.child, &mut status);
        wait_until("the node ends", limit, async || {
            *seen = child.try_wait().expect("the child is ours");
            seen.is_some()
        })
        .await;
        Exit { status: status.expect("it was waited for"), stderr: self.stderr.finish() }
    }

    /// Kills the node at once, as a power cut would, and gives what it had written to stderr. Its folder stays only if
    /// the test gave it.
    pub fn kill(mut self) -> String {
        self.end();
        self.stderr.finish()
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("--- stderr of the node at {} ---\n{}---", self.listen, self.stderr.finish());
        }
    }
}
