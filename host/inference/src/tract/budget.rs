//! What making a plan may take: [`Budget`].

use std::fmt::Display;
use std::time::Instant;

use tract_onnx::prelude::{DatumType, TDim, TractError, TractResult};

use crate::RunError;

/// The limits of making one plan. The first plan of a model is made without: it is made in the check's child process
/// before, and there the system sets the limits.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Budget {
    /// What one result may take, and all that is computed while planning together; `None` for any number.
    pub(super) bytes: Option<u64>,
    /// When to give up.
    pub(super) until: Option<Instant>,
}

impl Budget {
    /// Whether there is time left.
    ///
    /// # Errors
    /// [`RunError::EngineFailed`], as tract's.
    pub(super) fn check_time(&self) -> TractResult<()> {
        match self.until.filter(|until| Instant::now() >= *until) {
            None => Ok(()),
            Some(_) => Err(TractError::new(RunError::EngineFailed(
                "making a plan for these shapes takes more than ten times as long as the model's first plan did; give \
                 smaller inputs, or fix the shapes in spillway.toml"
                    .into(),
            ))),
        }
    }

    /// Whether so many bytes may be taken, for the node that `place` names.
    ///
    /// # Errors
    /// [`RunError::TooMuchMemory`], as tract's.
    pub(super) fn check_bytes(&self, needed_bytes: u64, place: impl FnOnce() -> String) -> TractResult<()> {
        match self.bytes.filter(|limit_bytes| needed_bytes > *limit_bytes) {
            None => Ok(()),
            Some(limit_bytes) => {
                Err(TractError::new(RunError::TooMuchMemory { place: place(), needed_bytes, limit_bytes }))
            }
        }
    }
}

/// How messages name a node.
pub(super) fn place(operator: impl Display, node: &str) -> String {
    // Names are bounded by `claims`, but not to what a message can bear.
    let short: String = node.chars().take(80).collect();
    let cut = if short.len() < node.len() { "…" } else { "" };
    format!("operator `{operator}` (node `{short}{cut}`)")
}

/// Bytes of a tensor; saturated, because lengths come from callers and files, and `None` where one is not known.
pub(super) fn byte_length<'a>(datum_type: DatumType, shape: impl IntoIterator<Item = &'a TDim>) -> Option<u64> {
    shape.into_iter().try_fold(datum_type.size_of() as u64, |bytes, axis| {
        Some(bytes.saturating_mul(u64::try_from(axis.as_i64()?).ok()?))
    })
}
