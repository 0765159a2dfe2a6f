//! What the integration tests stand on: a node of one's own, its answers, and waits that end.
//!
//! | module | what |
//! | --- | --- |
//! | `start`, `node` | a node on free ports, which ends with the test |
//! | `cluster`, `nats` | several nodes that share a control store, and its server |
//! | `network`, `owner` | the ways between nodes, to be made slow, lossy or parted |
//! | `process` | how processes end and what they write |
//! | `wiretap` | what goes over the wire, captured and decrypted |
//! | `quota` | a share of the processor |
//! | `answer` | responses that are read whole, and problems in them |
//! | `bundles` | built guests, and bundles made of them on the spot |
//! | `similar` | indices for the sample `similar` |
//! | `onnx` | model files made by hand |
//! | `metrics` | reads `/metrics` |
//! | `wait` | waits for a condition, with a limit |
//!
//! A failure panics with all that the test saw; a node that a failing test drops prints what it wrote to stderr.

mod answer;
mod bundles;
mod cluster;
mod metrics;
mod nats;
mod network;
mod node;
pub mod onnx;
mod owner;
mod process;
mod quota;
mod raw;
mod similar;
mod start;
mod wait;
mod wiretap;

pub use answer::Answer;
pub use bundles::{bare, bundle, bundle_file, manifest_of, spillway, with_manifest, workspace};
pub use cluster::{Cluster, free_port, run};
pub use metrics::Metrics;
pub use nats::NatsServer;
pub use network::{NATS, Network, Way};
pub use node::Node;
pub use process::{Exit, Ran};
pub use quota::Quota;
pub use raw::{ACK, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, RST_STREAM, Raw, SETTINGS, preface};
pub use similar::{deploy_similar, similar_index};
pub use start::NodeBuilder;
pub use wait::wait_until;
pub use wiretap::{Capture, Conversation, Wiretap, contains};
