//! Halves as `f32`: sums of many products, summed as halves, lose all meaning.

use tract_onnx::prelude::f16;

use super::elementwise::map_elements;
use super::{Plan, Stop};
use crate::blocks::place_bytes;
use crate::{DType, RunError, Tensor};

/// Widening or narrowing one element.
const NANOSECONDS: f64 = 0.4;

/// `tensor` in the type that sums are computed in.
pub(super) fn widened(tensor: &Tensor, stop: &Stop<'_>) -> Result<Tensor, RunError> {
    match tensor.dtype() {
        DType::Float16 => map_elements(tensor, stop, |x: f16| x.to_f32()),
        _ => Ok(tensor.clone()),
    }
}

/// What has been computed from [`widened`] tensors, as `dtype`.
pub(super) fn narrowed(result: Tensor, dtype: DType, stop: &Stop<'_>) -> Result<Tensor, RunError> {
    match dtype {
        DType::Float16 => map_elements(&result, stop, f16::from_f32),
        _ => Ok(result),
    }
}

impl Plan {
    /// The same, on `inputs` and a result that are widened where they are halves, and on inputs that are laid out row by row
    /// where they are not.
    pub(super) fn after_widening(mut self, inputs: &[Tensor]) -> Self {
        if self.dtype != DType::Float16 {
            return inputs.iter().fold(self, |plan, input| plan.after_gathering(input));
        }
        self = self.with_scratch(inputs.iter().map(|input| place_bytes(&[input])).max().unwrap_or_default());
        let result = self.shape.iter().fold(1, |count: usize, &length| count.saturating_mul(length));
        for count in inputs.iter().map(|input| input.layout().len()).chain([result]) {
            self.nanoseconds += NANOSECONDS * count as f64;
            self = self.with_scratch(count.saturating_mul(size_of::<f32>()));
        }
        self
    }
}
