//! `spillway quota set`: limits a namespace.

use clap::Args;
use reqwest::Method;
use spillway_types::{Namespace, NamespaceQuota, Quota, parse_bytes, parse_duration};

use super::ls::described;
use crate::args::Global;
use crate::client::Client;
use crate::output;

/// Set the quota of a namespace in place of the one it has; what is not named is not limited
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway quota set shop --calls-per-second 50 --concurrent 20
  spillway quota set shop --memory 512MiB --kernel-time 50%
  spillway quota set batch --calls-per-second 0.1
  spillway quota set shop --kernel-share 4")]
pub(crate) struct Set {
    /// The namespace
    namespace: Namespace,
    #[command(flatten)]
    limits: Limits,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Limits {
    /// Calls that may begin in a second, on average; those of one second may come at once
    #[arg(long, value_name = "N")]
    calls_per_second: Option<f64>,
    /// Calls at once, those that wait for their turn included
    #[arg(long, value_name = "N")]
    concurrent: Option<u32>,
    /// Linear memory and host tensors of all sandboxes together
    #[arg(long, value_parser = parse_bytes, value_name = "SIZE")]
    memory: Option<u64>,
    /// Native inference in a second, on average: `50%` of a core, or `500ms`
    #[arg(long, value_parser = parse_kernel_time, value_name = "PERCENT|DURATION")]
    kernel_time: Option<f64>,
    /// Where others want kernel threads, too: how many times the time of a namespace that nobody gave a share (1 to 1000)
    #[arg(long, value_name = "N")]
    kernel_share: Option<u32>,
}

/// Seconds of a core in a second.
fn parse_kernel_time(text: &str) -> Result<f64, String> {
    match text.strip_suffix('%').map(|number| number.trim().parse::<f64>()) {
        Some(Ok(percent)) => Ok(percent / 100.0),
        _ => parse_duration(text).map(|time| time.as_secs_f64()).map_err(|error| format!("{error}, or `50%`")),
    }
}

impl Set {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let Limits { calls_per_second, concurrent, memory, kernel_time, kernel_share } = self.limits;
        let quota = Quota { calls_per_second, concurrent, memory_bytes: memory, kernel_time, kernel_share };
        let request = client.request(Method::PUT, &["quotas", self.namespace.as_str()]).json(&quota);
        let set: NamespaceQuota = client.json(request).await?;
        if global.json {
            return output::json(&set);
        }
        let described = described(&set.quota).into_iter().flatten().collect::<Vec<_>>().join(", ");
        Ok(output::line(format!("{} may take {described} on {}", set.namespace, global.node))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_time_is_a_share_of_a_core_or_time_in_a_second() {
        assert_eq!(parse_kernel_time("50%"), Ok(0.5));
        assert_eq!(parse_kernel_time("150 %"), Ok(1.5));
        assert_eq!(parse_kernel_time("250ms"), Ok(0.25));
        for bad in ["", "%", "half", "0.5"] {
            assert!(parse_kernel_time(bad).unwrap_err().contains("50%"), "{bad}");
        }
    }
}
