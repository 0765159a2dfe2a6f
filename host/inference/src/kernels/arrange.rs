//! concat, pad: elements of tensors beside others.

use spillway_types::operator::{PadOptions, PaddingMode};

use super::sample::reflect;
use super::{Check, Plan, Stop};
use crate::blocks::BLOCK;
use crate::element::{Element, with_dtype};
use crate::{RunError, Tensor};

/// Copying one element.
const COPY_NANOSECONDS: f64 = 0.1;
/// Copying one element of a view to where it lies row by row, first.
const GATHER_NANOSECONDS: f64 = 0.4;

pub(super) fn concat(axis: u32, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("concat");
    let Some(first) = inputs.first() else {
        return check.refuse("takes at least one input, given none");
    };
    let axis = check.axis(axis, first)?;
    let mut shape = first.shape().to_vec();
    for (index, input) in inputs.iter().enumerate().skip(1) {
        check.that(input.dtype() == first.dtype(), || {
            format!("input {index} is {}, but the first is {}; cast one of them", input.dtype(), first.dtype())
        })?;
        let fits = input.shape().len() == shape.len()
            && (0..shape.len()).all(|other| other == axis || input.shape()[other] == shape[other]);
        check.that(fits, || {
            let (given, first) = (input.shape(), first.shape());
            format!("input {index} is {given:?}, but must be as {first:?} in all axes but {axis}")
        })?;
        let length = shape[axis].checked_add(input.shape()[axis]);
        shape[axis] = length.map_or_else(|| check.refuse(format!("axis {axis} becomes too long")), Ok)?;
    }
    if let [only] = &*inputs {
        return Ok(Plan::view(check.0, only.clone()));
    }
    // Views are copied one at a time.
    let views = inputs.iter().filter(|input| !input.layout().is_row_major());
    let scratch = views.map(Tensor::byte_length).max().unwrap_or(0);
    let nanoseconds = if scratch == 0 { COPY_NANOSECONDS } else { COPY_NANOSECONDS + GATHER_NANOSECONDS };
    let plan = Plan::compute(
        check.0,
        first.dtype(),
        shape.clone(),
        nanoseconds,
        move |stop| with_dtype!(inputs[0].dtype(), T => concatenate::<T>(&inputs, axis, &shape, stop)),
    );
    Ok(plan.with_scratch(scratch))
}

fn concatenate<T: Element>(
    inputs: &[Tensor],
    axis: usize,
    shape: &[usize],
    stop: &Stop<'_>,
) -> Result<Tensor, RunError> {
    let inner: usize = shape[axis + 1..].iter().product();
    let row = shape[axis] * inner;
    Tensor::filled_until::<T>(stop, shape, |target| {
        let mut offset = 0;
        for input in inputs {
            let length = input.shape()[axis] * inner;
            if target.is_empty() || length == 0 {
                continue;
            }
            let rows = input.rows_until::<T>(stop)?;
            target.chunks_exact_mut(row).zip(rows.chunks_exact(length)).try_for_each(|(to, from)| {
                let parts = to[offset..][..length].chunks_mut(BLOCK).zip(from.chunks(BLOCK));
                { parts }.try_for_each(|(to, from)| {
                    to.copy_from_slice(from);
                    stop.worked(to.len())
                })
            })?;
            offset += length;
        }
        Ok(())
    })
}

