//! gather, gatherElements, gatherND: elements picked by indices.

use std::borrow::Cow;
use std::ops::Range;

use super::{Check, Plan, Stop};
use crate::blocks::BLOCK;
use crate::element::{Element, with_dtype};
use crate::layout::{Layout, Odometer};
use crate::{DType, RunError, Tensor};

/// Copying one element of a slice.
const COPY_NANOSECONDS: f64 = 0.15;
/// Looking at one index, and going where it points.
pub(super) const INDEX_NANOSECONDS: f64 = 2.5;

pub(super) fn gather(axis: u32, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("gather");
    let [data, indices] = check.inputs(inputs)?;
    Indices::check(check, &indices)?;
    let axis = check.axis(axis, &data)?;
    let shape = [&data.shape()[..axis], indices.shape(), &data.shape()[axis + 1..]].concat();
    slices(check, data, axis..axis + 1, indices, shape)
}

pub(super) fn gather_nd(inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("gatherND");
    let [data, indices] = check.inputs(inputs)?;
    Indices::check(check, &indices)?;
    let (tuples, depth) = Indices::tuples(check, &indices, &data)?;
    let shape = [tuples, &data.shape()[depth..]].concat();
    slices(check, data, 0..depth, indices, shape)
}

/// For each position of the axes before `indexed` and each tuple of as many indices, the slice of the axes behind.
fn slices(
    check: Check,
    data: Tensor,
    indexed: Range<usize>,
    indices: Tensor,
    shape: Vec<usize>,
) -> Result<Plan, RunError> {
    if !shape.contains(&0) {
        Indices::check_axes(check, &data, indexed.clone())?;
    }
    let slice: f64 = data.shape()[indexed.end..].iter().map(|&length| length as f64).product();
    let nanoseconds = COPY_NANOSECONDS + INDEX_NANOSECONDS * indexed.len() as f64 / slice.max(1.0);
    // A table of which few rows are wanted is not copied for it: its slices may lie apart, each in one piece.
    let is_apart = !inner_layout(&data, indexed.end).is_row_major();
    let (table, list) = (data.clone(), indices.clone());
    let plan = Plan::compute(check.0, data.dtype(), shape.clone(), nanoseconds, move |stop| {
        let data = if is_apart { data.copied_until(stop)? } else { data };
        with_dtype!(data.dtype(), T => {
            Tensor::filled_until::<T>(stop, &shape, |target| {
                copy_slices::<T>(&data, indexed, &Indices::of(&indices, stop)?, target, stop)
            })
        })
    });
    let plan = plan.after_gathering(&list);
    Ok(if is_apart { plan.after_gathering(&table) } else { plan })
}

/// How one slice of the axes from `axis` on lies.
fn inner_layout(data: &Tensor, axis: usize) -> Layout {
    let Layout { shape, strides, offset } = data.layout();
    Layout { shape: shape[axis..].into(), strides: strides[axis..].into(), offset: *offset }
}

fn copy_slices<T: Element>(
    data: &Tensor,
    indexed: Range<usize>,
    indices: &Indices<'_>,
    target: &mut [T],
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    if target.is_empty() {
        return Ok(());
    }
    let (stored, axes) = (data.stored::<T>(), axes_of(data.layout()));
    let length = |axes: &[(usize, usize)]| axes.iter().map(|axis| axis.0).product::<usize>();
    let (outer, slice) = (&axes[..indexed.start], length(&axes[indexed.end..]));
    let part = target.len() / length(outer);
    let mut offsets = Odometer::new(outer.to_vec(), data.layout().offset);
    for part in target.chunks_exact_mut(part) {
        let start = offsets.next();
        for (tuple, to) in part.chunks_exact_mut(slice).enumerate() {
            let from = start + indices.offset(tuple, &axes[indexed.clone()]);
            copy(&stored[from..][..slice], to, stop)?;
        }
    }
    Ok(())
}

/// Copies a slice of any length, asking `stop` now and then.
pub(super) fn copy<T: Copy>(from: &[T], to: &mut [T], stop: &Stop<'_>) -> Result<(), RunError> {
    if let ([from], [to]) = (from, &mut *to) {
        *to = *from;
        return stop.worked(1);
    }
    for (from, to) in from.chunks(BLOCK).zip(to.chunks_mut(BLOCK)) {
        to.copy_from_slice(from);
        stop.worked(to.len())?;
    }
    Ok(())
}

pub(super) fn gather_elements(axis: u32, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("gatherElements");
    let [data, indices] = check.inputs(inputs)?;
    let axis = Indices::check_elements(check, &indices, axis, &data)?;
    let shape = indices.shape().to_vec();
    let list = indices.clone();
    let plan = Plan::compute(check.0, data.dtype(), shape.clone(), INDEX_NANOSECONDS, move |stop| {
        with_dtype!(data.dtype(), T => {
            Tensor::filled_until::<T>(stop, &shape, |target| {
                let stored = data.stored::<T>();
                let list = Indices::of(&indices, stop)?;
                list.each_element(&shape, axis, data.layout(), stop, |at, from| target[at] = stored[from])
            })
        })
    });
    Ok(plan.after_gathering(&list))
}

/// The length and stride of each axis.
pub(super) fn axes_of(layout: &Layout) -> Vec<(usize, usize)> {
    layout.shape.iter().copied().zip(layout.strides.iter().copied()).collect()
}

