//! What AVX-512 computes of sixteen `f32` at once by instructions that no loop over one number becomes: a number times a power
//! of 2, and a look into a table of sixteen. Elsewhere the functions of [`math`](super::math) do.

use spillway_types::operator::UnaryOperator;

use crate::blank::Blank;

/// An operator that is computed so on this machine.
#[derive(Clone, Copy)]
pub(crate) struct Wide {
    #[cfg(target_arch = "x86_64")]
    machine: pulp::x86::V4,
    function: WideFunction,
}

#[derive(Clone, Copy)]
enum WideFunction {
    Exp,
    Gelu,
    Sigmoid,
}

#[cfg(not(target_arch = "x86_64"))]
impl Wide {
    pub(crate) fn of(_: UnaryOperator) -> Option<Self> {
        None
    }

    pub(crate) fn each<'b>(self, _: &[f32], _: Blank<'b, f32>) -> &'b mut [f32] {
        unreachable!("nobody is given one")
    }

    pub(crate) fn in_place(self, _: &mut [f32]) {
        unreachable!("nobody is given one")
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::{FETCH, exp_to_1, lanes};

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::__m512;
    use std::f64::consts::{PI, SQRT_2};
    use std::sync::LazyLock;

    use pulp::x86::V4;
    use pulp::{Arch, NullaryFnOnce, Simd, cast, f32x16};

    use super::{Blank, UnaryOperator, Wide, WideFunction};

    /// Below it, the exponential is 0 in `f32`; above the other, infinite.
    const EXP_RANGE: (f32, f32) = (-106.0, 90.0);
    /// From here on the sigmoid is 1 in `f32`.
    const SIGMOID_IS_1: f32 = 20.0;
    /// Added to a number of less than 2^22, leaves it rounded in the lowest bits.
    const ROUNDER: f32 = 12_582_912.0;
    /// By how much ln 2 is less than it is in `f32`.
    const LN_2_REST: f32 = -1.904_654_3e-9;
    /// To the nearest cache: `_MM_HINT_T0`.
    pub(in super::super) const FETCH: i32 = 3;
    /// Vectors that are fetched before they are needed: 2 KiB. Of its own the machine fetches no further than to a page's end.
    const AHEAD: usize = 32;
    /// The exponential between -ln 2 / 2 and ln 2 / 2, the highest power first: least squares of the relative error, weighted
    /// until the greatest was least, 9e-8.
    const EXP: [f32; 6] = [0.008_290_272, 0.041_898_16, 0.166_676_39, 0.499_991_48, 0.999_999_7, 1.0];

    type Lanes = __m512;

    impl Wide {
        pub(crate) fn of(operator: UnaryOperator) -> Option<Self> {
            let Arch::V4(machine) = Arch::new() else { return None };
            let function = match operator {
                UnaryOperator::Exp => WideFunction::Exp,
                UnaryOperator::Gelu => WideFunction::Gelu,
                UnaryOperator::Sigmoid => WideFunction::Sigmoid,
                _ => return None,
            };
            Some(Self { machine, function })
        }

        /// Of each number in `from`, into new ones, of which there are as many.
        pub(crate) fn each<'b>(self, from: &[f32], to: Blank<'b, f32>) -> &'b mut [f32] {
            let Self { machine, function } = self;
            match function {
                WideFunction::Exp => machine.vectorize(Each { machine, from, to, f: Exp }),
                WideFunction::Gelu => machine.vectorize(Each { machine, from, to, f: Gelu::new() }),
                WideFunction::Sigmoid => machine.vectorize(Each { machine, from, to, f: Sigmoid }),
            }
        }

        /// Of each number, in its place.
        pub(crate) fn in_place(self, of: &mut [f32]) {
            let Self { machine, function } = self;
            match function {
                WideFunction::Exp => machine.vectorize(InPlace { machine, of, f: Exp }),
                WideFunction::Gelu => machine.vectorize(InPlace { machine, of, f: Gelu::new() }),
                WideFunction::Sigmoid => machine.vectorize(InPlace { machine, of, f: Sigmoid }),
            }
        }
    }

    trait Function: Copy {
        fn of(self, machine: V4, x: Lanes) -> Lanes;
    }

    struct Each<'a, 'b, F> {
        machine: V4,
        from: &'a [f32],
        to: Blank<'b, f32>,
        f: F,
    }

    impl<'b, F: Function> NullaryFnOnce for Each<'_, 'b, F> {
        type Output = &'b mut [f32];

        #[inline(always)]
        fn call(self) -> &'b mut [f32] {
            let (machine, to) = (self.machine, self.to.into_places());
            let (from, rest) = V4::as_simd_f32s(&self.from[..to.len()]);
            let (vectors, places) = V4::as_uninit_mut_simd_f32s(to);
            let mut index = 0;
            while index < vectors.len() {
                machine.sse._mm_prefetch::<FETCH>(from.as_ptr().wrapping_add(index + AHEAD).cast());
                vectors[index].write(cast(self.f.of(machine, cast(from[index]))));
                index += 1;
            }
            if !rest.is_empty() {
                let last: [f32; 16] = cast(self.f.of(machine, lanes(machine, rest, 0.0)));
                let mut index = 0;
                while index < places.len() {
                    places[index].write(last[index]);
                    index += 1;
                }
            }
            #[allow(unsafe_code, reason = "the standard library has no safe way")]
            // SAFETY: the loops have written each.
            unsafe {
                to.assume_init_mut()
            }
        }
    }

    struct InPlace<'a, F> {
        machine: V4,
        of: &'a mut [f32],
        f: F,
    }

    impl<F: Function> NullaryFnOnce for InPlace<'_, F> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let (machine, f) = (self.machine, self.f);
            let (vectors, rest) = V4::as_mut_simd_f32s(self.of);
            let mut index = 0;
            while index < vectors.len() {
                vectors[index] = cast(f.of(machine, cast(vectors[index])));
                index += 1;
            }
            if !rest.is_empty() {
                let last: [f32; 16] = cast(f.of(machine, lanes(machine, rest, 0.0)));
                rest.copy_from_slice(&last[..rest.len()]);
            }
        }
    }

    /// At most sixteen numbers, and `others` beside them.
    #[inline(always)]
    pub(in super::super) fn lanes(machine: V4, numbers: &[f32], others: f32) -> Lanes {
        let mut all: [f32; 16] = cast(machine.splat_f32s(others));
        let mut index = 0;
        while index < numbers.len() {
            all[index] = numbers[index];
            index += 1;
        }
        cast(all)
    }

    #[derive(Clone, Copy)]
    struct Exp;

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
    pub(in super::super) fn exp_to_1(machine: V4, x: Lanes) -> Lanes {
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
    struct Sigmoid;

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
    struct Gelu {
        /// The coefficients for each part, the highest power first.
        tables: [f32x16; DEGREE + 1],
    }

    impl Gelu {
        fn new() -> Self {
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
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;

    use super::*;

    /// The right function, from where to where, and how many units of the last place are allowed.
    type Case = (UnaryOperator, fn(f64) -> f64, (f32, f32), f64);

    /// By both ways; `None` on machines that compute otherwise.
    fn of(operator: UnaryOperator, numbers: &[f32]) -> Option<Vec<f32>> {
        let wide = Wide::of(operator)?;
        let mut places = vec![MaybeUninit::uninit(); numbers.len()];
        let each = wide.each(numbers, Blank::of(&mut places)).to_vec();
        let mut in_place = numbers.to_vec();
        wide.in_place(&mut in_place);
        assert_eq!(
            each.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            in_place.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        );
        Some(each)
    }

    #[test]
    fn they_are_near_those_of_libm() {
        let gelu = |x: f64| 0.5 * x * libm::erfc(-x / std::f64::consts::SQRT_2);
        let cases: [Case; 6] = [
            (UnaryOperator::Exp, f64::exp, (-87.0, 88.7), 4.0),
            (UnaryOperator::Sigmoid, |x| 1.0 / (1.0 + (-x).exp()), (-60.0, 30.0), 6.0),
            (UnaryOperator::Sigmoid, |x| 1.0 / (1.0 + (-x).exp()), (-87.0, -60.0), 7.0),
            (UnaryOperator::Gelu, gelu, (-1.0, 100.0), 4.0),
            (UnaryOperator::Gelu, gelu, (-3.0, -1.0), 8.0),
            // Where results are small, and those of an error function are right to no more than 6e-8.
            (UnaryOperator::Gelu, gelu, (-5.5, -3.0), 2000.0),
        ];
        for (operator, right, (from, to), allowed) in cases {
            // Not a multiple of sixteen.
            let numbers: Vec<f32> =
                (0..=200_000).map(|index| from + (to - from) * (index as f32 / 200_000.0)).collect();
            let Some(ours) = of(operator, &numbers) else { return };
            for (x, ours) in numbers.iter().zip(ours) {
                let right = right(f64::from(*x));
                let off = (f64::from(ours) - right).abs() / (right.abs() * f64::from(f32::EPSILON) / 2.0);
                assert!(
                    off <= allowed || ours == 0.0 && right == 0.0,
                    "{operator:?}({x}) = {ours} is {off} units off {right}"
                );
            }
        }
    }

    #[test]
    fn the_edges_are_as_ieee_754_has_them() {
        let numbers = [f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e30, -1e30, f32::NAN, 89.0, -100.0, -104.0];
        let Some(exp) = of(UnaryOperator::Exp, &numbers) else { return };
        assert_eq!(exp[..6], [f32::INFINITY, 0.0, 1.0, 1.0, f32::INFINITY, 0.0]);
        assert!(exp[6].is_nan() && exp[7] == f32::INFINITY && exp[8] > 0.0 && exp[9] < 1e-44, "{exp:?}");
        let sigmoid = of(UnaryOperator::Sigmoid, &numbers).expect("as the exponential");
        assert_eq!(sigmoid[..6], [1.0, 0.0, 0.5, 0.5, 1.0, 0.0]);
        assert!(sigmoid[6].is_nan());
        let gelu = of(UnaryOperator::Gelu, &numbers).expect("as the exponential");
        assert_eq!(gelu[..6], [f32::INFINITY, 0.0, 0.0, 0.0, 1e30, 0.0]);
        assert!(gelu[6].is_nan() && gelu[3].is_sign_negative(), "{gelu:?}");
    }
}
