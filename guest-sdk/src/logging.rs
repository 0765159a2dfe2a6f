//! The `log` facade and panics, sent to the host.

use std::sync::Once;

use log::{LevelFilter, Log, Metadata, Record};

use crate::host;

struct HostLog;

impl Log for HostLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        host::log(record.level(), record.target(), &record.args().to_string());
    }

    fn flush(&self) {}
}

/// Installs the logger and, on Wasm, the panic hook, once per sandbox. The host filters levels.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // A logger that the function installed before stays.
        if log::set_logger(&HostLog).is_ok() {
            log::set_max_level(LevelFilter::Trace);
        }
        // A panic ends the sandbox with a trap that says nothing, so its message has to leave first. Natively the test
        // harness has a hook of its own.
        #[cfg(target_family = "wasm")]
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(|at| format!(" at {}:{}:{}", at.file(), at.line(), at.column()));
            let words = panic.payload_as_str().unwrap_or("no message");
            host::log(log::Level::Error, "panic", &format!("panicked{}: {words}", place.unwrap_or_default()));
        }));
    });
}
