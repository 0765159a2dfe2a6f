//! `spillway check-model`: what a node runs in a child process to try a model. Not for people, hence hidden.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

/// Try the model on stdin under limits
#[derive(Debug, Args)]
pub(crate) struct CheckModel {
    /// Memory that it may take
    #[arg(long, value_name = "BYTES")]
    memory_bytes: u64,
    /// Time that it may take
    #[arg(long, value_name = "MILLISECONDS")]
    time_ms: u64,
}

impl CheckModel {
    /// Without the async runtime: its threads would be inside the limits.
    pub(crate) fn run(&self) -> ExitCode {
        match spillway_node::check_model(self.memory_bytes, Duration::from_millis(self.time_ms)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }
}
