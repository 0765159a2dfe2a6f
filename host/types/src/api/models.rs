//! Models in the control API.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{Digest, Scalar, Specialization};

/// A model to keep on the node, whether a function names it or not. Its blob must be there. Added again with the same
/// shapes and constants it gets the new label.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddModel {
    /// Which model.
    pub digest: Digest,
    /// What to call it in listings; nothing depends on it.
    #[serde(default)]
    pub label: String,
    /// The lengths of all axes of an input, by its name, as under `shapes` in a manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shapes: BTreeMap<String, Vec<NonZeroU32>>,
    /// The value of an input that then is no input any more, by its name, as under `constants` in a manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub constants: BTreeMap<String, Constant>,
}

impl AddModel {
    /// What is fixed about the model.
    pub fn specialization(&self) -> Specialization {
        let shape = |(name, lengths): (&String, &Vec<NonZeroU32>)| {
            (name.clone(), lengths.iter().map(|length| length.get()).collect())
        };
        let constant = |(name, value): (&String, &Constant)| (name.clone(), value.to_scalar());
        Specialization {
            shapes: self.shapes.iter().map(shape).collect(),
            constants: self.constants.iter().map(constant).collect(),
        }
    }
}

/// A constant as JSON has it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a constant is a number of 64 bits, true or false")]
pub enum Constant {
    /// `true` or `false`.
    Boolean(bool),
    /// A number without fraction and exponent.
    Integer(i64),
    /// Any other number.
    Float(f64),
}

impl Constant {
    fn to_scalar(self) -> Scalar {
        match self {
            Self::Boolean(flag) => Scalar::Boolean(flag),
            Self::Integer(number) => Scalar::Integer(number),
            Self::Float(number) => Scalar::from_f64(number),
        }
    }
}

/// A model on the node. One file with two specializations is two of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelStatus {
    /// Which model.
    pub digest: Digest,
    /// What it was called when it was added; empty if it came with a function.
    pub label: String,
    /// When it was added, RFC 3339. Then it stays until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_at: Option<String>,
    /// What is fixed about it, an input in each: `sr = 16000`, `x: [1, 512]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub specialization: Vec<String>,
    /// Size of its file in bytes.
    pub file_bytes: u64,
    /// What runs it; empty if it was never loaded.
    pub engine: String,
    /// Whether it is in memory. If not, its next run loads it.
    pub loaded: bool,
    /// Memory it takes now, estimated, in bytes.
    pub memory_bytes: u64,
    /// How long loading took the last time; 0 if it has not been loaded.
    pub load_seconds: f64,
    /// How often it was loaded.
    pub loads: u64,
    /// How often it was opened and found in memory.
    pub hits: u64,
    /// Runs that have ended with outputs.
    pub runs: u64,
    /// Runs that the engine failed.
    pub failed_runs: u64,
    /// When it last ran, or was loaded if it has not run since, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
    /// Functions whose serving revision may open it.
    pub functions: Vec<String>,
    /// Inputs as `name: dtype[shape]`.
    pub inputs: Vec<String>,
    /// Outputs as `name: dtype[shape]`.
    pub outputs: Vec<String>,
}
