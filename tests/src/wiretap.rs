//! What goes over ports of this machine, captured as it passes, and read with the secrets that nodes wrote down.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::process::{Output, Ran};
use crate::wait_until;

/// Opening the device and passing on what it saw takes fractions of a second.
const SOON: Duration = Duration::from_secs(30);
/// Mebibytes that the kernel keeps until they are in the file: more than any test sends.
const BUFFER_MIB: &str = "64";

/// A capture that goes on.
pub struct Wiretap {
    child: Child,
    stderr: Output,
    file: PathBuf,
    /// On a port of its own, what is said there tells how far the file is.
    marks: TcpListener,
}

/// A capture that has ended.
pub struct Capture {
    file: PathBuf,
}

/// What was said on one connection, decrypted.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// The port that was called.
    pub port: u16,
    /// How much was on the wire, both ways, handshake and encryption included.
    pub wire_bytes: usize,
    /// What the caller said.
    pub asked: Vec<u8>,
    /// What the other end said.
    pub answered: Vec<u8>,
}

impl Wiretap {
    /// Captures all that goes over `ports` on loopback from now on.
    ///
    /// # Panics
    /// If the machine does not let us capture: nothing can be said then.
    pub async fn start(file: &Path, ports: &[u16]) -> Self {
        let marks = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let own = marks.local_addr().expect("a listener has an address").port();
        let all: Vec<String> = ports.iter().chain([&own]).map(|port| format!("tcp port {port}")).collect();
        let filter = all.join(" or ");
        let mut command = Command::new("dumpcap");
        command.args(["-q", "-i", "lo", "-B", BUFFER_MIB, "-f", &filter, "-w"]).arg(file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn();
        let mut child = child.expect("dumpcap of tshark is missing; run `cargo xtask setup --tests`");
        let stderr = Output::collect(child.stderr.take().expect("stderr is piped"));
        let mut tap = Self { child, stderr, file: file.to_owned(), marks };
        tap.mark().await;
        tap
    }

    /// Ends the capture, once all is in the file that was said until now.
    ///
    /// # Panics
    /// If something was lost.
    pub async fn stop(mut self) -> Capture {
        self.mark().await;
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("the child is ours");
        let child = &mut self.child;
        wait_until("the capture ends", SOON, async || child.try_wait().expect("the child is ours").is_some()).await;
        let said = self.stderr.finish();
        // "Packets received/dropped on interface 'Loopback: lo': 512/0 (…)".
        let dropped = said.lines().find_map(|line| line.strip_prefix("Packets received/dropped")?.split('/').nth(1));
        let lossless = dropped.is_some_and(|dropped| dropped.starts_with("0 "));
        assert!(lossless, "not all was captured: {said}");
        Capture { file: self.file.clone() }
    }

    /// Says something new again and again until it is in the file, and so all that was said before.
    async fn mark(&mut self) {
        let start = Instant::now();
        loop {
            let mark = format!("{:032x}", rand::random::<u128>());
            let address = self.marks.local_addr().expect("a listener has an address");
            let said = async { TcpStream::connect(address).await?.write_all(mark.as_bytes()).await };
            let (said, heard) = tokio::join!(said, self.marks.accept());
            said.and(heard.map(|_| ())).expect("loopback works");
            let looked = Instant::now();
            while looked.elapsed() < Duration::from_secs(1) {
                if contains(&std::fs::read(&self.file).unwrap_or_default(), mark.as_bytes()) {
                    return;
                }
                let ended = self.child.try_wait().expect("the child is ours").is_some();
                assert!(
                    !ended && start.elapsed() < SOON,
                    "this machine does not let us capture, so this test can show nothing; run it as root: {}",
                    self.stderr.text()
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Capture {
    /// All that was captured, as it was on the wire.
    ///
    /// # Panics
    /// If the file is gone.
    pub fn wire(&self) -> Vec<u8> {
        std::fs::read(&self.file).expect("the capture was written")
    }

    /// All connections to `ports`, where TLS is spoken, with what was said on them by the secrets in `keys`.
    ///
    /// # Panics
    /// If tshark fails.
    pub async fn decrypt(&self, ports: &[u16], keys: &Path) -> Vec<Conversation> {
        let fields = ["tcp.stream", "tcp.dstport", "tcp.flags", "tcp.len"];
        let fields: Vec<&str> = fields.iter().flat_map(|field| ["-e", *field]).collect();
        let packets = self.tshark(&[&["-T", "fields"], &fields[..]].concat()).await;
        let mut conversations = BTreeMap::<String, Conversation>::new();
        for line in packets.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [stream, port, flags, length] = fields[..] else { panic!("four fields were asked for: {line}") };
            let port: u16 = port.parse().expect("a port is a number");
            // The first packet of a connection (RFC 9293, section 3.5): SYN alone.
            if flags == "0x0002" && ports.contains(&port) {
                conversations.insert(stream.to_owned(), Conversation { port, ..Conversation::default() });
            } else if let Some(conversation) = conversations.get_mut(stream) {
                conversation.wire_bytes += length.parse::<usize>().expect("a length is a number");
            }
        }
        let mut args = vec!["-q".to_owned(), "-o".to_owned(), format!("tls.keylog_file:{}", keys.display())];
        for port in ports {
            args.extend(["-d".to_owned(), format!("tcp.port=={port},tls")]);
        }
        for stream in conversations.keys() {
            args.extend(["-z".to_owned(), format!("follow,tls,raw,{stream}")]);
        }
        let followed = self.tshark(&args.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let (mut conversation, mut first_is_called) = (None, false);
        for line in followed.lines() {
            if let Some(stream) = line.strip_prefix("Filter: tcp.stream eq ") {
                conversation = conversations.get_mut(stream);
            }
            let Some(conversation) = &mut conversation else { continue };
            // The two ends have no fixed order; what the second said is indented.
            if let Some(end) = line.strip_prefix("Node 0: ") {
                first_is_called = end.ends_with(&format!(":{}", conversation.port));
            }
            let (digits, is_first) = line.strip_prefix('\t').map_or((line, true), |digits| (digits, false));
            match is_first == first_is_called {
                true => conversation.answered.extend(bytes(digits)),
                false => conversation.asked.extend(bytes(digits)),
            }
        }
        conversations.into_values().collect()
    }

    async fn tshark(&self, args: &[&str]) -> String {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(&self.file).args(args);
        let ran = Ran::of(command).await;
        assert_eq!(ran.code, 0, "{ran:#?}");
        ran.stdout
    }
}

/// The bytes of a line of hexadecimal digits; of any other line, none.
fn bytes(line: &str) -> Vec<u8> {
    let pairs = line.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    pairs.collect::<Option<_>>().unwrap_or_default()
}

/// Whether `part` is somewhere in `whole`.
pub fn contains(whole: &[u8], part: &[u8]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_digits_are_bytes_and_others_are_none() {
        assert_eq!(bytes("00ff7a"), [0, 255, b'z']);
        assert!(bytes("Node 0: 127.0.0.1:1").is_empty() && bytes("===").is_empty() && bytes("").is_empty());
        assert!(contains(b"abcd", b"bc") && !contains(b"abcd", b"bd"));
    }
}
