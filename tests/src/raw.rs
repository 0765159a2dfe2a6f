//! HTTP by hand: bytes that no client would send, and what comes back to them.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Node;

/// Longer than any answer takes; only a node that hangs is found by it.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// A connection to a node's data plane.
#[derive(Debug)]
pub struct Raw(pub TcpStream);

impl Raw {
    /// Connects.
    ///
    /// # Panics
    /// If the node does not listen.
    pub async fn connect(node: &Node) -> Self {
        let address = node.listen().rsplit("//").next().expect("an address");
        Self(TcpStream::connect(address).await.expect("the node listens"))
    }

    /// Sends bytes. A node that has closed already is none of this one's business.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// The next bytes.
    ///
    /// # Panics
    /// If none come.
    pub async fn some(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 64 << 10];
        let read = tokio::time::timeout(ANSWER_MAX, self.0.read(&mut buffer)).await;
        let read = read.expect("the node says something").expect("the connection is there");
        assert!(read > 0, "the node has closed");
        buffer.truncate(read);
        buffer
    }

    /// All bytes until the node closes.
    ///
    /// # Panics
    /// If it does not close.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = tokio::time::timeout(ANSWER_MAX, self.0.read(&mut buffer)).await;
            match read.unwrap_or_else(|_| panic!("the node leaves this open: {:?}", String::from_utf8_lossy(&all))) {
                Ok(0) | Err(_) => return all,
                Ok(read) => all.extend_from_slice(&buffer[..read]),
            }
        }
    }

    /// All bytes until `end` has come.
    ///
    /// # Panics
    /// If it does not come.
    pub async fn until(&mut self, end: &str) -> String {
        let mut all = Vec::new();
        while !String::from_utf8_lossy(&all).contains(end) {
            let read = tokio::time::timeout(ANSWER_MAX, self.0.read_u8()).await;
            let said = || format!("{:?}", String::from_utf8_lossy(&all));
            match read.unwrap_or_else(|_| panic!("no {end:?} in {}", said())) {
                Ok(byte) => all.push(byte),
                Err(error) => panic!("{error} before {end:?} in {}", said()),
            }
        }
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Says `request` and reads the text that comes back until the node closes.
    ///
    /// # Panics
    /// If it does not close; what was asked is on stderr.
    pub async fn ask(node: &Node, request: impl AsRef<[u8]>) -> String {
        let mut connection = Self::connect(node).await;
        eprintln!("asking {:?}", String::from_utf8_lossy(&request.as_ref()[..request.as_ref().len().min(200)]));
        connection.say(request).await;
        String::from_utf8_lossy(&connection.rest().await).into_owned()
    }
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: u8,
    /// What is said of it.
    pub flags: u8,
    /// Which stream it belongs to.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// Kinds of frames.
pub const DATA: u8 = 0;
/// Header fields.
pub const HEADERS: u8 = 1;
/// A stream's sudden end.
pub const RST_STREAM: u8 = 3;
/// What an end of the connection is set to.
pub const SETTINGS: u8 = 4;
/// A question that wants the same back.
pub const PING: u8 = 6;
/// The flag of what was wanted back.
pub const ACK: u8 = 1;
/// The connection's orderly end.
pub const GOAWAY: u8 = 7;
/// The last frame of a stream.
pub const END_STREAM: u8 = 1;
/// The last frame of a block of header fields.
pub const END_HEADERS: u8 = 4;

impl Frame {
    /// Header fields in the plainest coding: literals without an index (RFC 7541, section 6.2.2).
    ///
    /// # Panics
    /// If a name or value has more than 126 bytes.
    pub fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Self {
        let mut payload = Vec::new();
        for (name, value) in fields {
            payload.push(0);
            for text in [name, value] {
                payload.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text"));
                payload.extend_from_slice(text.as_bytes());
            }
        }
        Self { kind: HEADERS, flags: flags | END_HEADERS, stream, payload }
    }

    /// The frame's bytes.
    ///
    /// # Panics
    /// If it is too long.
    pub fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a short frame").to_be_bytes();
        [&length[1..], &[self.kind, self.flags], &self.stream.to_be_bytes(), &self.payload].concat()
    }

    /// All whole frames in what a node has said.
    pub fn all(mut bytes: &[u8]) -> Vec<Self> {
        let mut frames = Vec::new();
        while let [a, b, c, kind, flags, w, x, y, z, rest @ ..] = bytes {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let Some((payload, rest)) = rest.split_at_checked(length) else { break };
            let stream = u32::from_be_bytes([*w, *x, *y, *z]);
            frames.push(Self { kind: *kind, flags: *flags, stream, payload: payload.to_vec() });
            bytes = rest;
        }
        frames
    }
}

/// What a connection of HTTP/2 begins with, settings included.
pub fn preface() -> Vec<u8> {
    let settings = Frame { kind: SETTINGS, flags: 0, stream: 0, payload: Vec::new() };
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), settings.bytes()].concat()
}
