//! Where calls ran, and why.

use serde::{Deserialize, Serialize};

use crate::{Money, Prefer};

/// A decision on where a call ran, in which nodes were compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// When, RFC 3339 with milliseconds.
    pub time: String,
    /// `here`, or the name of a peer; absent if the call was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// When somebody would have made it, if it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<f64>,
    /// Time that was left until the deadline.
    pub patience_seconds: f64,
    /// Which of those that would have made it was wanted.
    pub prefer: Prefer,
    /// What was known of each: this node first, as `here`.
    pub offers: Vec<DecisionOffer>,
}

/// How a node stood to a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DecisionOffer {
    /// `here`, or the name of a peer.
    pub node: String,
    /// The way there and back.
    pub way_seconds: f64,
    /// Until it would have begun.
    pub wait_seconds: f64,
    /// How long it would have run, half of the time; absent if no call was seen there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_seconds: Option<f64>,
    /// And nineteen times in twenty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at_worst_seconds: Option<f64>,
    /// What it would have cost.
    pub cost: Money,
}
