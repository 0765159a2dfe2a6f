//! The one error of the host itself: a database, a file or a server that does not do what it should.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The store itself failed: never the fault of a guest or of a caller.
///
/// Opaque, so that no other crate depends on what the store is made of; the message names the file, database or server.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Fault(Cause);

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("store database: {0}")]
    Database(#[source] rusqlite::Error),
    #[error("cannot {action} {}: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("NATS at {server}: {problem}")]
    Nats { server: String, problem: String },
}

impl Fault {
    /// Whether the disk is full, so that garbage collection or a larger disk would help.
    pub fn is_disk_full(&self) -> bool {
        match &self.0 {
            Cause::Database(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Cause::File { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            // A full server is no fault: `ControlError::Full`, `BlobStoreError::Full`.
            Cause::Nats { .. } => false,
        }
    }

    /// Whether the disk takes no writes, so that only who runs the machine can help.
    pub fn is_read_only(&self) -> bool {
        match &self.0 {
            Cause::Database(error) => matches!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::PermissionDenied)
            ),
            Cause::File { source, .. } => {
                matches!(source.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
            }
            Cause::Nats { .. } => false,
        }
    }

    /// What to do when a data folder cannot be opened; nothing where that depends.
    pub(crate) fn remedy(&self) -> &'static str {
        if self.is_disk_full() {
            "; its disk is full: free some room, or choose a folder on another disk with --data"
        } else if self.is_read_only() {
            "; it must be writable for this user: change its owner, mode or mount, or choose another folder with --data"
        } else {
            ""
        }
    }

    /// For `map_err`: says what was attempted on which path.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self(Cause::File { action, path: path.to_owned(), source })
    }

    /// Of a server that answers, but not as it should.
    pub(crate) fn nats(server: &str, problem: impl Into<String>) -> Self {
        Self(Cause::Nats { server: server.to_owned(), problem: problem.into() })
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self(Cause::Database(error))
    }
}

/// Shows the start of text that a caller chose, so that no message grows with its input.
pub(crate) struct Excerpt<'a>(pub(crate) &'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX: usize = 60;
        let short: String = self.0.chars().take(MAX).collect();
        let more = if short.len() < self.0.len() { "…" } else { "" };
        write!(f, "{short:?}{more}")
    }
}
