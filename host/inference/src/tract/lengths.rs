//! Numbers that tract would cut to 32 bits.
//!
//! Where it makes a length of a number it does so by way of `int32` (`Tensor::cast_to` to `TDim`, tract-data 0.23.9): a
//! shape of 2^33 elements becomes one of none, without a word. A result that is wrong in silence is worse than none.

use tract_onnx::prelude::{DatumType, Tensor, TractError, TractResult};

/// Which input of an operator, by tract's name, says how long its result is.
pub(super) fn input_of(operator: &str) -> Option<usize> {
    Some(match operator {
        "ConstantOfShape" => 0,
        "MultiBroadcastTo" | "Reshape" | "Tile" | "Pad" => 1,
        "Resize" => 3,
        _ => return None,
    })
}

/// Refuses numbers that would not be the same lengths.
///
/// # Errors
/// With the first such number.
pub(super) fn check(numbers: &Tensor) -> TractResult<()> {
    if numbers.datum_type() != DatumType::I64 {
        return Ok(());
    }
    let Some(plain) = numbers.as_plain_ram() else { return Ok(()) };
    match plain.as_slice::<i64>()?.iter().find(|number| i32::try_from(**number).is_err()) {
        None => Ok(()),
        Some(number) => Err(TractError::msg(format!("tract would cut the length {number} to 32 bits"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::prelude::tensor1;

    #[test]
    fn numbers_that_fit_32_bits_are_lengths_and_others_are_refused() {
        assert!(check(&tensor1(&[0_i64, -1, i64::from(i32::MAX)])).is_ok());
        assert!(check(&tensor1(&[f32::MAX])).is_ok(), "no whole numbers at all");
        for number in [1 << 31, 1 << 33, i64::MAX, i64::MIN] {
            let refused = check(&tensor1(&[1, number])).unwrap_err().to_string();
            assert!(refused.contains(&number.to_string()), "{refused}");
        }
    }
}
