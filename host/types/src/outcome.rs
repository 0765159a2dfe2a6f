//! How an invocation ended, and what its caller is told.

use serde::{Deserialize, Serialize};

/// The end of an invocation. Every invocation has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The function answered; its status is its own affair.
    Answered,
    /// The guest trapped: a panic, an out-of-bounds access, `unreachable`.
    Trap,
    /// No answer before the deadline.
    Deadline,
    /// The guest wanted more memory than its limit.
    OutOfMemory,
    /// The guest returned without an answer, or with an error instead of one.
    NoResponse,
    /// Another invocation in the same sandbox ended it.
    SandboxLost,
    /// The caller hung up.
    Cancelled,
    /// The node refused the call before the guest ran: limits, queue, shutdown.
    Refused,
    /// The node's own fault.
    HostFault,
}

impl Outcome {
    /// The word used in metrics, logs and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::OutOfMemory => "out-of-memory",
            Self::NoResponse => "no-response",
            Self::SandboxLost => "sandbox-lost",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::HostFault => "host-fault",
        }
    }
}
