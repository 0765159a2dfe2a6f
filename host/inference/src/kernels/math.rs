//! Functions of `f32` without tables and branches, so that a loop over one becomes vector instructions.
//!
//! Each is there twice: `FUSED` adds products in one instruction, which a machine has to have
//! ([`fuses`](crate::vectors::fuses)); results of the two may differ in the last place. The errors are those that the tests
//! below allow, in units of the last place; WebNN's conformance tests allow more.

/// Above the greatest and below the least number whose exponential is finite and not 0.
const EXP_RANGE: (f32, f32) = (-105.0, 89.0);
/// The exponential of less is subnormal.
const LEAST_NORMAL: f32 = -87.336_54;
/// Added to a number of less than 2^22, leaves it rounded in the lowest bits.
const ROUNDER: f32 = 12_582_912.0;
/// ln 2 in two parts, of which the first has so few digits that a multiple is exact.
const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
/// The exponential of less, less 1, is -1 in `f32`.
const EXP_LESS_1_IS_MINUS_1: f32 = -20.0;
const TWO_TO_24: f32 = 16_777_216.0;
/// Of the root of a half.
const ROOT_OF_HALF_BITS: i32 = 0x3f35_04f3;
/// From here on the error function is 1 in `f32`.
const ERF_IS_1: f32 = 3.92;
/// From here on the hyperbolic tangent is 1 in `f32`.
const TANH_IS_1: f32 = 9.01;

/// The exponential.
#[inline(always)]
pub(super) fn exp<const FUSED: bool>(x: f32) -> f32 {
    // So written, NaN stays.
    let x = if x < EXP_RANGE.0 { EXP_RANGE.0 } else { x };
    let x = if x > EXP_RANGE.1 { EXP_RANGE.1 } else { x };
    let (more, power) = exp_in_parts::<FUSED>(x);
    let part = more + 1.0;
    // In two steps: one may be beyond what `f32` has, where the result is not.
    let half = power >> 1;
    part * power_of_2(half) * power_of_2(power.wrapping_sub(half))
}

/// The exponential of a number that is not above 0; what would be subnormal is 0.
#[inline(always)]
pub(super) fn exp_to_1<const FUSED: bool>(x: f32) -> f32 {
    let (more, power) = exp_in_parts::<FUSED>(x);
    if x < LEAST_NORMAL { 0.0 } else { (more + 1.0) * power_of_2(power) }
}

/// By how much a number near 1 is more, and the power of 2 that it takes to make the exponential of it: the polynomial is that of
/// the Cephes library's `expf`.
#[inline(always)]
fn exp_in_parts<const FUSED: bool>(x: f32) -> (f32, i32) {
    let rounded = add_product::<FUSED>(ROUNDER, x, std::f32::consts::LOG2_E);
    let power = (rounded.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32);
    let n = rounded - ROUNDER;
    let r = add_product::<FUSED>(add_product::<FUSED>(x, n, -LN_2.0), n, -LN_2.1);
    let coefficients = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    (add_product::<FUSED>(r, polynomial::<FUSED, _>(r, coefficients), r * r), power)
}

/// The exponential of a number that is not above 0, less 1: not what is left of two numbers near 1.
#[inline(always)]
fn exp_less_1<const FUSED: bool>(x: f32) -> f32 {
    // So written, NaN stays.
    let x = if x < EXP_LESS_1_IS_MINUS_1 { EXP_LESS_1_IS_MINUS_1 } else { x };
    let (more, power) = exp_in_parts::<FUSED>(x);
    let scale = power_of_2(power);
    add_product::<FUSED>(scale - 1.0, more, scale)
}

/// `x` where it is positive, else `alpha * (exp(x) - 1)`.
#[inline(always)]
pub(super) fn elu<const FUSED: bool>(x: f32, alpha: f32) -> f32 {
    let below = alpha * exp_less_1::<FUSED>(if x > 0.0 { 0.0 } else { x });
    if x > 0.0 { x } else { below }
}

/// `ln(1 + exp(x))`.
#[inline(always)]
pub(super) fn softplus<const FUSED: bool>(x: f32) -> f32 {
    // For large `x` the exponential would overflow, for small ones a sum with 1 would lose it.
    let power = exp::<FUSED>(-x.abs());
    let s = power / (2.0 + power);
    // So written, NaN stays.
    let above = if x < 0.0 { 0.0 } else { x };
    above + twice_artanh::<FUSED, _>(s, [1.0 / 15.0, 1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 0.2, 1.0 / 3.0])
}

/// `2 artanh(s)`, which is `ln((1 + s) / (1 - s))`, by as many terms of its series as there are coefficients, and the first.
#[inline(always)]
fn twice_artanh<const FUSED: bool, const N: usize>(s: f32, coefficients: [f32; N]) -> f32 {
    let square = s * s;
    let twice = s + s;
    add_product::<FUSED>(twice, twice * square, polynomial::<FUSED, _>(square, coefficients))
}