/// Indices as they were given, row by row. Negative ones count from the end; those out of range are held to it, as
/// implementations of WebNN do: a tensor has no place for an error, and what it says is known only when it is computed.
pub(super) enum Indices<'a> {
    Int32(Cow<'a, [i32]>),
    Uint32(Cow<'a, [u32]>),
    Int64(Cow<'a, [i64]>),
}

impl<'a> Indices<'a> {
    /// The elements of `tensor`, which [`check`](Self::check) has passed.
    ///
    /// # Errors
    /// [`RunError::DeadlineExceeded`].
    pub(super) fn of(tensor: &'a Tensor, stop: &Stop<'_>) -> Result<Self, RunError> {
        Ok(match tensor.dtype() {
            DType::Int32 => Self::Int32(tensor.rows_until(stop)?),
            DType::Uint32 => Self::Uint32(tensor.rows_until(stop)?),
            _ => Self::Int64(tensor.rows_until(stop)?),
        })
    }

    /// That `indices` are of a type that counts.
    pub(super) fn check(check: Check, indices: &Tensor) -> Result<(), RunError> {
        check.that(matches!(indices.dtype(), DType::Int32 | DType::Uint32 | DType::Int64), || {
            format!("the indices are {}, but must be int32, uint32 or int64; cast them first", indices.dtype())
        })
    }

    /// That each of the axes `indexed` of `data` has an element that an index can mean.
    pub(super) fn check_axes(check: Check, data: &Tensor, indexed: Range<usize>) -> Result<(), RunError> {
        let empty = indexed.into_iter().find(|&axis| data.shape()[axis] == 0);
        empty.map_or(Ok(()), |axis| {
            check.refuse(format!(
                "axis {axis} of the input has no elements, {:?}, that indices could mean",
                data.shape()
            ))
        })
    }

    /// Of indices that stand together in the last axis: the shape of all tuples, and how many indices each has.
    pub(super) fn tuples<'i>(
        check: Check,
        indices: &'i Tensor,
        data: &Tensor,
    ) -> Result<(&'i [usize], usize), RunError> {
        let rank = data.shape().len();
        match indices.shape() {
            [tuples @ .., depth] if *depth <= rank => Ok((tuples, *depth)),
            other => check.refuse(format!(
                "the indices are {other:?}, but their last axis must have an index for each of some leading axes of \
                 the input, at most {rank}"
            )),
        }
    }

    /// That `indices` say for elements of `data` where along an axis they are; that axis. WebNN wants the other axes to
    /// be as long as those of `data`, ONNX lets them be shorter.
    pub(super) fn check_elements(check: Check, indices: &Tensor, axis: u32, data: &Tensor) -> Result<usize, RunError> {
        Self::check(check, indices)?;
        let axis = check.axis(axis, data)?;
        let fits = indices.shape().len() == data.shape().len()
            && (0..data.shape().len()).all(|other| other == axis || indices.shape()[other] <= data.shape()[other]);
        check.that(fits, || {
            let (indices, data) = (indices.shape(), data.shape());
            format!("the indices are {indices:?}, but must have the axes of {data:?}, none longer but axis {axis}")
        })?;
        if !indices.shape().contains(&0) {
            Self::check_axes(check, data, axis..axis + 1)?;
        }
        Ok(axis)
    }

    /// Which of `length` elements, at least one, the index number `at` means.
    #[inline]
    pub(super) fn place(&self, at: usize, length: usize) -> usize {
        let index = match self {
            Self::Int32(list) => i64::from(list[at]),
            Self::Uint32(list) => i64::from(list[at]),
            Self::Int64(list) => list[at],
        };
        let length = length as i64;
        let index = if index < 0 { index + length } else { index };
        index.min(length - 1).max(0) as usize
    }

    /// How far from the start the slice is that the tuple of this number means, in axes of these lengths and strides.
    #[inline]
    pub(super) fn offset(&self, tuple: usize, axes: &[(usize, usize)]) -> usize {
        let first = tuple * axes.len();
        axes.iter().enumerate().map(|(axis, &(length, stride))| self.place(first + axis, length) * stride).sum()
    }

    /// Tells `found` of each index, in order, with its number, where in `layout` the element stands that has its position
    /// but for `axis`, where it has the index. `shape` is that of the indices.
    pub(super) fn each_element(
        &self,
        shape: &[usize],
        axis: usize,
        layout: &Layout,
        stop: &Stop<'_>,
        mut found: impl FnMut(usize, usize),
    ) -> Result<(), RunError> {
        let (length, along) = (layout.shape[axis], layout.strides[axis]);
        let step = |other: usize| if other == axis { 0 } else { layout.strides[other] };
        let (columns, last) = (shape[shape.len() - 1], shape.len() - 1);
        if shape.contains(&0) {
            return Ok(());
        }
        let mut rows = Odometer::new((0..last).map(|axis| (shape[axis], step(axis))).collect(), layout.offset);
        for row in 0..shape[..last].iter().product() {
            let start = rows.next();
            for column in 0..columns {
                let at = row * columns + column;
                found(at, start + column * step(last) + self.place(at, length) * along);
                stop.worked(1)?;
            }
        }
        Ok(())
    }
}
