//! where, triangular: elements chosen by a condition or by their place.

use spillway_types::operator::TriangularOptions;

use super::binary::broadcast;
use super::order::copy_blocks;
use super::{Check, Plan, Stop};
use crate::blocks::{BLOCK, Blocks};
use crate::element::{Element, with_dtype};
use crate::layout::{Layout, map};
use crate::{DType, RunError, Tensor};

/// One element of three inputs.
const WHERE_NANOSECONDS: f64 = 0.25;
/// Copying one element.
const COPY_NANOSECONDS: f64 = 0.15;

pub(super) fn select(inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("where");
    let [condition, a, b] = check.inputs(inputs)?;
    check.that(matches!(condition.dtype(), DType::Boolean | DType::Uint8), || {
        format!("the condition is {}, but must be boolean or uint8; compare it first", condition.dtype())
    })?;
    check.that(a.dtype() == b.dtype(), || {
        format!("the values are {} and {}, but must be of one type; cast one of them", a.dtype(), b.dtype())
    })?;
    let shape = broadcast(check, condition.shape(), &broadcast(check, a.shape(), b.shape())?)?;
    let [condition, a, b] = [condition, a, b].map(|input| input.view(input.layout().expand(&shape)));
    // Of each block of an input that does not lie row by row, a copy.
    let copied = [&condition, &a, &b].into_iter().filter(|input| !input.layout().is_row_major());
    let scratch = copied.map(|input| BLOCK * input.dtype().size_bytes()).sum();
    let plan = Plan::compute(check.0, a.dtype(), shape.clone(), WHERE_NANOSECONDS, move |stop| {
        with_dtype!(a.dtype(), T => {
            Tensor::filled_until::<T>(stop, &shape, |target| {
                match condition.dtype() {
                    DType::Boolean => choose::<bool, T>(&condition, &a, &b, target, stop),
                    _ => choose::<u8, T>(&condition, &a, &b, target, stop),
                }
            })
        })
    });
    Ok(plan.with_scratch(scratch))
}

fn choose<C: Element, T: Element>(
    condition: &Tensor,
    a: &Tensor,
    b: &Tensor,
    mut target: &mut [T],
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    let mut copied: (Vec<C>, Vec<T>, Vec<T>) = Default::default();
    Blocks::of(condition.shape()).try_for_each(|block| {
        stop.check()?;
        let to = target.split_off_mut(..block.len()).expect("blocks are as long as the shape together");
        let condition = rows(condition, &block.of(condition.layout()), &mut copied.0);
        let a = rows(a, &block.of(a.layout()), &mut copied.1);
        let b = rows(b, &block.of(b.layout()), &mut copied.2);
        let pairs = a.iter().zip(b);
        let choice = to.iter_mut().zip(condition).zip(pairs);
        choice.for_each(|((to, condition), (&a, &b))| *to = if condition.is_true() { a } else { b });
        Ok(())
    })
}

/// The elements that `layout` shows of `tensor`'s storage, row by row, in `copy` where they do not lie so.
fn rows<'a, T: Element>(tensor: &'a Tensor, layout: &Layout, copy: &'a mut Vec<T>) -> &'a [T] {
    let (stored, length) = (tensor.stored::<T>(), layout.len());
    if layout.is_row_major() {
        return &stored[layout.offset..][..length];
    }
    copy.resize(length, T::default());
    map(stored, layout, copy, |x| x);
    copy
}

pub(super) fn triangular(options: TriangularOptions, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("triangular");
    let [input] = check.inputs(inputs)?;
    let [.., rows, columns] = *input.shape() else {
        return check.refuse(format!("the input must have two axes at least, is {:?}", input.shape()));
    };
    Ok(Plan::compute(check.0, input.dtype(), input.layout().shape.clone(), COPY_NANOSECONDS, move |stop| {
        with_dtype!(input.dtype(), T => {
            Tensor::filled_until::<T>(stop, input.shape(), |target| {
                copy_blocks(&input, input.layout(), target, stop)
                    .and_then(|()| clear_triangle::<T>(options, rows, columns, target, stop))
            })
        })
    }))
}

/// Makes 0 of what is not on the side of the diagonal that stays; the diagonal stays.
fn clear_triangle<T: Element>(
    TriangularOptions { upper, diagonal }: TriangularOptions,
    rows: usize,
    columns: usize,
    target: &mut [T],
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    if target.is_empty() {
        return Ok(());
    }
    for (index, row) in target.chunks_exact_mut(columns).enumerate() {
        // Where the diagonal is, as a column; for the lower triangle, the one after it.
        let edge = ((index % rows) as i64).saturating_add(i64::from(diagonal)).saturating_add(i64::from(!upper));
        let edge = edge.clamp(0, columns as i64) as usize;
        let cleared = if upper { 0..edge } else { edge..columns };
        for part in row[cleared].chunks_mut(BLOCK) {
            part.fill(T::default());
            stop.worked(part.len())?;
        }
        stop.worked(1)?;
    }
    Ok(())
}
