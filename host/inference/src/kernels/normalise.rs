//! batchNormalization, instanceNormalization, layerNormalization.
//!
//! The last two are one computation: what shares a mean and a variance is brought together as a row, and every row is
//! read twice, from the cache if it fits there: for both of them, and to be written. Halves are widened first; factors of
//! channels and rows are computed in `f64`.

use pulp::NullaryFnOnce;
use spillway_types::operator::{
    BatchNormalizationOptions, InputOperandLayout, InstanceNormalizationOptions, LayerNormalizationOptions,
};
use tract_onnx::prelude::f16;

use super::check::FLOATS;
use super::moments::Summed;
use super::sample::{Real, Sample};
use super::{Check, GATHER_NANOSECONDS, Plan, Stop};
use crate::blocks::NEAR;
use crate::element::{Element, with_dtype};
use crate::layout::map;
use crate::vectors::{Each, widest};
use crate::{DType, RunError, Tensor};

/// One element: for `batch`, a product and a sum.
const LINE_NANOSECONDS: f64 = 0.15;
/// One element of a row, read twice.
const ROW_NANOSECONDS: f64 = 0.12;
/// One row, however short.
const EACH_ROW_NANOSECONDS: f64 = 40.0;

/// Takes `inputs` apart: x, and those of `roles` that are said to be there, all of one type.
fn take_apart<const N: usize>(
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

fn check_shape(check: Check, name: &str, tensor: Option<&Tensor>, shape: &[usize]) -> Result<(), RunError> {
    tensor.filter(|tensor| tensor.shape() != shape).map_or(Ok(()), |tensor| {
        check.refuse(format!("the {name} is {:?}, but must be {shape:?}, as the axes that it is for", tensor.shape()))
    })
}

/// The size of the numbers in which elements of this type are computed.
fn real_bytes(dtype: DType) -> usize {
    dtype.size_bytes().max(size_of::<f32>())
}

pub(super) fn batch(options: BatchNormalizationOptions, inputs: &[Tensor]) -> Result<Plan, RunError> {
    let check = Check("batchNormalization");
    let roles = [("mean", true), ("variance", true), ("scale", options.has_scale), ("bias", options.has_bias)];
    let (input, parameters) = take_apart(check, inputs, roles)?;
    let axis = check.axis(options.axis, &input)?;
    let channels = input.shape()[axis];
    for ((name, _), parameter) in roles.iter().zip(&parameters) {
        check_shape(check, name, parameter.as_ref(), &[channels])?;
    }
    let inner: usize = input.shape()[axis + 1..].iter().product();
    // Four numbers for each channel.
    let scratch = channels.saturating_mul(4 * real_bytes(input.dtype()));
    let view = input.clone();
    let plan = Plan::compute(check.0, input.dtype(), input.layout().shape.clone(), LINE_NANOSECONDS, move |stop| {
        with_dtype!(floats input.dtype(), T => {
            Tensor::filled_until::<T>(stop, input.shape(), |target| {
                if target.is_empty() {
                    return Ok(());
                }
                let lines = Channels::of::<T>(&parameters, channels, options.epsilon);
                by_channel(&input.rows::<T>(), &lines, inner, target, stop)
            })
        }, else check.refuse("no such dtype"))
    });
    Ok(plan.with_scratch(scratch).after_gathering(&view))
}

/// `(x - mean) * factor + shift`.
#[derive(Clone, Copy)]
struct Line<R> {
    mean: R,
    factor: R,
    shift: R,
}

impl<R: Real> Line<R> {
    #[inline(always)]
    fn at(self, x: R) -> R {
        (x - self.mean) * self.factor + self.shift
    }

    /// As [`at`](Self::at), where the mean is 0.
    #[inline(always)]
    fn at_from_0(self, x: R) -> R {
        x * self.factor + self.shift
    }
}

/// `count` numbers that `tensor` shows, or as many of `default`.
fn numbers<T: Sample>(tensor: Option<&Tensor>, count: usize, default: f64) -> Vec<T::Real> {
    let mut numbers = vec![<T::Real as Real>::from_f64(default); count];
    if let Some(tensor) = tensor {
        map(tensor.stored::<T>(), tensor.layout(), &mut numbers, T::to_real);
    }
    numbers
}

/// The lines of all channels, each of their numbers beside those of the others, as vectors read them.
struct Channels<R> {
    means: Vec<R>,
    factors: Vec<R>,
    shifts: Vec<R>,
}

impl<R: Real + Element> Channels<R> {
    fn of<T: Sample<Real = R>>(parameters: &[Option<Tensor>; 4], channels: usize, epsilon: f64) -> Self {
        let [mean, variance, scale, bias] = parameters.each_ref().map(Option::as_ref);
        let variances = numbers::<T>(variance, channels, 1.0);
        let mut factors = numbers::<T>(scale, channels, 1.0);
        for (factor, variance) in factors.iter_mut().zip(variances) {
            *factor = Real::from_f64(factor.to_f64() / (variance.to_f64() + epsilon).sqrt());
        }
        Self { means: numbers::<T>(mean, channels, 0.0), factors, shifts: numbers::<T>(bias, channels, 0.0) }
    }

    fn lines(&self) -> impl Iterator<Item = Line<R>> + Clone {
        let lines = self.means.iter().zip(&self.factors).zip(&self.shifts);
        lines.map(|((&mean, &factor), &shift)| Line { mean, factor, shift })
    }
}

/// Each element by the line of its channel; `inner` of one channel follow each other.
fn by_channel<T: Float>(
    source: &[T],
    channels: &Channels<T::Real>,
    inner: usize,
    target: &mut [T],
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    if inner == 1 {
        let count = channels.means.len();
        for (from, to) in source.chunks_exact(count).zip(target.chunks_exact_mut(count)) {
            for ((to, from), line) in to.iter_mut().zip(from).zip(channels.lines()) {
                *to = T::from_real(line.at(from.to_real()));
            }
            stop.worked(count)?;
        }
        return Ok(());
    }
    let rows = source.chunks_exact(inner).zip(target.chunks_exact_mut(inner));
    rows.zip(channels.lines().cycle()).try_for_each(|((from, to), line)| write(from, to, stop, move |x| line.at(x)))
}

/// Elements that are summed at once in their own precision, before the sum goes on in `f64`.
const CHUNK: usize = 1024;

/// Writes `f` of each element of `from`, which may be wider than those of `to`.
fn write<S: Sample, T: Sample<Real = S::Real>>(
    from: &[S],
    to: &mut [T],
    stop: &Stop<'_>,
    f: impl Fn(S::Real) -> S::Real + Copy,
) -> Result<(), RunError> {
    for (from, to) in from.chunks(CHUNK).zip(to.chunks_mut(CHUNK)) {
        widest(Each { from, to: &mut *to, f: move |x: S| T::from_real(f(x.to_real())) });
        stop.worked(to.len())?;
    }
    Ok(())
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
            let block = (NEAR / row).max(1) * row;
            let result = Tensor::by_blocks(ordered.shape(), block, |start, to: &mut [T]| {
                let rows = source[start..][..to.len()].chunks_exact(row).zip(to.chunks_exact_mut(row)).enumerate();
                { rows }.try_for_each(|(index, (from, to))| {
                    let row = T::widen(from, &mut wide);
                    affine.apply(start / count + index, row, epsilon, &parameters, to, stop)
                })
            })?;
            let mut back = vec![0; order.len()];
            order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
            Ok(result.view(result.layout().transpose(&back)).to_row_major())
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
    fn apply<T: Float>(
        &self,
        index: usize,
        row: &[T::Real],
        epsilon: f64,
        [scale, bias]: &[Vec<T::Real>; 2],
        to: &mut [T],
        stop: &Stop<'_>,
    ) -> Result<(), RunError> {
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

/// As [`write`], with a scale and a bias for each place.
fn write_scaled<T: Sample>(
    row: &[T::Real],
    (scale, bias): (&[T::Real], &[T::Real]),
    to: &mut [T],
    stop: &Stop<'_>,
    f: impl Fn(T::Real) -> T::Real + Copy,
) -> Result<(), RunError> {
    let parameters = scale.chunks(CHUNK).zip(bias.chunks(CHUNK));
    for ((from, to), (scale, bias)) in row.chunks(CHUNK).zip(to.chunks_mut(CHUNK)).zip(parameters) {
        widest(Scaled { from, scale, bias, to: &mut *to, f: move |x, scale, bias| T::from_real(f(x) * scale + bias) });
        stop.worked(to.len())?;
    }
    Ok(())
}

struct Scaled<'a, R, T, F> {
    from: &'a [R],
    scale: &'a [R],
    bias: &'a [R],
    to: &'a mut [T],
    f: F,
}

impl<R: Copy, T, F: Fn(R, R, R) -> T> NullaryFnOnce for Scaled<'_, R, T, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let count = self.to.len().min(self.from.len()).min(self.scale.len()).min(self.bias.len());
        let (from, to) = (&self.from[..count], &mut self.to[..count]);
        let (scale, bias) = (&self.scale[..count], &self.bias[..count]);
        let mut index = 0;
        while index < count {
            to[index] = (self.f)(from[index], scale[index], bias[index]);
            index += 1;
        }
    }
}

