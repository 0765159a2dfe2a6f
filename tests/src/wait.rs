//! Waiting for a condition.

use std::time::{Duration, Instant};

/// The node answers in microseconds, and each look costs it some; a test that waits does not mind milliseconds.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Looks again and again until `condition` holds.
///
/// # Panics
/// If it does not within `limit`; `what` says what was waited for.
pub async fn wait_until(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}");
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
