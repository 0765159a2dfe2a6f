//! cumulativeSum, reverse, tile.

use spillway_types::operator::CumulativeSumOptions;
use tract_onnx::prelude::{TVec, f16};

use super::{Check, Plan, Stop};
use crate::blocks::{BLOCK, Blocks};
use crate::element::{Element, with_dtype};
use crate::layout::{Layout, map};
use crate::{DType, RunError, Tensor};

/// One element added to the sum before it, where sums are made beside each other.
const SUM_NANOSECONDS: f64 = 0.25;
/// Copying one element, or changing its place with another's.
const COPY_NANOSECONDS: f64 = 0.12;
/// A short row of them: what it takes to begin.
const ROW_NANOSECONDS: f64 = 2.5;

/// Writes the elements that `layout` shows of `tensor`'s storage to `target`, row by row, asking `stop` between blocks of
/// them.
pub(super) fn copy_blocks<T: Element>(
    tensor: &Tensor,
    layout: &Layout,
    mut target: &mut [T],
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    Blocks::of(&layout.shape).try_for_each(|block| {
        stop.check()?;
        let to = target.split_off_mut(..block.len()).expect("blocks are as long as the shape together");
        map(tensor.stored::<T>(), &block.of(layout), to, |x| x);
        Ok(())
    })
}

/// WebNN's types, and `float64`.
const SUMMED: [DType; 7] =
    [DType::Float16, DType::Float32, DType::Float64, DType::Int32, DType::Uint32, DType::Int64, DType::Uint64];

pub(super) fn cumulative_sum(options: CumulativeSumOptions, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("cumulativeSum");
    let [input] = check.inputs(inputs)?;
    check.dtype(&input, &SUMMED)?;
    let axis = check.axis(options.axis, &input)?;
    let view = input.clone();
    let inner: f64 = input.shape()[axis + 1..].iter().map(|&length| length as f64).product();
    let nanoseconds = SUM_NANOSECONDS + ROW_NANOSECONDS / inner.max(1.0);
    let plan = Plan::compute(check.0, input.dtype(), input.layout().shape.clone(), nanoseconds, move |stop| {
        macro_rules! sum {
            ($T:ty) => {{
                Tensor::filled_until::<$T>(stop, input.shape(), |target| {
                    sums::<$T>(&input.rows_until(stop)?, input.shape(), axis, options, target, stop)
                })
            }};
        }
        match input.dtype() {
            DType::Float16 => sum!(f16),
            DType::Float32 => sum!(f32),
            DType::Float64 => sum!(f64),
            DType::Int32 => sum!(i32),
            DType::Uint32 => sum!(u32),
            DType::Int64 => sum!(i64),
            DType::Uint64 => sum!(u64),
            other => check.refuse(format!("the input is {other}")),
        }
    });
    Ok(plan.after_gathering(&view))
}

/// An element that sums are made of: integers wrap, floats are rounded once, when a sum is written.
trait Sum: Element {
    type Wide: Copy + Default;
    fn add(sum: Self::Wide, x: Self) -> Self::Wide;
    fn narrow(sum: Self::Wide) -> Self;
}

macro_rules! sums {
    ($($T:ty, $Wide:ty, $add:expr, $narrow:expr;)*) => {$(
        impl Sum for $T {
            type Wide = $Wide;
            #[inline(always)]
            fn add(sum: $Wide, x: Self) -> $Wide {
                ($add)(sum, x)
            }
            #[inline(always)]
            fn narrow(sum: $Wide) -> Self {
                ($narrow)(sum)
            }
        }
    )*};
}

sums! {
    f16, f32, |sum: f32, x: f16| sum + x.to_f32(), f16::from_f32;
    f32, f64, |sum: f64, x| sum + f64::from(x), |sum| sum as f32;
    f64, f64, |sum: f64, x| sum + x, |sum| sum;
    i32, i32, i32::wrapping_add, |sum| sum;
    u32, u32, u32::wrapping_add, |sum| sum;
    i64, i64, i64::wrapping_add, |sum| sum;
    u64, u64, u64::wrapping_add, |sum| sum;
}

/// How many sums beside each other are carried along an axis.
const STRIP: usize = 512;

fn sums<T: Sum>(
    source: &[T],
    shape: &[usize],
    axis: usize,
    options: CumulativeSumOptions,
    target: &mut [T],
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    if target.is_empty() {
        return Ok(());
    }
    let (length, inner): (usize, usize) = (shape[axis], shape[axis + 1..].iter().product());
    let mut sums = [T::Wide::default(); STRIP];
    for (from, to) in source.chunks_exact(length * inner).zip(target.chunks_exact_mut(length * inner)) {
        for left in (0..inner).step_by(STRIP) {
            let width = STRIP.min(inner - left);
            sums[..width].fill(T::Wide::default());
            for step in 0..length {
                let row = if options.reversed { length - 1 - step } else { step };
                let first = row * inner + left;
                let pairs = from[first..][..width].iter().zip(&mut to[first..][..width]);
                for (sum, (&x, to)) in sums.iter_mut().zip(pairs) {
                    let next = T::add(*sum, x);
                    *to = T::narrow(if options.exclusive { *sum } else { next });
                    *sum = next;
                }
                stop.worked(width)?;
            }
        }
    }
    Ok(())
}

