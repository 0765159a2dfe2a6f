//! The host as the rest of the crate sees it: the same few types and functions from three places.
//!
//! On Wasm they are imports of the component (`guest-sdk/wit`). Natively they are the node's own inference crate and
//! memory, with feature `native`; without it every call fails with the words that say so.

use crate::DType;

/// Conversions from and to the host's own enum of element types, which has the same names.
macro_rules! dtypes {
    ($theirs:path) => {
        dtypes!($theirs: Float16 Float32 Float64 Int8 Int16 Int32 Int64 Uint8 Uint16 Uint32 Uint64 Boolean);
    };
    ($theirs:path: $($name:ident)*) => {
        impl From<$theirs> for DType {
            fn from(dtype: $theirs) -> Self {
                use $theirs as Theirs;
                match dtype { $(Theirs::$name => Self::$name,)* }
            }
        }

        impl From<DType> for $theirs {
            fn from(dtype: DType) -> Self {
                match dtype { $(DType::$name => Self::$name,)* }
            }
        }
    };
}
#[cfg(target_family = "wasm")]
use dtypes;
#[cfg(not(target_family = "wasm"))]
dtypes!(spillway_types::DType);

#[cfg(target_family = "wasm")]
mod wasm;
#[cfg(target_family = "wasm")]
pub(crate) use wasm::{Bucket, Graph, Model, Tensor, config, graphs, infer, log, operators};

#[cfg(all(not(target_family = "wasm"), feature = "native"))]
mod native;
#[cfg(all(not(target_family = "wasm"), feature = "native"))]
pub(crate) use native::{Bucket, Graph, Model, Tensor, config, infer, log};
#[cfg(not(target_family = "wasm"))]
pub(crate) use spillway_types::{graph as graphs, operator as operators};

#[cfg(all(not(target_family = "wasm"), not(feature = "native")))]
mod absent;
#[cfg(all(not(target_family = "wasm"), not(feature = "native")))]
pub(crate) use absent::{Bucket, Graph, Model, Tensor, config, infer, log};

/// Why the host refused or failed a call. `?` in a handler turns it into an [`Error`](crate::Error).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HostError {
    code: HostErrorCode,
    message: String,
}

/// What kind of [`HostError`] it is, for code that handles one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostErrorCode {
    /// A shape, dtype, name or length does not fit.
    InvalidArgument,
    /// The manifest does not grant it; the message says what to add to `spillway.toml`.
    NotGranted,
    /// The sandbox's tensor bytes or handles are used up; drop tensors, or raise `[limits] tensors`.
    OutOfMemory,
    /// The invocation's deadline passed.
    DeadlineExceeded,
    /// Another server took too long.
    TimedOut,
    /// Another server cannot be reached, or does not speak HTTP.
    Unreachable,
    /// The host failed on a valid call.
    Failed,
}

impl HostError {
    pub(crate) fn new(code: HostErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(HostErrorCode::InvalidArgument, message)
    }

    /// Which kind it is.
    pub fn code(&self) -> HostErrorCode {
        self.code
    }
}

/// One input or output of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorType {
    /// Its name in the model.
    pub name: String,
    /// Its element type.
    pub dtype: DType,
    /// The length of each axis; `None` where any length goes, usually the batch.
    pub shape: Vec<Option<usize>>,
}
