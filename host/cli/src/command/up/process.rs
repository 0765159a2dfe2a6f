//! What the node's process says, and when it ends.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

pub(super) fn start_log(format: LogFormat) -> anyhow::Result<()> {
    let filter = match std::env::var("SPILLWAY_LOG") {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(&text).map_err(|error| {
            Failure::Usage(format!("SPILLWAY_LOG=`{text}` is not a log filter: {error}; write `info`"))
        })?,
        // What a function's request to another server failed with is told to the function.
        _ => EnvFilter::new("info,async_nats=warn,wasmtime_wasi_http=error"),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

/// Ends on the first Ctrl-C or SIGTERM; a second one ends the process, for whoever does not want to wait.
pub(super) fn shutdown_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt()).context("Ctrl-C cannot be handled")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if std::io::stderr().is_terminal() {
            eprintln!("draining; Ctrl-C once more stops at once");
        }
        // Not joined: it lives until the process ends, which is what it may bring about.
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(130);
        });
    })
}
