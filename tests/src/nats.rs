//! A server of NATS of one's own, which ends with the test.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::workspace;

/// A running server, or one that was stopped and can be started again in its place.
pub struct NatsServer {
    folder: TempDir,
    /// More lines of its configuration.
    settings: String,
    /// 0 until the first start has chosen them.
    port: u16,
    monitoring_port: u16,
    process: Option<Child>,
}

impl NatsServer {
    /// Starts one on free ports, with JetStream.
    ///
    /// # Panics
    /// If there is no server to start, or it does not start.
    pub fn start() -> Self {
        Self::with("", "")
    }

    /// With lines of its own in the configuration, and in its block for JetStream.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn with(settings: &str, jetstream: &str) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let data = folder.path().join("data");
        // As it comes, it promises no more than three quarters of what this disk has left: less than a node asks for.
        let room = if jetstream.contains("max_file_store") { "" } else { "max_file_store: 100GB" };
        let settings =
            format!("{settings}\njetstream {{\n  store_dir: {:?}\n{room}\n{jetstream}\n}}\n", data.display());
        let mut server = Self { folder, settings, port: 0, monitoring_port: 0, process: None };
        server.start_again();
        server
    }

    /// Three that keep everything on all three, and sync always.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn cluster() -> [Self; 3] {
        // Each has to know the ports of all before any has started.
        let listeners: [_; 3] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let ports = listeners.map(|listener| listener.local_addr().expect("an address").port());
        let routes = ports.map(|port| format!("\"nats://127.0.0.1:{port}\"")).join(", ");
        ports.map(|port| {
            let cluster = format!("cluster {{ name: acme, listen: \"127.0.0.1:{port}\", routes: [{routes}] }}");
            Self::with(&format!("server_name: n{port}\n{cluster}"), "sync_interval: always")
        })
    }

    /// Starts it on the ports that it had.
    ///
    /// # Panics
    /// As [`start`](Self::start), and if it runs already.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server runs already");
        let (ports, log) = (self.folder.path().join("ports"), self.folder.path().join("log"));
        fs::remove_dir_all(&ports).ok();
        fs::create_dir(&ports).expect("folder for ports");
        let chosen = |port: u16| if port == 0 { -1 } else { i32::from(port) };
        let text = format!(
            "host: 127.0.0.1\nport: {}\nhttp: \"127.0.0.1:{}\"\nports_file_dir: {:?}\n{}",
            chosen(self.port),
            chosen(self.monitoring_port),
            ports.display(),
            self.settings
        );
        let config = self.folder.path().join("nats.conf");
        fs::write(&config, text).expect("configuration");
        let mut command = Command::new(program());
        command.arg("-c").arg(config).arg("-l").arg(&log).stdin(Stdio::null());
        let mut process = command.spawn().expect("nats-server starts");
        let file = ports.join(format!("nats-server_{}.ports", process.id()));
        let limit = Instant::now() + Duration::from_secs(60);
        let ports: serde_json::Value = loop {
            if let Some(ports) = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
                break ports;
            }
            let ended = process.try_wait().expect("nats-server can be waited for");
            if ended.is_some() || Instant::now() > limit {
                process.kill().ok();
                panic!("nats-server did not start: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let port = |what: &str| {
            let url = ports[what][0].as_str().expect("a URL in the ports file");
            url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port in the URL")
        };
        (self.port, self.monitoring_port) = (port("nats"), port("monitoring"));
        self.process = Some(process);
    }

    /// Kills it.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("nats-server can be killed");
            process.wait().expect("nats-server can be waited for");
        }
    }

    /// Its data is lost.
    ///
    /// # Panics
    /// If it still runs, or had no data.
    pub fn lose_data(&mut self) {
        assert!(self.process.is_none(), "the server still runs");
        fs::remove_dir_all(self.folder.path().join("data")).expect("there is data");
    }

    /// Where clients reach it.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The address that [`url`](Self::url) names.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Where it tells of itself.
    pub fn monitoring_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.monitoring_port)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The server's program: `SPILLWAY_NATS_SERVER`, or what `cargo xtask setup --tests` fetched, or the one on the path.
fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("SPILLWAY_NATS_SERVER") {
        return program.into();
    }
    let fetched = workspace().join("target/tools/nats-server");
    if fetched.is_file() {
        return fetched;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("nats-server")).find(|file| file.is_file());
    on_path.expect("nats-server is missing; run `cargo xtask setup --tests`, or set SPILLWAY_NATS_SERVER to its path")
}
