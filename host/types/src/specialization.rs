//! How a model is fitted to one use before it is optimised.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What a grant fixes about a model: `shapes` and `constants` under `[models.NAME]`.
///
/// An engine knows more about a graph whose lengths and constants it knows, and some graphs it can run only so (an `If`
/// on the sampling rate, say). One model file with two specializations is two loaded models.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Specialization {
    /// The lengths of all axes of an input, by its name.
    pub shapes: BTreeMap<String, Vec<u32>>,
    /// The value of an input that then is no input any more, by its name: a scalar, or every element of the input's
    /// declared shape.
    pub constants: BTreeMap<String, Scalar>,
}

/// A number or a truth value. Equal when written equally: floats are compared by their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scalar {
    /// A whole number.
    Integer(i64),
    /// The bits of a 64-bit float ([`f64::to_bits`]).
    Float(u64),
    /// A truth value.
    Boolean(bool),
}

impl Specialization {
    /// Whether nothing is fixed.
    pub fn is_empty(&self) -> bool {
        self.shapes.is_empty() && self.constants.is_empty()
    }
}

impl Scalar {
    /// A float. All that are not a number are the same.
    pub fn from_f64(number: f64) -> Self {
        Self::Float(if number.is_nan() { f64::NAN } else { number }.to_bits())
    }
}

impl fmt::Display for Scalar {
    /// As the manifest writes it: `16000`, `0.5`, `true`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Boolean(flag) => flag.fmt(f),
            Self::Float(bits) if f64::from_bits(*bits).is_nan() => f.write_str("nan"),
            // Debug, unlike Display, has a fraction or an exponent, so that it reads back as a float.
            Self::Float(bits) => write!(f, "{:?}", f64::from_bits(*bits)),
        }
    }
}
