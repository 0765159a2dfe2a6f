//! `wasi:logging@0.1.0-draft`: records of the function's log, each with its invocation.

use wasmtime::component::{Access, HasSelf};

use super::bindings::logging::wasi::logging::logging::{Host, HostWithStore, Level};
use crate::host::GuestRecord;
use crate::sandbox::{self, SandboxState};

/// A longer message is cut, so that no record can fill the log.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;

impl Host for SandboxState {}

impl HostWithStore<SandboxState> for HasSelf<SandboxState> {
    fn log(mut host: Access<'_, SandboxState, Self>, level: Level, context: String, message: String) {
        let invocation = sandbox::invocation(&mut host);
        let mut text = if context.is_empty() { message } else { format!("{context}: {message}") };
        if text.len() > MESSAGE_BYTES_MAX {
            text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
            text.push('…');
        }
        let level = match level {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Critical => "critical",
        };
        let record = GuestRecord { level, invocation: invocation.as_ref().map(|i| &i.id), message: &text };
        host.get().grants.log.record(record);
    }
}
