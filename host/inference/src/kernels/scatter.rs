//! scatterElements, scatterND: elements put where indices say.

use super::gather::{INDEX_NANOSECONDS, Indices, axes_of, copy};
use super::order::copy_blocks;
use super::{Check, Plan, Stop};
use crate::element::{Element, with_dtype};
use crate::layout::Layout;
use crate::{RunError, Tensor};

/// Copying one element.
const COPY_NANOSECONDS: f64 = 0.15;

pub(super) fn scatter_elements(axis: u32, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("scatterElements");
    let [data, indices, updates] = check.inputs(inputs)?;
    let axis = Indices::check_elements(check, &indices, axis, &data)?;
    check_updates(check, &updates, &data, indices.shape())?;
    Ok(scatter(check, [data, indices, updates], Place::Elements(axis)))
}

pub(super) fn scatter_nd(inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("scatterND");
    let [data, indices, updates] = check.inputs(inputs)?;
    Indices::check(check, &indices)?;
    let (tuples, depth) = Indices::tuples(check, &indices, &data)?;
    let shape = [tuples, &data.shape()[depth..]].concat();
    check_updates(check, &updates, &data, &shape)?;
    if !shape.contains(&0) {
        Indices::check_axes(check, &data, 0..depth)?;
    }
    Ok(scatter(check, [data, indices, updates], Place::Slices(depth)))
}

fn check_updates(check: Check, updates: &Tensor, data: &Tensor, shape: &[usize]) -> Result<(), RunError> {
    check.that(updates.dtype() == data.dtype(), || {
        format!("the updates are {}, but the input is {}; cast one of them", updates.dtype(), data.dtype())
    })?;
    check.that(updates.shape() == shape, || {
        format!("the updates are {:?}, but for these indices must be {shape:?}", updates.shape())
    })
}

/// What an index says.
#[derive(Clone, Copy)]
enum Place {
    /// Where along this axis an element goes.
    Elements(usize),
    /// With so many beside it, where in as many leading axes a slice goes.
    Slices(usize),
}

fn scatter(check: Check, [data, indices, updates]: [Tensor; 3], place: Place) -> Plan {
    let (list, new) = (indices.clone(), updates.clone());
    let plan = Plan::compute(check.0, data.dtype(), data.layout().shape.clone(), COPY_NANOSECONDS, move |stop| {
        with_dtype!(data.dtype(), T => {
            Tensor::filled_until::<T>(stop, data.shape(), |target| {
                copy_blocks(&data, data.layout(), target, stop)
                    .and_then(|()| put::<T>(place, &indices, &updates, data.shape(), target, stop))
            })
        })
    });
    let elements = |tensor: &Tensor| tensor.layout().len() as f64;
    let nanoseconds = plan.nanoseconds + INDEX_NANOSECONDS * elements(&list) + COPY_NANOSECONDS * elements(&new);
    Plan { nanoseconds, ..plan }.after_gathering(&list).after_gathering(&new)
}

/// Puts `updates` into `target`, which lies row by row in `shape`. Of several for one place the last stays.
fn put<T: Element>(
    place: Place,
    indices: &Tensor,
    updates: &Tensor,
    shape: &[usize],
    target: &mut [T],
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    let (list, updates) = (Indices::of(indices, stop)?, updates.rows_until::<T>(stop)?);
    if updates.is_empty() {
        return Ok(());
    }
    let layout = Layout::row_major(shape);
    match place {
        Place::Elements(axis) => {
            list.each_element(indices.shape(), axis, &layout, stop, |at, to| target[to] = updates[at])
        }
        Place::Slices(depth) => {
            let axes = axes_of(&layout);
            let slice = shape[depth..].iter().product();
            updates.chunks_exact(slice).enumerate().try_for_each(|(tuple, from)| {
                let to = list.offset(tuple, &axes[..depth]);
                copy(from, &mut target[to..][..slice], stop)
            })
        }
    }
}
