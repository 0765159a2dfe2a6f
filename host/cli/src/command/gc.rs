//! `spillway gc`: frees disk.

use clap::Args;
use reqwest::Method;
use spillway_types::api::GcSummary;
use spillway_types::format_bytes;

use crate::args::Global;
use crate::client::Client;
use crate::output;

/// Drop what no kept revision needs: old revisions, blobs, compiled code, logs
///
/// The node does this by itself every ten minutes and after deployments. In a cluster, files that no function needs are
/// dropped from its store, too, an hour after they came; one of the nodes does that every hour.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway gc
  spillway gc --json")]
pub(crate) struct Gc {}

impl Gc {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let summary: GcSummary = client.json(client.request(Method::POST, &["gc"])).await?;
        if global.json {
            return output::json(&summary);
        }
        if let (Some(files), Some(bytes)) = (summary.removed_cluster_files, summary.freed_cluster_bytes) {
            output::line(format!("freed {} in the cluster's store: {files} files", format_bytes(bytes)))?;
        }
        Ok(output::line(format!(
            "freed {}: {} revisions, {} blobs, {} compiled; {} stay",
            format_bytes(summary.freed_bytes),
            summary.removed_revisions,
            summary.removed_blobs,
            summary.removed_artefacts,
            format_bytes(summary.kept_bytes),
        ))?)
    }
}