pub(super) fn reverse(axes: Option<&[u32]>, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("reverse");
    let [input] = check.inputs(inputs)?;
    let rank = input.shape().len();
    let mut is_reversed = vec![axes.is_none(); rank];
    for &axis in axes.unwrap_or_default() {
        match is_reversed.get_mut(axis as usize) {
            Some(already) if !*already => *already = true,
            Some(_) => return check.refuse(format!("`axes` names axis {axis} twice")),
            None => return check.refuse(format!("`axes` has {axis}, but the input has {rank} axes, counted from 0")),
        }
    }
    let turns = turns(input.shape(), &is_reversed);
    if turns.is_empty() {
        return Ok(Plan::view(check.0, input));
    }
    let nanoseconds = COPY_NANOSECONDS * (1 + turns.len()) as f64;
    Ok(Plan::compute(check.0, input.dtype(), input.layout().shape.clone(), nanoseconds, move |stop| {
        with_dtype!(input.dtype(), T => {
            Tensor::filled_until::<T>(stop, input.shape(), |target| {
                copy_blocks(&input, input.layout(), target, stop)
                    .and_then(|()| turns.iter().try_for_each(|&turn| turn_around::<T>(turn, target, stop)))
            })
        })
    }))
}

/// What has to be turned around, `(length, how many elements one place of it has)` each: axes that follow each other and
/// are all reversed are one.
fn turns(shape: &[usize], is_reversed: &[bool]) -> Vec<(usize, usize)> {
    let mut turns: Vec<(usize, usize)> = Vec::new();
    let (mut inner, mut goes_on) = (1, false);
    for (&length, &is_reversed) in shape.iter().zip(is_reversed).rev().filter(|(length, _)| **length != 1) {
        match turns.last_mut() {
            Some(turn) if is_reversed && goes_on => turn.0 *= length,
            _ if is_reversed => turns.push((length, inner)),
            _ => {}
        }
        (inner, goes_on) = (inner * length, is_reversed);
    }
    turns
}

/// Changes the first place with the last, and so on.
fn turn_around<T: Copy>((length, inner): (usize, usize), target: &mut [T], stop: &Stop<'_>) -> Result<(), RunError> {
    if target.is_empty() {
        return Ok(());
    }
    for all in target.chunks_exact_mut(length * inner) {
        let (head, rest) = all.split_at_mut(length / 2 * inner);
        let tail = &mut rest[length % 2 * inner..];
        if inner == 1 {
            for (head, tail) in head.chunks_mut(BLOCK).zip(tail.rchunks_mut(BLOCK)) {
                head.iter_mut().zip(tail.iter_mut().rev()).for_each(|(a, b)| std::mem::swap(a, b));
                stop.worked(head.len())?;
            }
            continue;
        }
        for (head, tail) in head.chunks_exact_mut(inner).zip(tail.rchunks_exact_mut(inner)) {
            for (head, tail) in head.chunks_mut(BLOCK).zip(tail.chunks_mut(BLOCK)) {
                head.swap_with_slice(tail);
                stop.worked(head.len())?;
            }
        }
    }
    Ok(())
}

pub(super) fn tile(repetitions: &[u32], inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("tile");
    let [input] = check.inputs(inputs)?;
    let repetitions = check.per_axis("repetitions", repetitions, &input)?;
    let lengths = input.shape().iter().zip(&repetitions).enumerate().map(|(axis, (length, &times))| {
        length.checked_mul(times).map_or_else(|| check.refuse(format!("axis {axis} becomes too long")), Ok)
    });
    let shape = lengths.collect::<Result<Vec<_>, _>>()?;
    if repetitions.iter().all(|&times| times == 1) {
        return Ok(Plan::view(check.0, input));
    }
    // A repetition is an axis before the one that it repeats, which goes nowhere.
    let mut repeated = Layout { shape: TVec::new(), strides: TVec::new(), offset: input.layout().offset };
    for (axis, times) in repetitions.into_iter().enumerate() {
        repeated.shape.extend([times, input.shape()[axis]]);
        repeated.strides.extend([0, input.layout().strides[axis]]);
    }
    let row = input.shape().last().map_or(1.0, |&length| length.max(1) as f64);
    Ok(Plan::compute(check.0, input.dtype(), shape.clone(), COPY_NANOSECONDS + ROW_NANOSECONDS / row, move |stop| {
        with_dtype!(input.dtype(), T => {
            Tensor::filled_until::<T>(stop, &shape, |target| {
                copy_blocks::<T>(&input, &repeated, target, stop)
            })
        })
    }))
}