/// The natural logarithm.
#[inline(always)]
pub(super) fn log<const FUSED: bool>(x: f32) -> f32 {
    // What is subnormal is made normal first.
    let (normal, more) = if x < f32::MIN_POSITIVE { (x * TWO_TO_24, 24) } else { (x, 0) };
    // The power of 2 that leaves a number between the root of a half and that of 2.
    let bits = normal.to_bits() as i32;
    let power = bits.wrapping_sub(ROOT_OF_HALF_BITS) >> 23;
    let part = f32::from_bits(bits.wrapping_sub(power << 23) as u32);
    let power = (power - more) as f32;
    let near = twice_artanh::<FUSED, _>((part - 1.0) / (part + 1.0), [1.0 / 9.0, 1.0 / 7.0, 0.2, 1.0 / 3.0]);
    let sum = add_product::<FUSED>(add_product::<FUSED>(near, power, LN_2.1), power, LN_2.0);
    let of_positive = if x == f32::INFINITY { x } else { sum };
    let of_none = if x == 0.0 { f32::NEG_INFINITY } else { f32::NAN };
    if x > 0.0 { of_positive } else { of_none }
}

/// `sum + a * b`.
#[inline(always)]
fn add_product<const FUSED: bool>(sum: f32, a: f32, b: f32) -> f32 {
    if FUSED { a.mul_add(b, sum) } else { sum + a * b }
}

/// For -126 to 127.
#[inline(always)]
fn power_of_2(power: i32) -> f32 {
    f32::from_bits((power.wrapping_add(127) as u32) << 23)
}

#[inline(always)]
pub(super) fn sigmoid<const FUSED: bool>(x: f32) -> f32 {
    // Of numbers up to 0 the exponential is cheaper, and does not overflow.
    let power = exp_to_1::<FUSED>(-x.abs());
    let numerator = if x < 0.0 { power } else { 1.0 };
    numerator / (1.0 + power)
}

/// The hyperbolic tangent: a quotient of polynomials, as Eigen's `ptanh` has it.
#[inline(always)]
pub(super) fn tanh<const FUSED: bool>(x: f32) -> f32 {
    let odd =
        [-2.760_768_5e-16, 2.000_188e-13, -8.604_672e-11, 5.122_297e-8, 1.485_722_4e-5, 6.372_619_3e-4, 4.893_524_6e-3];
    let even = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3];
    let square = x * x;
    let quotient = x * polynomial::<FUSED, _>(square, odd) / polynomial::<FUSED, _>(square, even);
    if x.abs() >= TANH_IS_1 { x.signum() } else { within_1(quotient) }
}

/// The error function: a quotient of polynomials, as Eigen's `perf` has it.
#[inline(always)]
pub(super) fn erf<const FUSED: bool>(x: f32) -> f32 {
    let odd = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    let even = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2];
    let square = x * x;
    let quotient = x * polynomial::<FUSED, _>(square, odd) / polynomial::<FUSED, _>(square, even);
    if x.abs() >= ERF_IS_1 { x.signum() } else { within_1(quotient) }
}

/// Rounding may go beyond 1. NaN stays.
#[inline(always)]
fn within_1(x: f32) -> f32 {
    let x = if x > 1.0 { 1.0 } else { x };
    if x < -1.0 { -1.0 } else { x }
}

