//! `exp`, `sigmoid` and `gelu` of sixteen numbers.

use std::f64::consts::{PI, SQRT_2};
use std::sync::LazyLock;

use pulp::x86::V4;
use pulp::{cast, f32x16};

use super::loops::{Function, Lanes};

/// Below it, the exponential is 0 in `f32`; above the other, infinite.
const EXP_RANGE: (f32, f32) = (-106.0, 90.0);
/// From here on the sigmoid is 1 in `f32`.
const SIGMOID_IS_1: f32 = 20.0;
/// Added to a number of less than 2^22, leaves it rounded in the lowest bits.
const ROUNDER: f32 = 12_582_912.0;
/// By how much ln 2 is less than it is in `f32`.
const LN_2_REST: f32 = -1.904_654_3e-9;
/// The exponential between -ln 2 / 2 and ln 2 / 2, the highest power first: least squares of the relative error, weighted
/// until the greatest was least, 9e-8.
const EXP: [f32; 6] = [0.008_290_272, 0.041_898_16, 0.166_676_39, 0.499_991_48, 0.999_999_7, 1.0];

#[derive(Clone, Copy)]
pub(super) struct Exp;

impl Function for Exp {
    #[inline(always)]
    fn of(self, machine: V4, x: Lanes) -> Lanes {
        let avx = machine.avx512f;
        // NaN stays, as the second of two.
        let x = avx._mm512_max_ps(avx._mm512_set1_ps(EXP_RANGE.0), x);
        exp_within::<true>(machine, avx._mm512_min_ps(avx._mm512_set1_ps(EXP_RANGE.1), x))
    }
}

/// The exponential of numbers not above 0, which -inf may be. Of others that are too great for `f32` it is infinite, or NaN.
#[inline(always)]
pub(super) fn exp_to_1(machine: V4, x: Lanes) -> Lanes {
    let avx = machine.avx512f;
    exp_within::<false>(machine, avx._mm512_max_ps(avx._mm512_set1_ps(EXP_RANGE.0), x))
}

/// The exponential within [`EXP_RANGE`], rounded once where it is subnormal. What is not `PRECISE` is two more units of the last
/// place off at the ends of the range, and less nearer to 0.
#[inline(always)]
fn exp_within<const PRECISE: bool>(machine: V4, x: Lanes) -> Lanes {
    let avx = machine.avx512f;
    let power = nearest(machine, avx._mm512_set1_ps(std::f32::consts::LOG2_E), x);
    let mut r = avx._mm512_fnmadd_ps(power, avx._mm512_set1_ps(std::f32::consts::LN_2), x);
    if PRECISE {
        r = avx._mm512_fnmadd_ps(power, avx._mm512_set1_ps(LN_2_REST), r);
    }
    let mut sum = avx._mm512_set1_ps(EXP[0]);
    let mut index = 1;
    while index < EXP.len() {
        sum = avx._mm512_fmadd_ps(sum, r, avx._mm512_set1_ps(EXP[index]));
        index += 1;
    }
    avx._mm512_scalef_ps(sum, power)
}

/// `a * b`, rounded to an even number where it is halfway.
#[inline(always)]
fn nearest(machine: V4, a: Lanes, b: Lanes) -> Lanes {
    machine.avx512f._mm512_roundscale_ps::<0b1000>(machine.avx512f._mm512_mul_ps(a, b))
}

#[derive(Clone, Copy)]
pub(super) struct Sigmoid;

impl Function for Sigmoid {
    #[inline(always)]
    fn of(self, machine: V4, x: Lanes) -> Lanes {
        let avx = machine.avx512f;
        // NaN stays, as the second of two.
        let x = avx._mm512_max_ps(avx._mm512_set1_ps(EXP_RANGE.0), x);
        let x = avx._mm512_min_ps(avx._mm512_set1_ps(SIGMOID_IS_1), x);
        // The exponential is a power of 2 times that of what is near 0, and this is Padé's quotient (d + n) / (d - n), 6e-9 off,
        // so that one division serves both: 2^power (d + n) / (d - n + 2^power (d + n)).
        let power = nearest(machine, avx._mm512_set1_ps(std::f32::consts::LOG2_E), x);
        let r = avx._mm512_fnmadd_ps(power, avx._mm512_set1_ps(std::f32::consts::LN_2), x);
        let square = avx._mm512_mul_ps(r, r);
        let even = avx._mm512_fmadd_ps(square, avx._mm512_set1_ps(12.0), avx._mm512_set1_ps(120.0));
        let odd = avx._mm512_mul_ps(r, avx._mm512_add_ps(square, avx._mm512_set1_ps(60.0)));
        let above = avx._mm512_scalef_ps(avx._mm512_add_ps(even, odd), power);
        avx._mm512_div_ps(above, avx._mm512_add_ps(avx._mm512_sub_ps(even, odd), above))
    }
}

