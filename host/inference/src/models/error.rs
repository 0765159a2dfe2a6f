//! Why a model cannot be opened.

use std::io;
use std::sync::Arc;

use spillway_types::Digest;

use crate::LoadError;

/// A model that could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// The file could not be read.
    #[error("model {digest} cannot be read: {cause}")]
    Read {
        /// The model that was asked for.
        digest: Digest,
        /// What the system said; shared, because all who wait get it.
        cause: Arc<io::Error>,
    },
    /// The file holds something else.
    #[error("model {expected} is damaged: its file has digest {found}; deploy it again")]
    WrongDigest {
        /// The model that was asked for.
        expected: Digest,
        /// What the file holds.
        found: Digest,
    },
    /// The engine does not take the file.
    #[error("model {digest} cannot be loaded: {cause}")]
    Load {
        /// The model that was asked for.
        digest: Digest,
        /// Why, in words for the author of the function.
        cause: LoadError,
    },
    /// The file could not be checked, through no fault of its own.
    #[error("model {digest} cannot be checked: {cause}")]
    Check {
        /// The model that was asked for.
        digest: Digest,
        /// What the system said; shared, because all who wait get it.
        cause: Arc<io::Error>,
    },
    /// The engine broke on the file.
    #[error("model {digest} broke the engine `{engine}` while loading: {message}")]
    EngineFailed {
        /// The model that was asked for.
        digest: Digest,
        /// The engine.
        engine: &'static str,
        /// The message of its panic.
        message: String,
    },
    /// It alone is more than all models of the node may occupy.
    #[error(
        "model {digest} needs {needed_bytes} bytes of memory, and the models of this node may occupy {budget_bytes} in \
         all; raise `--model-memory`, or use a smaller model"
    )]
    TooLarge {
        /// The model that was asked for.
        digest: Digest,
        /// Its file's size, or what it occupied once it was loaded.
        needed_bytes: usize,
        /// [`ModelPolicy::memory_bytes`](crate::ModelPolicy::memory_bytes).
        budget_bytes: usize,
    },
    /// The node is shutting down.
    #[error("the node is shutting down")]
    Stopped,
}
