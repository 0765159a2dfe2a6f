//! Checks what a caller passes to a model against what the model declares. No I/O, no engine.

use crate::{RunError, Tensor, TensorType};

/// Puts `inputs` into the order of `declared`.
///
/// # Errors
/// [`RunError::InvalidArgument`] when an input is unknown, missing, given twice, or of another type or shape; the
/// message names the input, what the model expects and what was given.
pub(crate) fn arrange(declared: &[TensorType], inputs: Vec<(String, Tensor)>) -> Result<Vec<Tensor>, RunError> {
    let mut slots: Vec<Option<Tensor>> = vec![None; declared.len()];
    for (name, tensor) in inputs {
        let Some(index) = declared.iter().position(|input| input.name == name) else {
            return Err(refuse(format!("the model has no input `{name}`; its inputs are {}", names(declared))));
        };
        let expected = &declared[index];
        if !expected.admits(&tensor) {
            return Err(refuse(format!("input `{name}` expects {expected}, given {tensor:?}")));
        }
        if slots[index].replace(tensor).is_some() {
            return Err(refuse(format!("input `{name}` is given twice; give it once")));
        }
    }
    let fill = |(slot, input): (Option<Tensor>, &TensorType)| {
        slot.ok_or_else(|| refuse(format!("input `{}` is missing; the model expects {input}", input.name)))
    };
    slots.into_iter().zip(declared).map(fill).collect()
}

fn refuse(message: String) -> RunError {
    RunError::InvalidArgument(message)
}

fn names(declared: &[TensorType]) -> String {
    declared.iter().map(|input| format!("`{}`", input.name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    fn declared() -> Vec<TensorType> {
        let input =
            |name: &str, dtype, shape: &[Option<usize>]| TensorType { name: name.into(), dtype, shape: shape.into() };
        vec![input("a", DType::Int32, &[None, Some(2)]), input("b", DType::Boolean, &[])]
    }

    fn a(shape: &[usize]) -> (String, Tensor) {
        let bytes = vec![7; 4 * shape.iter().product::<usize>()];
        ("a".into(), Tensor::from_bytes(DType::Int32, shape, &bytes).unwrap())
    }

    fn b() -> (String, Tensor) {
        ("b".into(), Tensor::from_bytes(DType::Boolean, &[], &[1]).unwrap())
    }

    fn message(inputs: Vec<(String, Tensor)>) -> String {
        arrange(&declared(), inputs).unwrap_err().to_string()
    }

    #[test]
    fn inputs_come_out_in_the_order_of_the_model() {
        let arranged = arrange(&declared(), vec![b(), a(&[5, 2])]).unwrap();
        assert_eq!(format!("{arranged:?}"), "[int32 [5, 2], boolean []]");
    }

    #[test]
    fn an_unknown_input_is_named_beside_those_that_exist() {
        let renamed = ("c".into(), b().1);
        assert_eq!(message(vec![renamed]), "the model has no input `c`; its inputs are `a`, `b`");
    }

    #[test]
    fn a_missing_input_is_named_with_its_type() {
        assert_eq!(message(vec![b()]), "input `a` is missing; the model expects int32 [?, 2]");
    }

    #[test]
    fn an_input_given_twice_is_named() {
        assert_eq!(message(vec![b(), a(&[1, 2]), b()]), "input `b` is given twice; give it once");
    }

    #[test]
    fn an_input_of_another_shape_rank_or_type_is_named_with_both() {
        assert_eq!(message(vec![a(&[1, 3]), b()]), "input `a` expects int32 [?, 2], given int32 [1, 3]");
        assert_eq!(message(vec![a(&[2]), b()]), "input `a` expects int32 [?, 2], given int32 [2]");
        assert_eq!(message(vec![("a".into(), b().1)]), "input `a` expects int32 [?, 2], given boolean []");
    }
}