/// The line that takes `row` to a mean of 0 and a variance of 1.
///
/// Sums and sums of squares say both at once, but lose what the mean has more digits than the deviations. Where that is much,
/// a second pass goes from the mean, and also finds how far off that was, so that sums of 32 bits are enough in both.
fn standard<R: Summed>(row: &[R], epsilon: f64, stop: &Stop<'_>) -> Result<Line<R>, RunError> {
    let count = row.len() as f64;
    let line = |mean: R, [off, squares]: [f64; 2]| {
        let variance = squares - off * off;
        // Rounding may make a variance of 0 negative; so written, NaN stays.
        let variance = if variance < 0.0 { 0.0 } else { variance };
        let factor = 1.0 / (variance + epsilon).sqrt();
        Line { mean, factor: Real::from_f64(factor), shift: Real::from_f64(-off * factor) }
    };
    let [mean, squares] = moments(row, R::default(), stop)?.map(|sum| sum / count);
    if mean * mean < 0.5 * squares {
        return Ok(line(R::default(), [mean, squares]));
    }
    let mean = <R as Real>::from_f64(mean);
    Ok(line(mean, moments(row, mean, stop)?.map(|sum| sum / count)))
}

fn moments<R: Summed>(row: &[R], mean: R, stop: &Stop<'_>) -> Result<[f64; 2], RunError> {
    let mut sums = [0.0; 2];
    for chunk in row.chunks(CHUNK) {
        let part = R::moments(chunk, mean);
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        stop.worked(chunk.len())?;
    }
    Ok(sums)
}

/// A float, and its rows as the numbers in which they are computed.
trait Float: Sample<Real: Summed + Sample<Real = Self::Real>> {
    /// `row`, in `wide` where it has to be widened.
    fn widen<'a>(row: &'a [Self], wide: &'a mut Vec<Self::Real>) -> &'a [Self::Real];
}

impl Float for f16 {
    fn widen<'a>(row: &'a [Self], wide: &'a mut Vec<f32>) -> &'a [f32] {
        wide.clear();
        wide.extend(row.iter().map(|x| x.to_f32()));
        wide
    }
}

impl Float for f32 {
    fn widen<'a>(row: &'a [Self], _: &'a mut Vec<f32>) -> &'a [f32] {
        row
    }
}

impl Float for f64 {
    fn widen<'a>(row: &'a [Self], _: &'a mut Vec<f64>) -> &'a [f64] {
        row
    }
}
