//! Other shapes of the same elements, and tensors of one element over and over: what `reshape`, `transpose`, `expand` and `concat`
//! make, by the names that PyTorch has for it.

use super::{Operator, axes};
use crate::host::HostError;
use crate::{DType, Operand, Tensor};

/// A `reshape` of what has a shape.
type Reshaped = Result<Operator, HostError>;

/// For each: its name, its arguments, and what it makes of the shape that there is.
macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident ($($argument:ident: $type:ty),*) => $of:expr;)*) => {
        /// Views, but for a [`flatten`](Self::flatten) of elements that do not lie row by row.
        impl Tensor {$(
            $(#[$doc])*
            pub async fn $name(&self $(, $argument: $type)*) -> Result<Self, HostError> {
                let of: fn(&[usize] $(, $type)*) -> Reshaped = $of;
                Self::compute(of(self.shape() $(, $argument)*)?, &[self]).await
            }
        )*}

        /// The same elements in other shapes.
        impl Operand {$(
            $(#[$doc])*
            #[track_caller]
            #[must_use]
            pub fn $name(&self $(, $argument: $type)*) -> Self {
                let of: fn(&[usize] $(, $type)*) -> Reshaped = $of;
                // Of what follows from something that is wrong nothing is recorded, whatever the operator.
                let passed_over = || Ok(Operator::Reshape(Vec::new()));
                let operator = self.shape_if_known().map_or_else(passed_over, |shape| of(&shape $(, $argument)*));
                Self::record(operator, &[self])
            }
        )*}
    };
}

shapes! {
    /// With an axis more, of length 1, before axis `axis`; at the end if `axis` is their number.
    unsqueeze (axis: usize) => |shape, axis| {
        if axis > shape.len() {
            return Err(none("unsqueeze", axis, shape));
        }
        let mut shape = shape.to_vec();
        shape.insert(axis, 1);
        axes(&shape).map(Operator::Reshape)
    };
    /// Without axis `axis`, whose length is 1.
    squeeze (axis: usize) => |shape, axis| {
        let length = *shape.get(axis).ok_or_else(|| none("squeeze", axis, shape))?;
        if length != 1 {
            return Err(HostError::invalid(format!("squeeze: axis {axis} of {shape:?} has length {length}, not 1")));
        }
        let mut shape = shape.to_vec();
        shape.remove(axis);
        axes(&shape).map(Operator::Reshape)
    };
    /// With all axes from `first` on as one, which is there even where there were none.
    flatten (first: usize) => |shape, first| {
        if first > shape.len() {
            return Err(none("flatten", first, shape));
        }
        let mut flat = shape[..first].to_vec();
        flat.push(shape[first..].iter().product());
        axes(&flat).map(Operator::Reshape)
    };
    /// With two axes in each other's place.
    swap_axes (one: usize, other: usize) => |shape, one, other| {
        if let Some(axis) = [one, other].into_iter().find(|axis| *axis >= shape.len()) {
            return Err(none("swap_axes", axis, shape));
        }
        let mut permutation: Vec<usize> = (0..shape.len()).collect();
        permutation.swap(one, other);
        axes(&permutation).map(Operator::Transpose)
    };
}

fn none(name: &str, axis: usize, shape: &[usize]) -> HostError {
    let axes = shape.len();
    HostError::invalid(format!("{name}: `axis` {axis} is none of the {axes} of {shape:?}, which are counted from 0"))
}

impl Tensor {
    /// Two or more tensors of one type and shape, one after the other along a new axis before axis `axis`.
    ///
    /// # Errors
    /// They are not of one shape, or there is no such place.
    pub async fn stack(tensors: &[&Self], axis: usize) -> Result<Self, HostError> {
        let mut layers = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            layers.push(tensor.unsqueeze(axis).await?);
        }
        Self::concat(&layers.iter().collect::<Vec<_>>(), axis).await
    }

    /// A tensor of `shape` whose elements are all `value`, of which the host holds one.
    ///
    /// # Errors
    /// The sandbox is out of handles, or the shape is larger than any memory.
    pub async fn full<T: crate::Element>(shape: &[usize], value: T) -> Result<Self, HostError> {
        Self::scalar(value)?.expand(shape).await
    }

    /// A tensor of `shape` whose elements are all 0, or false, of which the host holds one.
    ///
    /// # Errors
    /// As [`full`](Self::full).
    pub async fn zeros(dtype: DType, shape: &[usize]) -> Result<Self, HostError> {
        Self::from_bytes(dtype, &vec![0; dtype.size()], &[])?.expand(shape).await
    }
}

impl Operand {
    /// Two or more operands of one type and shape, one after the other along a new axis before axis `axis`.
    ///
    /// # Panics
    /// As [`concat`](Self::concat).
    #[track_caller]
    #[must_use]
    pub fn stack(operands: &[&Self], axis: usize) -> Self {
        let layers: Vec<Self> = operands.iter().map(|operand| operand.unsqueeze(axis)).collect();
        Self::concat(&layers.iter().collect::<Vec<_>>(), axis)
    }
}
