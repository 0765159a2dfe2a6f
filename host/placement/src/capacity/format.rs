//! The version of the report.

use serde::{Deserialize, Deserializer, Serialize};

/// The format of reports that this build reads and writes.
pub const CAPACITY_FORMAT: u32 = 1;

/// [`CAPACITY_FORMAT`]; no other value exists, and none is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(into = "u32")]
pub struct Format(());

/// Bytes that are no report of capacity to this build.
#[derive(Debug, thiserror::Error)]
pub enum CapacityError {
    /// The other node speaks another format.
    #[error(
        "the report of a node's capacity is in format {0}, and this build reads format {CAPACITY_FORMAT}; \
         run the same version on both nodes"
    )]
    Format(u32),
    /// It is no report at all.
    #[error("the report of a node's capacity cannot be read: {0}")]
    Json(#[source] serde_json::Error),
}

/// Looks at nothing but the format, so that a report of another one is named as that and not by its first odd field.
pub(super) fn check(text: &[u8]) -> Result<(), CapacityError> {
    #[derive(Deserialize)]
    struct Versioned {
        format: u32,
    }
    let Versioned { format } = serde_json::from_slice(text).map_err(CapacityError::Json)?;
    Format::try_from(format).map(|_| ())
}

impl TryFrom<u32> for Format {
    type Error = CapacityError;

    fn try_from(format: u32) -> Result<Self, Self::Error> {
        if format == CAPACITY_FORMAT { Ok(Self(())) } else { Err(CapacityError::Format(format)) }
    }
}

impl From<Format> for u32 {
    fn from(_: Format) -> Self {
        CAPACITY_FORMAT
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(u32::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
