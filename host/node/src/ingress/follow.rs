//! Certificate and callers follow their files while the node runs.

use std::sync::Arc;
use std::time::Duration;

use spillway_trust::ServerTls;
use tokio_util::sync::CancellationToken;

use crate::node::Node;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// Looks at the files until told to stop. What is not good changes nothing, and is said once.
pub(crate) async fn follow(node: Arc<Node>, tls: Option<Arc<ServerTls>>, stop: CancellationToken) {
    if tls.is_none() && node.config.callers.is_none() {
        return;
    }
    let mut said = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        let (looked, tls) = (node.clone(), tls.clone());
        let look = move || {
            if tls.map_or(Ok(false), |tls| tls.reload_if_changed())? {
                tracing::info!("the certificate for callers was read again");
            }
            if looked.callers.reload_if_changed()? {
                tracing::info!("the callers' tokens were read again");
            }
            anyhow::Ok(())
        };
        let trouble = match tokio::task::spawn_blocking(look).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(error) => Some(error.to_string()),
        };
        if said != trouble {
            if let Some(error) = &trouble {
                tracing::warn!(error, "a changed file is not good; what was read before stays in use");
            }
            said = trouble;
        }
    }
}
