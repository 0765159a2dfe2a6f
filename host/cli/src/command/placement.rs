//! `spillway placement`: why calls ran where they did.

use clap::Args;
use reqwest::Method;
use spillway_types::FunctionId;
use spillway_types::api::{DecisionOffer, DecisionRecord};

use crate::args::Global;
use crate::client::Client;
use crate::output;

/// Explain where the last calls of a function ran, and why
///
/// A call that its node expects to finish in time stays there without a look at others, and is not listed. The times are
/// those of nineteen calls in twenty: the way there and back, the wait, the run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway placement sniff
  spillway placement sniff --json | jq '.[-1]'")]
pub(crate) struct Placement {
    /// Name of the function, or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    function: FunctionId,
}

impl Placement {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let request = client.function(Method::GET, &self.function, &["placement"]);
        let decisions: Vec<DecisionRecord> = client.json(request).await?;
        if global.json {
            return output::json(&decisions);
        }
        if decisions.is_empty() {
            let text = "every call was expected to be finished in time where it came; nothing had to be decided";
            return Ok(output::line(text)?);
        }
        for decision in &decisions {
            output::line(explain(decision))?;
        }
        Ok(())
    }
}

/// One line: `TIME  sent to big: due in 500 ms; here 1.2 s (waits 1.1 s, runs 90 ms), big 220 ms (…)`.
fn explain(decision: &DecisionRecord) -> String {
    let outcome = match (&decision.chosen, decision.retry_after_seconds) {
        (Some(node), _) if node == "here" => "ran here".to_owned(),
        (Some(node), _) => format!("sent to {node}"),
        (None, Some(seconds)) => format!("refused for {}", output::seconds(seconds)),
        (None, None) => "refused".to_owned(),
    };
    let offers: Vec<String> = decision.offers.iter().map(describe).collect();
    let due = output::seconds(decision.patience_seconds);
    format!("{}  {outcome}: due in {due}, wanted {}; {}", decision.time, decision.prefer.as_str(), offers.join("; "))
}

fn describe(offer: &DecisionOffer) -> String {
    let run = offer.run_at_worst_seconds;
    let total = offer.way_seconds + offer.wait_seconds + run.unwrap_or(0.0);
    let mut parts = Vec::new();
    if offer.way_seconds > 0.0 {
        parts.push(format!("way {}", output::seconds(offer.way_seconds)));
    }
    parts.push(format!("waits {}", output::seconds(offer.wait_seconds)));
    parts.push(run.map_or_else(|| "run not seen yet".to_owned(), |run| format!("runs {}", output::seconds(run))));
    if !offer.cost.is_zero() {
        parts.push(format!("costs {}", offer.cost));
    }
    format!("{} {} ({})", offer.node, output::seconds(total), parts.join(", "))
}
