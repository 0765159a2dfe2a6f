//! What operators take for themselves while they run, beside their results, where it can be more than these: tract does not
//! tell. Read off its source, 0.23.9.

use tract_onnx::prelude::{SymbolValues, TypedFact};

/// Bytes of `operator`, in tract's name, with inputs and results of these shapes. `None` for what is not known.
pub(super) fn bytes(
    operator: &str,
    inputs: &[&TypedFact],
    results: &[&TypedFact],
    symbols: &SymbolValues,
) -> Option<u64> {
    match operator {
        "Resize" => {
            let (from, to) = (shape(inputs.first()?, symbols)?, shape(results.first()?, symbols)?);
            Some(resize_bytes(&from, &to))
        }
        _ => Some(0),
    }
}

fn shape(fact: &TypedFact, symbols: &SymbolValues) -> Option<Vec<u64>> {
    fact.shape.iter().map(|axis| u64::try_from(axis.eval(symbols).as_i64()?).ok()).collect()
}

/// `Resize` works on a copy in `float32`, one axis after the other: what lies between may be larger than the result. And
/// for each axis it has a table of taps, of as many as a cubic filter has for the longer of both lengths.
fn resize_bytes(from: &[u64], to: &[u64]) -> u64 {
    const ELEMENT: u64 = size_of::<f32>() as u64;
    const TAPS: u64 = 4 * (size_of::<usize>() + size_of::<f32>()) as u64 + 1;
    let mut shape = from.to_vec();
    let elements = |shape: &[u64]| shape.iter().fold(1_u64, |elements, axis| elements.saturating_mul(*axis));
    let mut most = elements(&shape).saturating_mul(2 * ELEMENT);
    for (axis, (length_in, length_out)) in from.iter().zip(to).enumerate() {
        let before = elements(&shape);
        shape[axis] = *length_out;
        let rows = before.saturating_add(elements(&shape)).saturating_mul(ELEMENT);
        most = most.max(rows.saturating_add(length_in.saturating_add(*length_out).saturating_mul(TAPS)));
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_that_grows_before_another_shrinks_is_counted() {
        assert!(resize_bytes(&[1, 1000], &[1_000_000, 1]) >= 4_000_000_000);
        assert_eq!(resize_bytes(&[u64::MAX, 2], &[2, u64::MAX]), u64::MAX);
    }

    #[test]
    fn the_table_of_an_axis_is_counted_though_the_result_is_empty() {
        assert!(resize_bytes(&[1, 1, 8, 8], &[0, 1, 8_000_000, 8_000_000]) >= 200_000_000);
    }

    #[test]
    fn a_usual_picture_takes_little() {
        let picture = 3 * 640 * 640 * 4;
        assert!(resize_bytes(&[1, 3, 320, 320], &[1, 3, 640, 640]) < 2 * picture);
    }
}
