//! Progress on stderr, drawn on a terminal only and gone when the work is done.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `total` bytes.
pub(crate) fn bytes(label: impl Into<String>, total: u64) -> ProgressBar {
    let template = "{spinner} {msg:30!} {wide_bar} {binary_bytes:>11} of {binary_total_bytes:<11} {binary_bytes_per_sec:>13} {eta:>4}";
    let bar = ProgressBar::new(total)
        .with_style(ProgressStyle::with_template(template).expect("the template is a constant that a test reads"))
        .with_message(label.into());
    // Moves on while the other side works on what it has.
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// A wait of unknown length.
pub(crate) fn waiting(label: impl Into<String>) -> ProgressBar {
    let template = "{spinner} {msg} {elapsed}";
    let bar = ProgressBar::new_spinner()
        .with_style(ProgressStyle::with_template(template).expect("the template is a constant that a test reads"))
        .with_message(label.into());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

#[cfg(test)]
mod tests {
    #[test]
    fn bars_can_be_made() {
        super::bytes("upload", 10).inc(10);
        super::waiting("compile").tick();
    }
}
