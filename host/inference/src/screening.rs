//! What a node asks before it lets an engine see a model file: see [`Screening`].

use std::io;

use spillway_types::{Digest, Specialization};

use crate::{Engine, LoadError};

/// Tries a model where nothing can be lost, before it is loaded where everything can: parsers and optimisers are made
/// for files of friends, and an allocation that fails ends the process.
///
/// This crate starts no processes, so it declares the trait; the node tries models in a child process that does what
/// [`check::run`](crate::check::run) does.
pub trait Screening: Send + Sync + 'static {
    /// Tries to load `file`, whose digest is `digest`, as `engine` would with `specialization`. Blocks, for as long as
    /// a minute perhaps: it is called on a thread of its own. Whether a model that passed once is tried again is for
    /// the implementation to say.
    ///
    /// # Errors
    /// [`ScreenError`].
    fn screen(
        &self,
        engine: &dyn Engine,
        digest: Digest,
        specialization: &Specialization,
        file: &[u8],
    ) -> Result<(), ScreenError>;
}

/// A model that may not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ScreenError {
    /// The fault is in the model.
    #[error(transparent)]
    Refused(#[from] LoadError),
    /// The fault is in the node: nothing is known about the model.
    #[error(transparent)]
    Failed(#[from] io::Error),
}
