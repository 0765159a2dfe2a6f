//! How a call can fail, and telling which it was.

use rustix::io::Errno;
use spillway_types::Outcome;
use wasmtime::Trap;

/// Why a call has no answer. The texts are for the log; callers get a problem type.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// The guest trapped.
    #[error("guest trapped: {0}")]
    Trap(String),
    /// No answer before the deadline.
    #[error("no answer before the deadline")]
    Deadline,
    /// The guest asked for more memory than its limit and did not survive the refusal.
    #[error(
        "guest ran out of memory: it holds {used_bytes} bytes and wanted {wanted_bytes}; the limit is {limit_bytes}"
    )]
    OutOfMemory {
        /// What it held.
        used_bytes: u64,
        /// What it would have held.
        wanted_bytes: u64,
        /// What it may hold.
        limit_bytes: u64,
    },
    /// The guest asked for more memory than its namespace has left and did not survive the refusal.
    #[error(
        "guest ran out of its namespace's memory: the sandboxes hold {held_bytes} bytes and it wanted {more_bytes} more; the quota is {limit_bytes}"
    )]
    NamespaceOutOfMemory {
        /// What all its sandboxes held.
        held_bytes: u64,
        /// By how much this one would have grown.
        more_bytes: u64,
        /// What they may hold.
        limit_bytes: u64,
    },
    /// The guest returned without an answer, or with an error code instead of one.
    #[error("guest did not answer: {0}")]
    NoResponse(String),
    /// Another invocation ended the sandbox that this one shared.
    #[error("sandbox lost to another invocation: {0}")]
    SandboxLost(String),
    /// The node has as many sandboxes as it can have.
    #[error("no sandbox is free: {0}")]
    Busy(String),
    /// The kernel gives the process no more memory for a sandbox.
    #[error("the kernel gives no memory for a sandbox: {0}")]
    NoMemory(String),
    /// The node's fault.
    #[error("host fault: {0}")]
    Host(String),
}

impl Fault {
    /// The outcome to record.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Trap(_) => Outcome::Trap,
            Self::Deadline => Outcome::Deadline,
            Self::OutOfMemory { .. } | Self::NamespaceOutOfMemory { .. } => Outcome::OutOfMemory,
            Self::NoResponse(_) => Outcome::NoResponse,
            Self::SandboxLost(_) => Outcome::SandboxLost,
            Self::Busy(_) | Self::NoMemory(_) => Outcome::Refused,
            Self::Host(_) => Outcome::HostFault,
        }
    }

    /// Tells a guest's trap from a host's error, by what wasmtime put into the chain.
    pub(crate) fn of(error: &wasmtime::Error) -> Self {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return fault.clone();
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            return match trap {
                // What remains when a task of ours was dropped in the middle, not the guest's doing.
                Trap::Interrupt => Self::Deadline,
                trap => Self::Trap(format!("{trap}{}", frames(error))),
            };
        }
        if error.downcast_ref::<wasmtime::PoolConcurrencyLimitError>().is_some() {
            return Self::Busy(format!("{error:#}"));
        }
        if is_out_of_memory(error) {
            return Self::NoMemory(format!("{error:#}"));
        }
        if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
            return Self::Trap(format!("the guest exited with code {}", exit.0));
        }
        if error.downcast_ref::<wasmtime::WasmBacktrace>().is_some() {
            // A host call refused its arguments in a way that its interface has no error for, such as a dead handle.
            return Self::Trap(format!("{error:#}{}", frames(error)));
        }
        Self::Host(format!("{error:#}"))
    }
}

/// Whether a system call failed for want of memory or of map areas (ENOMEM says both: mmap(2), mprotect(2)).
fn is_out_of_memory(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<Errno>() == Some(&Errno::NOMEM)
            || cause.downcast_ref::<std::io::Error>().and_then(Errno::from_io_error) == Some(Errno::NOMEM)
    })
}

/// The innermost frames of the guest's stack that its author wrote, on one line.
fn frames(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<wasmtime::WasmBacktrace>() else { return String::new() };
    let names: Vec<String> = backtrace
        .frames()
        .iter()
        .filter_map(|frame| frame.func_name().map(demangled))
        .filter(|name| !is_machinery(name))
        .take(FRAMES_MAX)
        .collect();
    if names.is_empty() { String::new() } else { format!(" in {}", names.join(" < ")) }
}

/// Frames in one line of a log.
const FRAMES_MAX: usize = 6;

/// A function's name as its author knows it, without the hash.
fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// How a Rust guest panics and aborts is the same in every trap and says nothing about this one.
fn is_machinery(name: &str) -> bool {
    const PREFIXES: [&str; 8] =
        ["std::", "core::", "alloc::", "__rust", "rust_begin_unwind", "abort", "<std::", "_start"];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_apart_by_what_is_in_the_chain() {
        let host = wasmtime::Error::new(Fault::Host("store".to_owned())).context("in a host call");
        assert_eq!(Fault::of(&host).outcome(), Outcome::HostFault);
        let trap = wasmtime::Error::from(Trap::UnreachableCodeReached).context("in the guest");
        assert_eq!(Fault::of(&trap).outcome(), Outcome::Trap);
        let exit = wasmtime::Error::new(wasmtime_wasi::I32Exit(3));
        assert!(Fault::of(&exit).to_string().contains("code 3"));
        let unmapped = wasmtime::Error::new(std::io::Error::from_raw_os_error(12)).context("mprotect failed");
        assert!(matches!(Fault::of(&unmapped), Fault::NoMemory(_)));
        assert_eq!(Fault::of(&wasmtime::format_err!("mmap failed")).outcome(), Outcome::HostFault);
    }

    #[test]
    fn function_names_are_those_of_the_source() {
        assert_eq!(demangled("_ZN5hello6handle17h0123456789abcdefE"), "hello::handle");
        assert_eq!(demangled("main"), "main");
        assert!(is_machinery("core::panicking::panic") && !is_machinery("hello::handle"));
    }
}
