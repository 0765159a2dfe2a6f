//! instanceNormalization, layerNormalization.
//!
//! They are one computation: what shares a mean and a variance is brought together as a row, and every row is
//! read twice, from the cache if it fits there: for both of them, and to be written. Halves are widened first; factors of
//! channels and rows are computed in `f64`.

use spillway_types::operator::{InputOperandLayout, InstanceNormalizationOptions, LayerNormalizationOptions};

use super::check::FLOATS;
use super::lines::{Float, Line, numbers, real_bytes, standard, write, write_scaled};
use super::{Check, GATHER_NANOSECONDS, Plan, Stop};
use crate::blank::Blank;
use crate::blocks::{BLOCK, NEAR};
use crate::element::with_dtype;
use crate::{DType, RunError, Tensor};

/// One element of a row, read twice.
const ROW_NANOSECONDS: f64 = 0.12;
/// One row, however short.
const EACH_ROW_NANOSECONDS: f64 = 40.0;

/// Takes `inputs` apart: x, and those of `roles` that are said to be there, all of one type.
pub(super) fn take_apart<const N: usize>(
    check: Check,
    inputs: &[Tensor],
    roles: [(&str, bool); N],
) -> Result<(Tensor, [Option<Tensor>; N]), RunError> {
    let present = || roles.iter().filter(|role| role.1).map(|role| role.0);
    let names = || ["x"].into_iter().chain(present()).collect::<Vec<_>>().join(", ");
    let Some((input, rest)) = inputs.split_first().filter(|(_, rest)| rest.len() == present().count()) else {
        return check.refuse(format!("takes {} inputs, {}, given {}", 1 + present().count(), names(), inputs.len()));
    };
    check.dtype(input, &FLOATS)?;
    for (name, other) in present().zip(rest) {
        check.that(other.dtype() == input.dtype(), || {
            format!("the {name} is {}, but the input is {}; cast one of them", other.dtype(), input.dtype())
        })?;
    }
    let mut rest = rest.iter().cloned();
    Ok((input.clone(), roles.map(|(_, is_there)| if is_there { rest.next() } else { None })))
}

pub(super) fn check_shape(check: Check, name: &str, tensor: Option<&Tensor>, shape: &[usize]) -> Result<(), RunError> {
    tensor.filter(|tensor| tensor.shape() != shape).map_or(Ok(()), |tensor| {
        check.refuse(format!("the {name} is {:?}, but must be {shape:?}, as the axes that it is for", tensor.shape()))
    })
}

pub(super) fn instance(options: InstanceNormalizationOptions, inputs: &[Tensor]) -> Result<Plan, RunError> {
    let check = Check("instanceNormalization");
    let roles = [("scale", options.has_scale), ("bias", options.has_bias)];
    let (input, [scale, bias]) = take_apart(check, inputs, roles)?;
    check.that(input.shape().len() == 4, || format!("the input must have four axes, is {:?}", input.shape()))?;
    let (channel, axes) = match options.layout {
        InputOperandLayout::Nchw => (1, [2, 3]),
        InputOperandLayout::Nhwc => (3, [1, 2]),
    };
    let count = input.shape()[channel];
    check_shape(check, "scale", scale.as_ref(), &[count])?;
    check_shape(check, "bias", bias.as_ref(), &[count])?;
    Ok(over_axes(check, &input, &axes, options.epsilon, Affine { scale, bias, count, is_per_row: true }))
}

pub(super) fn layer(options: &LayerNormalizationOptions, inputs: &[Tensor]) -> Result<Plan, RunError> {
    let check = Check("layerNormalization");
    let roles = [("scale", options.has_scale), ("bias", options.has_bias)];
    let (input, parameters) = take_apart(check, inputs, roles)?;
    let rank = input.shape().len();
    let axes: Vec<usize> = match &options.axes {
        None => (1..rank).collect(),
        Some(axes) => {
            check.rank("axes", axes.len())?;
            axes.iter().map(|&axis| check.axis(axis, &input)).collect::<Result<_, _>>()?
        }
    };
    let mut ascending: Vec<usize> = (0..axes.len()).collect();
    ascending.sort_by_key(|&index| axes[index]);
    let sorted: Vec<usize> = ascending.iter().map(|&index| axes[index]).collect();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return check.refuse(format!("`axes` names axis {} twice", pair[0]));
    }
    let shape: Vec<usize> = axes.iter().map(|&axis| input.shape()[axis]).collect();
    check_shape(check, "scale", parameters[0].as_ref(), &shape)?;
    check_shape(check, "bias", parameters[1].as_ref(), &shape)?;
    let is_per_row = parameters.iter().all(Option::is_none);
    let count = if is_per_row { 1 } else { shape.iter().product() };
    // Their axes in the order of the input's.
    let [scale, bias] =
        parameters.map(|tensor| tensor.map(|tensor| tensor.view(tensor.layout().transpose(&ascending))));
    Ok(over_axes(check, &input, &sorted, options.epsilon, Affine { scale, bias, count, is_per_row }))
}