/// Parts into which the upper tail of the normal distribution is cut for each 1, and how many there are. From the middle of
/// the last on, at 5.8, it is taken as 0.
const PARTS: (f32, usize) = (2.5, 16);
/// Of the polynomial for each part: off by no more than 2e-7 of the tail up to 3, and by 1e-5 of it beyond.
const DEGREE: usize = 5;

/// `max(x, 0) - |x| Q(|x|)`, Q being the upper tail of the normal distribution: so written, small results for numbers below
/// 0 are not what two greater ones leave.
#[derive(Clone, Copy)]
pub(super) struct Gelu {
    /// The coefficients for each part, the highest power first.
    tables: [f32x16; DEGREE + 1],
}

impl Gelu {
    pub(super) fn new() -> Self {
        static TABLES: LazyLock<[[f32; PARTS.1]; DEGREE + 1]> = LazyLock::new(tail);
        Self { tables: TABLES.map(cast) }
    }
}

impl Function for Gelu {
    #[inline(always)]
    fn of(self, machine: V4, x: Lanes) -> Lanes {
        let avx = machine.avx512f;
        let (rounder, parts) = (avx._mm512_set1_ps(ROUNDER), avx._mm512_set1_ps(PARTS.0));
        let end = avx._mm512_set1_ps((PARTS.1 - 1) as f32 / PARTS.0);
        // The lesser of what both are without their signs; NaN is not, but stays in what it is taken from below.
        let size = machine.avx512dq._mm512_range_ps::<0b1010>(x, end);
        let rounded = avx._mm512_fmadd_ps(size, parts, rounder);
        let place = avx._mm512_fmsub_ps(size, parts, avx._mm512_sub_ps(rounded, rounder));
        // The lowest bits say which part it is.
        let part = avx._mm512_castps_si512(rounded);
        let mut tail = avx._mm512_permutexvar_ps(part, cast(self.tables[0]));
        let mut index = 1;
        while index < self.tables.len() {
            tail = avx._mm512_fmadd_ps(tail, place, avx._mm512_permutexvar_ps(part, cast(self.tables[index])));
            index += 1;
        }
        avx._mm512_fnmadd_ps(size, tail, avx._mm512_max_ps(avx._mm512_set1_ps(0.0), x))
    }
}

/// For each part the polynomial through as many points of the tail, at Chebyshev's places from -0.5 to 0.5.
fn tail() -> [[f32; PARTS.1]; DEGREE + 1] {
    let places: [f64; DEGREE + 1] =
        std::array::from_fn(|index| 0.5 * (PI * (index as f64 + 0.5) / (DEGREE + 1) as f64).cos());
    let mut tables = [[0.0; PARTS.1]; DEGREE + 1];
    for part in 0..PARTS.1 - 1 {
        let at = |place: f64| 0.5 * libm::erfc((part as f64 + place) / f64::from(PARTS.0) / SQRT_2);
        // Newton's divided differences, and from them powers.
        let mut differences = places.map(at);
        for step in 1..=DEGREE {
            for index in (step..=DEGREE).rev() {
                let width = places[index] - places[index - step];
                differences[index] = (differences[index] - differences[index - 1]) / width;
            }
        }
        let mut powers = [0.0; DEGREE + 1];
        for index in (0..=DEGREE).rev() {
            for power in (0..DEGREE).rev() {
                powers[power + 1] = powers[power] - places[index] * powers[power + 1];
            }
            powers[0] = differences[index] - places[index] * powers[0];
        }
        powers.iter().rev().zip(&mut tables).for_each(|(power, table)| table[part] = *power as f32);
    }
    tables
}
