//! What AVX-512 computes of sixteen `f32` at once by instructions that no loop over one number becomes: a number times a power
//! of 2, and a look into a table of sixteen. Elsewhere the functions of [`math`](super::math) do.

#[cfg(target_arch = "x86_64")]
mod functions;
#[cfg(target_arch = "x86_64")]
mod loops;
#[cfg(target_arch = "x86_64")]
mod softmax;

use spillway_types::operator::UnaryOperator;

use crate::blank::Blank;

#[cfg(target_arch = "x86_64")]
pub(super) use softmax::{powers, rows};
#[cfg(target_arch = "x86_64")]
use {
    functions::{Exp, Gelu, Sigmoid},
    loops::{Each, InPlace},
    pulp::Arch,
};

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
