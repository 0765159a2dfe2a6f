//! `spillway caller rm`: removes a caller.

use anyhow::ensure;
use clap::Args;
use spillway_types::CallerName;

use super::File;
use crate::args::Global;
use crate::output;

/// Remove a caller; nodes that read the file refuse its token within seconds
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway caller rm shop")]
pub(crate) struct Rm {
    /// Name of the caller
    name: CallerName,
    #[command(flatten)]
    file: File,
}

impl Rm {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let mut callers = self.file.read()?;
        let before = callers.callers.len();
        callers.callers.retain(|caller| caller.name != self.name);
        ensure!(
            callers.callers.len() < before,
            "{} has no caller {}; `spillway caller ls` lists them",
            self.file.callers.display(),
            self.name
        );
        self.file.write(&callers)?;
        if global.json {
            return output::json(&serde_json::json!({ "removed": self.name }));
        }
        Ok(output::line(format!("removed {}", self.name))?)
    }
}
