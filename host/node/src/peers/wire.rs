//! What nodes say to each other, in JSON under `/peer/v1`, and the header fields of a call that one sends another.

use http::HeaderName;
use serde::{Deserialize, Serialize};
use spillway_types::{Digest, FunctionId, NodeIdentity};

/// The version of everything in this module. A node answers a peer of another version, so that both can say so, and asks
/// nothing else of it.
pub(crate) const WIRE_FORMAT: u32 = 1;

/// Nothing but an answer, so that who has connected knows that it was let in.
pub(crate) const READY: &str = "/peer/v1/ready";
/// How a peer is.
pub(crate) const GREETING: &str = "/peer/v1/greeting";
/// What a peer has and what of it is in use: [`spillway_placement::Capacity`].
pub(crate) const CAPACITY: &str = "/peer/v1/capacity";
/// What a peer serves, and what it cannot serve and why.
pub(crate) const FUNCTIONS: &str = "/peer/v1/functions";
/// Compile what a signed statement says, load its models, make a sandbox, and keep none of it.
pub(crate) const TRIALS: &str = "/peer/v1/trials";
/// What an operator wants of a peer.
pub(crate) const ORDERS: &str = "/peer/v1/orders";
/// Bytes of no meaning, to see how fast they come.
pub(crate) const PAYLOAD: &str = "/peer/v1/payload";
/// How many: enough to be past the slow start of a connection, and nothing for a link that carries calls.
pub(crate) const PAYLOAD_BYTES: usize = 512 << 10;
/// What functions have cost there, today and on so many days before.
pub(crate) const COSTS: &str = "/peer/v1/costs/";
/// A file by its digest.
pub(crate) const BLOBS: &str = "/peer/v1/blobs/";

/// Which function a sent call is for; tells calls from everything else.
pub(crate) const FUNCTION: HeaderName = HeaderName::from_static("spillway-function");
/// The digest of the bundle that the sender expects to run.
pub(crate) const BUNDLE: HeaderName = HeaderName::from_static("spillway-bundle");
/// The identity of the node that took the call from its caller.
pub(crate) const ORIGIN: HeaderName = HeaderName::from_static("spillway-origin");
/// How often the call has been sent, this time included.
pub(crate) const HOPS: HeaderName = HeaderName::from_static("spillway-hops");
/// The invocation's name, the same on all nodes.
pub(crate) const INVOCATION: HeaderName = HeaderName::from_static("spillway-invocation");
/// Which node ran a call that was sent; on its answer.
pub(crate) const NODE: HeaderName = HeaderName::from_static("spillway-node");

/// Work that the node has which answers a call, in microseconds of a core; so the next call knows.
pub(crate) const WORK: HeaderName = HeaderName::from_static("spillway-work-us");
/// On an answer of a node that has not run the call, and why.
pub(crate) const REFUSED: HeaderName = HeaderName::from_static("spillway-refused");

/// A call is sent this often at most: from where it was taken, and once more by a node that has just been drained.
pub(crate) const HOPS_MAX: u32 = 2;

/// How a node is, told to a peer that asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Greeting {
    /// [`WIRE_FORMAT`] of the node.
    pub(crate) format: u32,
    /// Version of its build.
    pub(crate) version: String,
    /// Its data folder's name for itself: two nodes of one name differ in this.
    pub(crate) folder: String,
    /// Its clock, milliseconds since 1970.
    pub(crate) clock_ms: u64,
    /// Whether it takes functions that it does not have.
    pub(crate) cordoned: bool,
    /// Whether it gives its calls away.
    pub(crate) draining: bool,
    /// Grows with every change of what it serves: then its capacity is worth reading at once.
    pub(crate) changes: u64,
}

/// A function that a node knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerFunction {
    pub(crate) function: FunctionId,
    pub(crate) revision: u64,
    pub(crate) bundle: Digest,
    /// Why it does not serve, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<String>,
}

/// How a trial went.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Tried {
    pub(crate) compile_seconds: f64,
    pub(crate) compile_cached: bool,
}

/// What an operator wants of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// Take no function that is not there yet.
    Cordon,
    /// Give all calls away, and take no functions.
    Drain,
    /// Back to normal.
    Uncordon,
}

/// How a sent call came here.
#[derive(Clone, Debug)]
pub(crate) struct Journey {
    /// The node that took it from its caller.
    pub(crate) origin: NodeIdentity,
    /// How often it has been sent.
    pub(crate) hops: u32,
}

impl Order {
    pub(crate) const NAMES: [&str; 3] = ["cordon", "drain", "uncordon"];

    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "cordon" => Some(Self::Cordon),
            "drain" => Some(Self::Drain),
            "uncordon" => Some(Self::Uncordon),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_with_more_than_this_version_knows_is_still_read() {
        let text = r#"{"format":1,"version":"0.2.0","folder":"f","clock_ms":1,"cordoned":false,"draining":true,
            "changes":3,"more":{"later":[]}}"#;
        let greeting: Greeting = serde_json::from_str(text).unwrap();
        assert!(greeting.draining && !greeting.cordoned && greeting.changes == 3);
    }

    #[test]
    fn orders_are_read_by_the_words_that_people_write() {
        for word in Order::NAMES {
            let order = Order::parse(word).unwrap();
            assert_eq!(serde_json::to_value(order).unwrap(), word);
        }
        assert_eq!(Order::parse("stop"), None);
    }
}