pub(super) fn pad(options: &PadOptions, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("pad");
    let [input] = check.inputs(inputs)?;
    let before = check.per_axis("beginning-padding", &options.beginning_padding, &input)?;
    let after = check.per_axis("ending-padding", &options.ending_padding, &input)?;
    let mut shape = Vec::with_capacity(before.len());
    for (axis, &length) in input.shape().iter().enumerate() {
        let (before, after) = (before[axis], after[axis]);
        let added = before.max(after);
        match options.mode {
            PaddingMode::Constant => {}
            PaddingMode::Edge => check.that(added == 0 || length >= 1, || {
                format!("axis {axis} has no element that could be repeated; pad it in mode `constant`")
            })?,
            PaddingMode::Reflection => check.that(added == 0 || added < length, || {
                format!(
                    "axis {axis} of {length} elements mirrors at most {} more, not {added}",
                    length.saturating_sub(1)
                )
            })?,
        }
        let length = length.checked_add(before).and_then(|length| length.checked_add(after));
        shape.push(length.map_or_else(|| check.refuse(format!("axis {axis} becomes too long")), Ok)?);
    }
    if shape == input.shape() {
        return Ok(Plan::view(check.0, input));
    }
    let (mode, value) = (options.mode, options.value);
    let (copied, nanoseconds) = if input.layout().is_row_major() {
        (0, COPY_NANOSECONDS)
    } else {
        (input.byte_length(), COPY_NANOSECONDS + GATHER_NANOSECONDS)
    };
    let plan = Plan::compute(check.0, input.dtype(), shape.clone(), nanoseconds, move |stop| {
        with_dtype!(input.dtype(), T => {
            let padding = Padding { before: &before, mode, value: T::from_f64(value), stop };
            Tensor::filled_until::<T>(stop, &shape, |target| {
                padding.fill(&input.rows_until::<T>(stop)?, input.shape(), target, &shape, 0)
            })
        })
    });
    Ok(plan.with_scratch(copied))
}

struct Padding<'a, T> {
    before: &'a [usize],
    mode: PaddingMode,
    value: T,
    stop: &'a Stop<'a>,
}

impl<T: Element> Padding<'_, T> {
    /// Fills `target`, of the axes `to[axis..]`, from `source`, of the axes `from[axis..]`: what is inside first, axis by
    /// axis, and what is around it as copies of that. The recursion is as deep as there are axes.
    fn fill(&self, source: &[T], from: &[usize], target: &mut [T], to: &[usize], axis: usize) -> Result<(), RunError> {
        if target.is_empty() {
            return Ok(());
        }
        let (Some((&length, inner_from)), Some((_, inner_to))) = (from.split_first(), to.split_first()) else {
            target.copy_from_slice(source);
            return Ok(());
        };
        let (part_from, part_to): (usize, usize) = (inner_from.iter().product(), inner_to.iter().product());
        let before = self.before[axis];
        let (head, rest) = target.split_at_mut(before * part_to);
        let (inside, tail) = rest.split_at_mut(length * part_to);
        if part_from == part_to {
            self.copy(source, inside)?;
        } else {
            for (index, inside) in inside.chunks_exact_mut(part_to).enumerate() {
                self.fill(&source[index * part_from..][..part_from], inner_from, inside, inner_to, axis + 1)?;
            }
        }
        if matches!(self.mode, PaddingMode::Constant) {
            return [head, tail].into_iter().flat_map(|around| around.chunks_mut(BLOCK)).try_for_each(|around| {
                around.fill(self.value);
                self.stop.worked(around.len())
            });
        }
        let origin = |index: i64| match self.mode {
            PaddingMode::Reflection => reflect(index, length),
            PaddingMode::Constant | PaddingMode::Edge => index.clamp(0, length as i64 - 1) as usize,
        };
        for (index, to) in head.chunks_exact_mut(part_to).enumerate() {
            self.copy(&inside[origin(index as i64 - before as i64) * part_to..][..part_to], to)?;
        }
        for (index, to) in tail.chunks_exact_mut(part_to).enumerate() {
            self.copy(&inside[origin((length + index) as i64) * part_to..][..part_to], to)?;
        }
        Ok(())
    }

    fn copy(&self, from: &[T], to: &mut [T]) -> Result<(), RunError> {
        from.chunks(BLOCK).zip(to.chunks_mut(BLOCK)).try_for_each(|(from, to)| {
            to.copy_from_slice(from);
            self.stop.worked(to.len())
        })
    }
}
