//! `spillway audit`: what a node refused that somebody may have to answer for.

use clap::Args;
use spillway_types::api::AuditRecord;

use crate::args::Global;
use crate::client::Client;
use crate::output;

/// List calls that a node refused because their data would have travelled too far, and peers that overstepped
///
/// Refusals of one kind, function and other node within a second are one record with a count. Each node has its own
/// records, the newest ten thousand.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway audit
  spillway audit --last 1000 --json | jq '.[] | select(.kind == \"residency\")'")]
pub(crate) struct Audit {
    /// How many records, the newest ones
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    last: u32,
}

impl Audit {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let records: Vec<AuditRecord> = client.json(client.ask("audit", ("last", self.last.into()))).await?;
        if global.json {
            return output::json(&records);
        }
        if records.is_empty() {
            return Ok(output::line("nothing was refused that is audited")?);
        }
        let mut table = output::table(&["TIME", "KIND", "FUNCTION", "PEER", "COUNT", "WHY"]);
        for record in records {
            table.add_row([
                record.time,
                record.kind.to_string(),
                record.function.unwrap_or_else(|| "-".to_owned()),
                record.peer.unwrap_or_else(|| "-".to_owned()),
                record.count.to_string(),
                record.detail,
            ]);
        }
        Ok(output::line(table)?)
    }
}