/// What normalised numbers are multiplied with, and what is added.
struct Affine {
    scale: Option<Tensor>,
    bias: Option<Tensor>,
    /// How many of each there are.
    count: usize,
    /// Whether one is for a whole row, and the next for the next, over and over; else each is for a place in every row.
    is_per_row: bool,
}

/// Normalises what differs in no axes but `axes`, which ascend.
fn over_axes(check: Check, input: &Tensor, axes: &[usize], epsilon: f64, affine: Affine) -> Plan {
    let shape = input.shape().to_vec();
    let kept = (0..shape.len()).filter(|axis| !axes.contains(axis));
    // What is normalised together stands together, at the end.
    let order: Vec<usize> = kept.chain(axes.iter().copied()).collect();
    let ordered = input.view(input.layout().transpose(&order));
    let count: usize = axes.iter().map(|&axis| shape[axis]).product();
    let moves = !order.is_sorted();
    let moving = if moves { 4.0 * GATHER_NANOSECONDS } else { 0.0 };
    let nanoseconds = ROW_NANOSECONDS + moving + EACH_ROW_NANOSECONDS / count.max(1) as f64;
    // Two of each place of the scale and bias, and the row that is widened.
    let wide = if input.dtype() == DType::Float16 { count } else { 0 };
    let reals = affine.count.saturating_mul(2).saturating_add(wide);
    let scratch = reals.saturating_mul(real_bytes(input.dtype()));
    let plan = Plan::compute(check.0, input.dtype(), shape, nanoseconds, move |stop| {
        with_dtype!(floats ordered.dtype(), T => {
            let (source, parameters) = (ordered.rows_until::<T>(stop)?, affine.numbers::<T>());
            // Whole rows, as many as fit the nearest cache, if several do.
            let (row, mut wide) = (count.max(1), Vec::new());
            let are_short = row <= NEAR && !affine.is_per_row;
            let block = (if are_short { BLOCK } else { NEAR } / row).max(1) * row;
            let result = Tensor::by_blocks(ordered.shape(), block, |start, mut to: Blank<'_, T>| {
                if are_short {
                    stop.worked(to.len())?;
                    let [scale, bias] = &parameters;
                    match T::normalise(&source[start..][..to.len()], (scale, bias), epsilon, to) {
                        Ok(written) => return Ok(written),
                        Err(blank) => to = blank,
                    }
                }
                to.in_parts(row, |index, to| {
                    let index = start / row + index;
                    let from = T::widen(&source[index * row..][..row], &mut wide);
                    affine.apply(index, from, epsilon, &parameters, to, stop)
                })
            })?;
            // Before the result is laid out otherwise: there is room for two.
            drop(source);
            let mut back = vec![0; order.len()];
            order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
            let result = result.view(result.layout().transpose(&back));
            if result.layout().is_row_major() { Ok(result) } else { result.copied_until(stop) }
        }, else check.refuse("no such dtype"))
    });
    let plan = plan.with_scratch(scratch);
    // Ordered, there are two copies of the input's size at a time, one of which is charged as the result.
    if moves { plan.with_scratch(input.byte_length()) } else { plan.after_gathering(input) }
}

impl Affine {
    /// Scale and bias as numbers.
    fn numbers<T: Float>(&self) -> [Vec<T::Real>; 2] {
        [numbers::<T>(self.scale.as_ref(), self.count, 1.0), numbers::<T>(self.bias.as_ref(), self.count, 0.0)]
    }

    /// One row, which is the `index`th.
    fn apply<'b, T: Float>(
        &self,
        index: usize,
        row: &[T::Real],
        epsilon: f64,
        [scale, bias]: &[Vec<T::Real>; 2],
        to: Blank<'b, T>,
        stop: &Stop<'_>,
    ) -> Result<&'b mut [T], RunError> {
        let line = standard(row, epsilon, stop)?;
        let is_from_0 = line.mean == T::Real::default();
        if self.is_per_row {
            let (scale, bias) = (scale[index % self.count], bias[index % self.count]);
            let line = Line { factor: line.factor * scale, shift: line.shift * scale + bias, ..line };
            return if is_from_0 {
                write(row, to, stop, move |x| line.at_from_0(x))
            } else {
                write(row, to, stop, move |x| line.at(x))
            };
        }
        if is_from_0 {
            write_scaled(row, (scale, bias), to, stop, move |x| line.at_from_0(x))
        } else {
            write_scaled(row, (scale, bias), to, stop, move |x| line.at(x))
        }
    }
}
