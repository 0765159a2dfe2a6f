//! `spillway caller ls`: lists callers.

use std::time::SystemTime;

use clap::Args;

use super::File;
use crate::args::Global;
use crate::output;

/// List callers, and what their tokens are good for
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway caller ls
  spillway caller ls --callers /etc/spillway/callers.toml --json")]
pub(crate) struct Ls {
    #[command(flatten)]
    file: File,
}

impl Ls {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let callers = self.file.read()?.callers;
        if global.json {
            return output::json(&callers);
        }
        if callers.is_empty() {
            return Ok(output::line("no callers; make a token with `spillway caller new NAME --functions FUNCTION`")?);
        }
        let mut table = output::table(&["NAME", "FUNCTIONS", "EXPIRES"]);
        for caller in callers {
            let functions: Vec<_> = caller.functions.iter().map(ToString::to_string).collect();
            let expires = caller.expires.map_or_else(
                || "never".to_owned(),
                |at| {
                    let over = if at <= SystemTime::now() { " (over)" } else { "" };
                    format!("{}{over}", humantime::format_rfc3339_seconds(at))
                },
            );
            table.add_row([caller.name.to_string(), functions.join(", "), expires]);
        }
        Ok(output::line(table.trim_fmt())?)
    }
}
