//! What deployers and operators hear when something fails.

use spillway_cluster::{BlobError, CommitError, Fault};
use spillway_runtime::{Fault as GuestFault, PrepareError};
use spillway_types::{BundleError, FunctionId, Problem, ProblemType};

/// The node's own fault: the cause goes to the log, the deployer hears that it was not theirs.
pub(crate) fn host_problem(cause: impl std::fmt::Display) -> Problem {
    tracing::error!(%cause, "control request failed");
    Problem::new(ProblemType::HostFault, format!("the node failed: {cause}"))
}

/// As [`host_problem`], for the store: what its disk refuses is for whoever runs the machine.
pub(crate) fn store_problem(fault: &Fault) -> Problem {
    let remedy = if fault.is_disk_full() {
        "the node's disk is full; free some room, run `spillway gc`, or lower --disk-budget, then try again"
    } else if fault.is_read_only() {
        "the node cannot write to its data folder; make it writable, then try again"
    } else {
        return host_problem(fault);
    };
    tracing::error!(cause = %fault, "control request failed");
    Problem::new(ProblemType::StorageUnavailable, format!("{remedy} ({fault})"))
}

/// As [`store_problem`], for blobs that the node itself writes.
pub(crate) fn blob_problem(error: &BlobError) -> Problem {
    match error {
        BlobError::Fault(fault) => store_problem(fault),
        error => host_problem(error),
    }
}

pub(crate) fn unknown_function(id: &FunctionId) -> Problem {
    Problem::new(ProblemType::NotFound, format!("there is no function {id}; `spillway ls` lists them"))
}

pub(super) fn bundle_problem(error: &BundleError) -> Problem {
    Problem::new(ProblemType::InvalidBundle, error.to_string())
}

pub(super) fn prepare_problem(error: &PrepareError) -> Problem {
    let kind = match error {
        PrepareError::Sandbox(fault @ (GuestFault::Busy(_) | GuestFault::NoMemory(_))) => {
            return Problem::new(ProblemType::NodeBusy, format!("{fault}; try again later"));
        }
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
        CommitError::Fault(fault) => store_problem(fault),
        CommitError::MissingBlob(_) => host_problem(error),
    }
}
