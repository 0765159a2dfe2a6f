//! Standard output and error of a guest: lines become log records.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use crate::host::{GuestRecord, LogSink};
use crate::sandbox::Attribution;

/// A longer line is cut into records of this many bytes, so that a guest cannot make the host buffer without end.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// One of a guest's two output streams.
#[derive(Clone)]
pub(crate) struct LineOutput {
    level: &'static str,
    sink: Arc<dyn LogSink>,
    attribution: Attribution,
    /// What came after the last line end. All streams of one output share it, as WASI asks.
    partial: Arc<Mutex<Vec<u8>>>,
}

impl LineOutput {
    pub(crate) fn new(level: &'static str, sink: Arc<dyn LogSink>, attribution: Attribution) -> Self {
        Self { level, sink, attribution, partial: Arc::default() }
    }

    fn write(&self, bytes: &[u8]) {
        let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for chunk in piece.chunks(LINE_BYTES_MAX) {
                partial.extend_from_slice(chunk);
                if partial.ends_with(b"\n") || partial.len() >= LINE_BYTES_MAX {
                    self.emit(&partial);
                    partial.clear();
                }
            }
        }
    }

    fn emit(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let message = text.trim_end_matches(['\r', '\n']);
        let invocation = self.attribution.only();
        self.sink.record(GuestRecord { level: self.level, invocation: invocation.as_ref().map(|i| &i.id), message });
    }
}

impl IsTerminal for LineOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LineOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for LineOutput {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl LogSink for Lines {
        fn record(&self, record: GuestRecord<'_>) {
            self.0.lock().unwrap().push(format!("{} {}", record.level, record.message));
        }
    }

    #[test]
    fn lines_become_records_and_endless_lines_are_cut() {
        let lines = Arc::new(Lines::default());
        let output = LineOutput::new("stdout", lines.clone(), Attribution::default());
        output.write(b"one\ntw");
        output.write(b"o\r\nthree");
        assert_eq!(*lines.0.lock().unwrap(), ["stdout one", "stdout two"]);
        output.write(&[b'x'; 3 * LINE_BYTES_MAX]);
        assert!(lines.0.lock().unwrap().len() >= 5);
    }
}
