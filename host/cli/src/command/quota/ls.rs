//! `spillway quota ls`: lists quotas.

use clap::Args;
use reqwest::Method;
use spillway_types::{NamespaceQuota, Quota, format_bytes};

use crate::args::Global;
use crate::client::Client;
use crate::output;

/// List the quotas of a node, what is used of them, and how many calls they refused since the node started
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway quota ls
  spillway quota ls --json | jq '.[] | select(.refused > 0) | .namespace'")]
pub(crate) struct Ls {}

/// Each limit in words: calls per second, calls at once, memory, kernel time and share.
pub(super) fn described(quota: &Quota) -> [Option<String>; 4] {
    [
        quota.calls_per_second.map(|calls| format!("{calls} calls/s")),
        quota.concurrent.map(|calls| format!("{calls} calls at once")),
        quota.memory_bytes.map(format_bytes),
        match (quota.kernel_time.map(|seconds| format!("{:.0} ms/s of kernels", seconds * 1000.0)), quota.kernel_share)
        {
            (Some(time), Some(share)) => Some(format!("{time}, share {share}")),
            (None, Some(share)) => Some(format!("share {share} of kernels")),
            (time, None) => time,
        },
    ]
}

impl Ls {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let quotas: Vec<NamespaceQuota> = client.json(client.request(Method::GET, &["quotas"])).await?;
        if global.json {
            return output::json(&quotas);
        }
        if quotas.is_empty() {
            return Ok(output::line("no quotas; set one with `spillway quota set NAMESPACE --concurrent N`")?);
        }
        let mut table = output::table(&["NAMESPACE", "RATE", "NOW", "MEMORY", "KERNELS", "REFUSED"]);
        for NamespaceQuota { namespace, quota, running, used_memory_bytes, refused } in quotas {
            let [calls, concurrent, memory, kernel] = described(&quota).map(|limit| limit.unwrap_or("-".to_owned()));
            let now = format!("{running} of {concurrent}");
            let memory = format!("{} of {memory}", format_bytes(used_memory_bytes));
            table.add_row([namespace.to_string(), calls, now, memory, kernel, refused.to_string()]);
        }
        Ok(output::line(table.trim_fmt())?)
    }
}
