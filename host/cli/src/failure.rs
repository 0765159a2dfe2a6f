//! What goes wrong, and the exit code that scripts see.

use std::process::ExitCode;

use spillway_types::Problem;

/// Failures that have an exit code of their own; all others end with 1.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The arguments do not fit together.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers at the node's address.
    #[error("no node answers at {node} ({reason}); start one with `spillway up`, or name another with --node")]
    Unreachable {
        /// The address tried.
        node: String,
        /// What the network says.
        reason: String,
    },
    /// The node said no.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// The function answered with a status that is not 2xx.
    #[error("the function answered {0}")]
    Answered(reqwest::StatusCode),
    /// Several errors of one file, a line each.
    #[error("{}", .0.join("\nerror: "))]
    Many(Vec<String>),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Many(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } => 3,
            Self::Refused(_) => 4,
            Self::Answered(_) => 5,
        }
    }
}

/// Prints an error with all its causes and gives the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    let failure = error.chain().find_map(|cause| cause.downcast_ref::<Failure>());
    if let Some(Failure::Refused(problem)) = failure {
        for line in &problem.errors {
            eprintln!("  {line}");
        }
    }
    ExitCode::from(failure.map_or(1, Failure::exit_code))
}
