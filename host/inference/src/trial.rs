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
            let failure = match contain(|| model.run_within(inputs, stop, limit_bytes)) {
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
