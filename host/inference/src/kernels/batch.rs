//! batchNormalization.

use spillway_types::operator::BatchNormalizationOptions;

use super::lines::{Float, Line, numbers, real_bytes, write};
use super::normalise::{check_shape, take_apart};
use super::sample::{Real, Sample};
use super::{Check, Plan, Stop};
use crate::blank::Blank;
use crate::blocks::NEAR;
use crate::element::{Element, with_dtype};
use crate::{RunError, Tensor};

/// One element: a product and a sum.
const NANOSECONDS: f64 = 0.15;

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
    let plan = Plan::compute(check.0, input.dtype(), input.layout().shape.clone(), NANOSECONDS, move |stop| {
        with_dtype!(floats input.dtype(), T => {
            if input.layout().len() == 0 {
                return Ok(Tensor::filled::<T>(input.shape(), |_| ()));
            }
            let lines = Channels::of::<T>(&parameters, channels, options.epsilon);
            let source = input.rows_until::<T>(stop)?;
            if inner == 1 { across(&source, &lines, input.shape(), stop) } else { along(&source, &lines, inner, input.shape(), stop) }
        }, else check.refuse("no such dtype"))
    });
    Ok(plan.with_scratch(scratch).after_gathering(&view))
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

    /// That of one channel.
    fn line(&self, channel: usize) -> Line<R> {
        Line { mean: self.means[channel], factor: self.factors[channel], shift: self.shifts[channel] }
    }

    fn lines(&self) -> impl Iterator<Item = Line<R>> {
        let lines = self.means.iter().zip(&self.factors).zip(&self.shifts);
        lines.map(|((&mean, &factor), &shift)| Line { mean, factor, shift })
    }
}

/// Each element by the line of its channel, where those of all channels follow each other.
fn across<T: Float>(
    source: &[T],
    channels: &Channels<T::Real>,
    shape: &[usize],
    stop: &Stop<'_>,
) -> Result<Tensor, RunError> {
    let row = channels.means.len();
    Tensor::by_blocks(shape, (NEAR / row).max(1) * row, |start, to: Blank<'_, T>| {
        stop.worked(to.len())?;
        let to = to.filled(T::default());
        for (to, from) in to.chunks_exact_mut(row).zip(source[start..].chunks_exact(row)) {
            for ((to, from), line) in to.iter_mut().zip(from).zip(channels.lines()) {
                *to = T::from_real(line.at(from.to_real()));
            }
        }
        Ok(to)
    })
}

/// The same, where `inner` of one channel follow each other.
fn along<T: Float>(
    source: &[T],
    channels: &Channels<T::Real>,
    inner: usize,
    shape: &[usize],
    stop: &Stop<'_>,
) -> Result<Tensor, RunError> {
    Tensor::by_blocks(shape, (NEAR / inner).max(1) * inner, |start, to: Blank<'_, T>| {
        to.in_parts(inner, |index, to| {
            let row = start / inner + index;
            let line = channels.line(row % channels.means.len());
            write(&source[row * inner..], to, stop, move |x| line.at(x))
        })
    })
}
