//! What deployers and operators hear when something fails.

use spillway_cluster::CommitError;
use spillway_runtime::PrepareError;
use spillway_types::{BundleError, FunctionId, Problem, ProblemType};

/// The node's own fault: the cause goes to the log, the deployer hears that it was not theirs.
pub(crate) fn host_problem(cause: impl std::fmt::Display) -> Problem {
    tracing::error!(%cause, "control request failed");
    Problem::new(ProblemType::HostFault, format!("the node failed: {cause}"))
}

pub(crate) fn unknown_function(id: &FunctionId) -> Problem {
    Problem::new(ProblemType::NotFound, format!("there is no function {id}; `spillway ls` lists them"))
}

pub(super) fn bundle_problem(error: &BundleError) -> Problem {
    Problem::new(ProblemType::InvalidBundle, error.to_string())
}

pub(super) fn prepare_problem(error: &PrepareError) -> Problem {
    let kind = match error {
        PrepareError::Invalid(_)
        | PrepareError::NoHandler { .. }
        | PrepareError::BadHandler(_)
        | PrepareError::Sandbox(_) => ProblemType::InvalidBundle,
        PrepareError::UnknownImports { .. } | PrepareError::Mismatch(_) => ProblemType::UnknownImport,
        PrepareError::Model { is_too_large: true, .. } => ProblemType::ModelsTooLarge,
        PrepareError::Model { .. } => ProblemType::InvalidModel,
        PrepareError::Host(_) => return host_problem(error),
    };
    Problem::new(kind, error.to_string())
}

pub(super) fn commit_problem(error: &CommitError) -> Problem {
    match error {
        CommitError::RouteTaken { .. } => Problem::new(ProblemType::RouteTaken, error.to_string()),
        CommitError::UnknownFunction(id) => unknown_function(id),
        CommitError::UnknownRevision { .. } => Problem::new(ProblemType::NotFound, error.to_string()),
        CommitError::MissingBlob(_) | CommitError::Fault(_) => host_problem(error),
    }
}
