//! A model's first run, on inputs that nobody gave: what an engine cannot run at all should be found out at deployment.

use crate::element::{Element, with_dtype};
use crate::job::contain;
use crate::{LoadError, LoadedModel, RunError, Tensor, TensorType, byte_length};

/// What inputs are filled with. A model may rightly refuse one of them: whole numbers are divided by 0, and an axis of
/// length 1 has no element 1.
const FILLS: [f64; 2] = [0.0, 1.0];

/// Runs `model` until one run succeeds, asking `stop` between graph nodes, each run within `limit_bytes`.
///
/// A model is refused only if the engine says the same of every run: what depends on values or lengths differs between
/// them. What takes too long or too much memory here is for the limits of real runs to judge.
///
/// # Errors
/// [`LoadError::Unsupported`], with what the engine says.
pub(crate) fn run_once(model: &dyn LoadedModel, stop: &dyn Fn() -> bool, limit_bytes: u64) -> Result<(), LoadError> {
    let mut said: Option<String> = None;
    for shapes in model.trials() {
        for fill in FILLS {
            let Some(inputs) = inputs(model.inputs(), &shapes, fill, limit_bytes) else { return Ok(()) };
            let failure = match contain(|| model.run_within(inputs, stop, limit_bytes.into())) {
                Ok(Err(RunError::EngineFailed(text))) | Err(text) => text,
                Ok(Ok(_) | Err(_)) => return Ok(()),
            };
            if said.get_or_insert_with(|| failure.clone()) != &failure {
                return Ok(());
            }
        }
    }
    match said {
        None => Ok(()),
        Some(text) => {
            let text: String = text.chars().take(400).collect();
            Err(LoadError::Unsupported(format!("it loads, but no run of it succeeds: {text}")))
        }
    }
}

/// Inputs full of one number; none if they alone take more than `limit_bytes`.
fn inputs(types: &[TensorType], shapes: &[Vec<usize>], fill: f64, limit_bytes: u64) -> Option<Vec<Tensor>> {
    let sizes = types.iter().zip(shapes).map(|(of, shape)| byte_length(of.dtype, shape).ok());
    let total = sizes.sum::<Option<usize>>()?;
    (total as u64 <= limit_bytes).then_some(())?;
    let filled = types.iter().zip(shapes).map(|(of, shape)| {
        with_dtype!(of.dtype, T => Tensor::filled::<T>(shape, |target| target.fill(<T as Element>::from_f64(fill))))
    });
    Some(filled.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, TractEngine};
    use spillway_types::Specialization;

    fn try_out(file: &[u8]) -> Result<(), LoadError> {
        let model = TractEngine.load(file.to_vec(), &Specialization::default()).unwrap();
        run_once(model.as_ref(), &|| false, 1 << 30)
    }

    #[test]
    fn a_model_whose_every_run_fails_alike_is_refused_with_the_operator() {
        // tract plans the error function of doubles, and has none.
        for file in [
            include_bytes!("../tests/data/hostile/erf_double.onnx").as_slice(),
            include_bytes!("../tests/data/hostile/erf_double_free.onnx"),
        ] {
            match try_out(file) {
                Err(LoadError::Unsupported(text)) => assert!(text.contains("`Erf` (node `bell`)"), "{text}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_model_that_refuses_some_inputs_passes() {
        // Divides whole numbers by its input.
        assert_eq!(try_out(include_bytes!("../tests/data/hostile/divide.onnx")), Ok(()));
    }

    #[test]
    fn models_with_free_axes_pass() {
        for file in [
            include_bytes!("../tests/data/dense.onnx").as_slice(),
            include_bytes!("../tests/data/rows.onnx"),
            include_bytes!("../tests/data/pair.onnx"),
        ] {
            assert_eq!(try_out(file), Ok(()));
        }
    }

    #[test]
    fn a_model_whose_inputs_alone_are_too_large_is_not_tried() {
        let file = include_bytes!("../tests/data/hostile/erf_double.onnx");
        let model = TractEngine.load(file.to_vec(), &Specialization::default()).unwrap();
        assert_eq!(run_once(model.as_ref(), &|| false, 31), Ok(()));
        assert_eq!(run_once(model.as_ref(), &|| true, 1 << 30), Ok(()), "nor one that takes too long");
    }
}
