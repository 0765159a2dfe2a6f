//! What is written down every now and then: what calls cost, and refusals for the audit.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spillway_types::Problem;
use spillway_types::api::FunctionCost;
use tokio_util::sync::CancellationToken;

use crate::deploy::{blocking, host_problem};
use crate::node::Node;

/// A node that is killed loses what it refused in this time, and of what calls cost.
const EVERY: Duration = Duration::from_secs(1);
/// Costs are written every so many of them.
const COSTS_EVERY: u32 = 10;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Keeps the books until told to stop, and closes them then.
pub(crate) async fn keep(node: Arc<Node>, stop: CancellationToken) {
    let mut round = 0_u32;
    loop {
        let stopped = tokio::select! {
            () = tokio::time::sleep(EVERY) => false,
            () = stop.cancelled() => true,
        };
        round = round.wrapping_add(1);
        let (writer, costs) = (node.clone(), stopped || round.is_multiple_of(COSTS_EVERY));
        let written = tokio::task::spawn_blocking(move || {
            writer.write_audit();
            if costs {
                writer.write_costs();
            }
        });
        if let Err(error) = written.await {
            tracing::error!(%error, "keeping the books panicked");
        }
        if stopped {
            return;
        }
    }
}

/// Days since 1970, in UTC.
fn today() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / DAY.as_secs()
}

impl Node {
    /// Writes refusals. What cannot be written is kept for the next time. Blocks on the disk.
    pub(crate) fn write_audit(&self) {
        let entries = self.audit.take();
        if !entries.is_empty()
            && let Err(error) = self.store.add_audit(&entries)
        {
            tracing::error!(%error, "refusals could not be written down yet");
            self.health.suspect_disk();
            self.audit.put_back(entries);
        }
    }

    /// As [`write_audit`](Self::write_audit), for costs.
    pub(crate) fn write_costs(&self) {
        let unwritten = self.metrics().take_unwritten();
        if !unwritten.is_empty()
            && let Err(error) = self.store.add_costs(today(), &unwritten)
        {
            tracing::error!(%error, "costs could not be written down yet");
            self.health.suspect_disk();
            self.metrics().put_back_unwritten(unwritten);
        }
    }

    /// What each function has cost on this node, today and on so many days before.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn own_costs(self: &Arc<Self>, days: u64) -> Result<Vec<FunctionCost>, Problem> {
        let node = self.clone();
        let name = self.cluster.as_ref().map(|cluster| cluster.identity().node.clone());
        let sums = blocking(move || {
            node.write_costs();
            node.store.costs(today().saturating_sub(days)).map_err(host_problem)
        });
        let row = |(function, calls, bill): (spillway_types::FunctionId, _, _)| FunctionCost {
            node: name.clone(),
            namespace: function.namespace,
            name: function.name,
            calls,
            bill,
        };
        Ok(sums.await??.into_iter().map(row).collect())
    }
}
