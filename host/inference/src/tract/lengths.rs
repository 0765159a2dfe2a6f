//! Numbers that tract would cut to 32 bits.
//!
//! Where it makes a length of a number it does so by way of `int32` (`Tensor::cast_to` to `TDim`, tract-data 0.23.9): a
//! shape of 2^33 elements becomes one of none, without a word. And it takes every `Cast` of ONNX to `int64` for one to a
//! length. A result that is wrong in silence is worse than none.

use tract_onnx::prelude::{Datum, DatumType, Tensor, TractError, TractResult, f16};

/// What tract calls ONNX's `Cast`.
pub(super) const CAST: &str = "onnx.Cast";

/// Which input of an operator, by tract's name, says how long its result is.
pub(super) fn input_of(operator: &str) -> Option<usize> {
    Some(match operator {
        "ConstantOfShape" => 0,
        "MultiBroadcastTo" | "Reshape" | "Tile" | "Pad" => 1,
        "Resize" => 3,
        _ => return None,
    })
}

/// Refuses numbers that would not be the same as lengths.
///
/// # Errors
/// With the first such number.
pub(super) fn check(numbers: &Tensor) -> TractResult<()> {
    let first_beyond = match numbers.datum_type() {
        DatumType::I64 => find::<i64>(numbers, |number| number as f64),
        DatumType::U64 => find::<u64>(numbers, |number| number as f64),
        DatumType::U32 => find::<u32>(numbers, f64::from),
        DatumType::F64 => find::<f64>(numbers, |number| number),
        DatumType::F32 => find::<f32>(numbers, f64::from),
        DatumType::F16 => find::<f16>(numbers, f64::from),
        // Narrower, lengths already, or no numbers.
        _ => None,
    };
    match first_beyond {
        None => Ok(()),
        Some(number) => Err(TractError::msg(format!("tract would cut the number {number} to 32 bits"))),
    }
}

fn find<T: Datum + Copy>(numbers: &Tensor, widen: impl Fn(T) -> f64) -> Option<f64> {
    let plain = numbers.as_plain_ram()?;
    let mut numbers = plain.as_slice::<T>().ok()?.iter().map(|number| widen(*number).trunc());
    numbers.find(|number| *number < f64::from(i32::MIN) || *number > f64::from(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::prelude::tensor1;

    #[test]
    fn numbers_that_fit_32_bits_are_lengths_and_others_are_refused() {
        let fitting = [
            tensor1(&[0_i64, i64::from(i32::MIN), i64::from(i32::MAX)]),
            tensor1(&[f32::NAN, -1.5]),
            tensor1(&[2_147_483_647.9_f64]),
            tensor1(&[i32::MAX as u32]),
        ];
        for numbers in fitting {
            assert!(check(&numbers).is_ok(), "{numbers:?}");
        }
        for (numbers, first) in [
            (tensor1(&[1_i64, 1 << 33]), "8589934592"),
            (tensor1(&[i64::from(i32::MIN) - 1]), "-2147483649"),
            (tensor1(&[u32::MAX]), "4294967295"),
            (tensor1(&[u64::MAX]), "18446744073709552000"),
            (tensor1(&[3e9_f32]), "3000000000"),
            (tensor1(&[f64::INFINITY]), "inf"),
        ] {
            let refused = check(&numbers).unwrap_err().to_string();
            assert_eq!(refused, format!("tract would cut the number {first} to 32 bits"));
        }
    }
}
