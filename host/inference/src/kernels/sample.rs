//! Values between elements: where to read, with which weights, and how a weighted sum becomes an element again.

use std::ops::{Add, Div, Mul, Sub};

use spillway_types::operator::InterpolationMode;
use tract_onnx::prelude::f16;

use crate::element::Element;

/// A float in which weighted sums are computed.
pub(super) trait Real:
    Copy + Default + PartialOrd + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    fn from_f64(x: f64) -> Self;
}

impl Real for f32 {
    #[inline]
    fn from_f64(x: f64) -> Self {
        x as Self
    }
}

impl Real for f64 {
    #[inline]
    fn from_f64(x: f64) -> Self {
        x
    }
}

/// An element that can be interpolated.
pub(super) trait Sample: Element {
    /// Holds every value of the type.
    type Real: Real;
    fn to_real(self) -> Self::Real;
    /// The nearest element; integers from halfway up, and saturating.
    fn from_real(x: Self::Real) -> Self;
}

macro_rules! samples {
    ($($T:ty, $Real:ty, $to:expr, $from:expr;)*) => {$(
        impl Sample for $T {
            type Real = $Real;
            #[inline(always)]
            fn to_real(self) -> $Real {
                ($to)(self)
            }
            #[inline(always)]
            fn from_real(x: $Real) -> Self {
                ($from)(x)
            }
        }
    )*};
}

samples! {
    f16, f32, f16::to_f32, f16::from_f32;
    f32, f32, |x| x, |x| x;
    f64, f64, |x| x, |x| x;
    i8, f32, f32::from, |x: f32| (x + 0.5).floor() as i8;
    i16, f32, f32::from, |x: f32| (x + 0.5).floor() as i16;
    i32, f64, f64::from, |x: f64| (x + 0.5).floor() as i32;
    i64, f64, |x| x as f64, |x: f64| (x + 0.5).floor() as i64;
    // Unsigned conversions cut off what is after the point and below 0 on their own.
    u8, f32, f32::from, |x: f32| (x + 0.5) as u8;
    u16, f32, f32::from, |x: f32| (x + 0.5) as u16;
    u32, f64, f64::from, |x: f64| (x + 0.5) as u32;
    u64, f64, |x| x as f64, |x: f64| (x + 0.5) as u64;
}

/// How many elements a value between them is made of, along one axis.
pub(super) fn tap_count(mode: InterpolationMode) -> usize {
    match mode {
        InterpolationMode::NearestNeighbor => 1,
        InterpolationMode::Linear => 2,
        InterpolationMode::Cubic => 4,
    }
}

/// The first of the `N` elements around `x`, and their weights.
///
/// One tap is the nearest element, from halfway down, as WebNN's `resample2d` has it; two are linear; four are Keys'
/// kernel with a = -0.75 (R. Keys, Cubic convolution interpolation for digital image processing, 1981), as in OpenCV.
#[inline(always)]
pub(super) fn taps<const N: usize>(x: f64) -> (i64, [f64; N]) {
    let mut weights = [1.0; N];
    if N == 1 {
        return ((x - 0.5).ceil() as i64, weights);
    }
    let base = x.floor();
    let t = x - base;
    if N == 2 {
        weights[0] = 1.0 - t;
        weights[1] = t;
        return (base as i64, weights);
    }
    const A: f64 = -0.75;
    let u = 1.0 - t;
    weights[0] = A * t * u * u;
    weights[1] = ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0;
    weights[2] = ((A + 2.0) * u - (A + 3.0)) * u * u + 1.0;
    weights[3] = A * u * t * t;
    (base as i64 - 1, weights)
}

/// `index` mirrored at the ends of `0..length`, without repeating them.
#[inline]
pub(super) fn reflect(index: i64, length: usize) -> usize {
    if length == 1 {
        return 0;
    }
    let last = length as i64 - 1;
    let folded = index.rem_euclid(2 * last);
    if folded <= last { folded as usize } else { (2 * last - folded) as usize }
}