/// By Horner's rule, the highest power first.
#[inline(always)]
fn polynomial<const FUSED: bool, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for coefficient in &coefficients[1..] {
        sum = add_product::<FUSED>(*coefficient, sum, x);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `step`-th of the numbers between two, both included.
    fn sweep(from: f32, to: f32) -> impl Iterator<Item = f32> {
        (0..=200_000).map(move |index| from + (to - from) * (index as f32 / 200_000.0))
    }

    /// How far off the worst is, in units of the last place of what is right, and of `least` where that is smaller.
    fn worst(
        numbers: impl Iterator<Item = f32>,
        least: f32,
        ours: fn(f32) -> f32,
        right: fn(f64) -> f64,
    ) -> (f64, f32) {
        let unit = |y: f32| f64::from(y.abs().max(least)) * f64::from(f32::EPSILON) / 2.0;
        numbers
            .map(|x| {
                let y = right(f64::from(x));
                ((f64::from(ours(x)) - y).abs() / unit(y as f32), x)
            })
            .fold((0.0, 0.0), |worst, next| if next.0 > worst.0 { next } else { worst })
    }

    fn near<const FUSED: bool>() {
        let cases = [
            ("exp", worst(sweep(-87.0, 88.7), 0.0, exp::<FUSED>, f64::exp), 4.0),
            ("exp_to_1", worst(sweep(-87.3, 0.0), 0.0, exp_to_1::<FUSED>, f64::exp), 4.0),
            ("sigmoid", worst(sweep(-80.0, 30.0), 0.0, sigmoid::<FUSED>, |x| 1.0 / (1.0 + (-x).exp())), 6.0),
            ("tanh", worst(sweep(-12.0, 12.0), 1e-3, tanh::<FUSED>, f64::tanh), 12.0),
            ("log", worst(sweep(1e-3, 3.0), 1e-3, log::<FUSED>, f64::ln), 4.0),
            ("log", worst(sweep(0.99, 1.01), 0.0, log::<FUSED>, f64::ln), 4.0),
            ("log", worst(sweep(1.0, 1e38), 0.0, log::<FUSED>, f64::ln), 4.0),
            ("log", worst(sweep(1e-44, 1e-36), 0.0, log::<FUSED>, f64::ln), 4.0),
            (
                "elu",
                worst(sweep(-30.0, 5.0), 0.0, |x| elu::<FUSED>(x, 1.0), |x| if x > 0.0 { x } else { x.exp_m1() }),
                6.0,
            ),
            ("elu", worst(sweep(-1e-3, 0.0), 0.0, |x| elu::<FUSED>(x, 1.0), f64::exp_m1), 6.0),
            ("softplus", worst(sweep(-80.0, 30.0), 0.0, softplus::<FUSED>, |x| x.exp().ln_1p()), 8.0),
            ("erf", worst(sweep(-6.0, 6.0), 1e-3, erf::<FUSED>, libm::erf), 12.0),
        ];
        for (name, (off, at), allowed) in cases {
            assert!(off <= allowed, "{name}({at}) is {off} units off, fused: {FUSED}");
        }
    }

    #[test]
    fn they_are_near_those_of_libm() {
        near::<false>();
        near::<true>();
    }

    fn edges<const FUSED: bool>() {
        let exponentials = [f32::INFINITY, f32::NEG_INFINITY, 0.0, 89.0].map(exp::<FUSED>);
        assert_eq!(exponentials, [f32::INFINITY, 0.0, 1.0, f32::INFINITY]);
        assert!(exp::<FUSED>(-100.0) > 0.0 && exp::<FUSED>(-104.0) < 1e-44, "subnormal numbers are there");
        assert_eq!([f32::NEG_INFINITY, -1e30, -88.0, 0.0].map(exp_to_1::<FUSED>), [0.0, 0.0, 0.0, 1.0]);
        assert!(exp_to_1::<FUSED>(LEAST_NORMAL) >= f32::MIN_POSITIVE);
        for function in [tanh::<FUSED>, erf::<FUSED>] {
            assert_eq!((function(f32::INFINITY), function(f32::NEG_INFINITY), function(1e30)), (1.0, -1.0, 1.0));
            assert_eq!((function(0.0).to_bits(), function(-0.0).to_bits()), (0, (-0.0_f32).to_bits()));
            assert!(sweep(-10.0, 10.0).all(|x| function(x).abs() <= 1.0));
        }
        let logarithms = [0.0, -0.0, 1.0, f32::INFINITY].map(log::<FUSED>);
        assert_eq!(logarithms, [f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0, f32::INFINITY]);
        assert!([-1.0, f32::NEG_INFINITY, -1e-45].iter().all(|x| log::<FUSED>(*x).is_nan()));
        let elus = [f32::INFINITY, f32::NEG_INFINITY, -1e30, 0.0, 2.5].map(|x| elu::<FUSED>(x, 0.5));
        assert_eq!(elus, [f32::INFINITY, -0.5, -0.5, 0.0, 2.5]);
        let softened = [f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30].map(softplus::<FUSED>);
        assert_eq!(softened, [f32::INFINITY, 0.0, 1e30, 0.0]);
        assert_eq!((sigmoid::<FUSED>(f32::INFINITY), sigmoid::<FUSED>(f32::NEG_INFINITY)), (1.0, 0.0));
        let elu: fn(f32) -> f32 = |x| elu::<FUSED>(x, 1.0);
        let bounded = [exp::<FUSED>, exp_to_1::<FUSED>, sigmoid::<FUSED>, tanh::<FUSED>, erf::<FUSED>];
        let all: Vec<fn(f32) -> f32> = bounded.into_iter().chain([log::<FUSED>, softplus::<FUSED>, elu]).collect();
        // With the bits of what a NaN may say, too.
        assert!([f32::NAN, f32::from_bits(0x7fc0_0001)].iter().all(|&nan| all.iter().all(|of| of(nan).is_nan())));
    }

    #[test]
    fn the_edges_are_as_ieee_754_has_them() {
        edges::<false>();
        edges::<true>();
    }
}
