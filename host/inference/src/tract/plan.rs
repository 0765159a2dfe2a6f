//! Execution plans: one for all shapes where tract can optimise with symbols, else one per shape, a few of them kept.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tract_onnx::prelude::{
    Datum, DatumType, InferenceModel, InferenceModelExt, TractError, TractResult, TypedModel, TypedRunnableModel,
    TypedSimplePlan,
};
use tract_onnx::tract_core::ops::{cast::cast, konst::Const};
use tract_onnx::tract_hir::internal::SpecialOps;

use super::analysis::analyse;
use super::axes::Axes;
use super::budget::Budget;
use super::explain;
use super::graph::DeclaredOutput;
use super::optimizer::optimise;
use super::tflite::Flat;
use crate::job::contain;
use crate::tensor::dtype_of;
use crate::{LoadError, RunError, TensorType};

/// How many shapes of one model keep their plans. Each holds its own packed weights, so more would cost more memory
/// than the time is worth: planning takes about as long as one to four runs (magika 10 ms, PP-OCR detection 114 ms).
const KEPT_SHAPES: usize = 4;

/// What free axes are tried as when a model loads, as (first axis, others): the usual single item; images, which nets
/// halve five or six times; and an even number for models that split their first axis.
pub(super) const TRIALS: [(usize, usize); 3] = [(1, 1), (1, 320), (64, 64)];

/// How long a plan for a new shape may take, beside ten times as long as the first plan did. It is made though its caller
/// may have gone meanwhile, because others come with that shape.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much larger than the weights in the file what a plan computes of them may be, as for a check: decoding those of
/// four bits makes eight times as many bytes.
const DECODED: u64 = 8;

pub(super) type Plan = Arc<TypedRunnableModel>;

/// The plans of one model.
pub(super) enum Plans {
    /// Fits every shape that the model admits.
    One(Plan),
    /// Of the real models at hand most are so: tract does not follow `Shape` into `Reshape` and `Expand` by symbols.
    PerShape {
        /// Shares its weights with nothing but itself: plans pack their own.
        source: Source,
        /// By lengths of the free axes, the most recently used last.
        recent: Mutex<Vec<(Vec<usize>, Plan)>>,
        /// Held while planning, so that callers with one new shape make one plan.
        planning: Mutex<()>,
        /// How long that may take.
        patience: Duration,
    },
}

impl Plans {
    /// Plans `model`, and says what its outputs are.
    pub(super) fn prepare(
        source: Source,
        axes: &Axes,
        outputs: Vec<DeclaredOutput>,
    ) -> Result<(Self, Vec<TensorType>), LoadError> {
        let general_error = match source.plan(axes, &Budget::default()) {
            Ok(plan) => {
                let outputs = types_of(&plan, outputs, false)?;
                return Ok((Self::One(plan), outputs));
            }
            Err(error) => error,
        };
        if axes.are_fixed() {
            return Err(LoadError::Unsupported(format!("tract cannot plan the graph ({})", explain(&general_error))));
        }
        let mut last_error = general_error;
        for (batch, other) in TRIALS {
            let lengths = axes.guess(batch, other);
            let started = Instant::now();
            match source.plan_for(axes, &lengths, &Budget::default()) {
                Ok(plan) => {
                    let patience = PATIENCE + 10 * started.elapsed();
                    let outputs = types_of(&plan, outputs, true)?;
                    let recent = Mutex::new(vec![(lengths, plan)]);
                    return Ok((Self::PerShape { source, recent, planning: Mutex::default(), patience }, outputs));
                }
                Err(error) => last_error = error,
            }
        }
        Err(LoadError::Unsupported(format!(
            "tract cannot plan the graph for any length of its free axes that was tried; export the model with fixed \
             shapes ({})",
            explain(&last_error)
        )))
    }

    /// The plan for inputs whose free axes have `lengths`; made now if no recent run had them, of results that take
    /// `limit_bytes` at most.
    pub(super) fn find_or_make(&self, axes: &Axes, lengths: &[usize], limit_bytes: u64) -> Result<Plan, RunError> {
        let (source, recent, planning, patience) = match self {
            Self::One(plan) => return Ok(plan.clone()),
            Self::PerShape { source, recent, planning, patience } => (source, recent, planning, patience),
        };
        if let Some(plan) = find(recent, lengths) {
            return Ok(plan);
        }
        let _planning = lock(planning);
        // Whoever held the lock may have made it.
        if let Some(plan) = find(recent, lengths) {
            return Ok(plan);
        }
        let decoded_bytes = (source.memory_bytes() as u64).saturating_mul(DECODED);
        let budget = Budget {
            bytes: (limit_bytes < u64::MAX).then(|| limit_bytes.max(decoded_bytes)),
            until: Some(Instant::now() + *patience),
        };
        let plan = source.plan_for(axes, lengths, &budget).map_err(|cause| match cause.downcast_ref::<RunError>() {
            Some(refused) => refused.clone(),
            None => {
                RunError::EngineFailed(format!("tract cannot plan the model for these shapes ({})", explain(&cause)))
            }
        })?;
        let mut recent = lock(recent);
        if recent.len() == KEPT_SHAPES {
            recent.remove(0);
        }
        recent.push((lengths.to_vec(), plan.clone()));
        Ok(plan)
    }

    /// Constants of the plans, and of the graph where it is kept to make more of them.
    pub(super) fn memory_bytes(&self, file_bytes: usize) -> usize {
        match self {
            // Weights that tract has packed into its matrix products are constants no more, but they still take at least
            // what they take in the file. A graph that is kept has them all unpacked.
            Self::One(plan) => constant_bytes(plan.model()).max(file_bytes),
            Self::PerShape { source, recent, .. } => {
                let plans: usize = lock(recent).iter().map(|(_, plan)| constant_bytes(plan.model())).sum();
                plans + source.memory_bytes()
            }
        }
    }
}

/// What plans are made of.
pub(super) enum Source {
    /// A graph that tract reasons about, with symbols for the lengths that are free.
    Onnx(Box<InferenceModel>),
    /// A file whose graph tract knows only for given lengths.
    Tflite(Flat),
}

impl Source {
    /// A plan for all lengths of the free axes.
    fn plan(&self, axes: &Axes, budget: &Budget) -> TractResult<Plan> {
        match self {
            Self::Onnx(model) => plan(|| typed(model.as_ref().clone(), budget), budget),
            Self::Tflite(flat) if axes.are_fixed() => plan(|| flat.typed(&[]), budget),
            Self::Tflite(_) => Err(TractError::msg("TFLite models are planned for each shape")),
        }
    }

    fn plan_for(&self, axes: &Axes, lengths: &[usize], budget: &Budget) -> TractResult<Plan> {
        match self {
            Self::Onnx(model) => plan(
                || {
                    let mut model = model.as_ref().clone();
                    model.set_symbols(&axes.substitutions(lengths))?;
                    typed(model, budget)
                },
                budget,
            ),
            Self::Tflite(flat) => plan(|| flat.typed(lengths), budget),
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::Onnx(model) => {
                let weights = model.nodes().iter().filter_map(|node| node.op_as::<Const>());
                weights.filter_map(|weight| Some(weight.val().as_plain_ram()?.as_bytes().len())).sum()
            }
            Self::Tflite(flat) => flat.bytes(),
        }
    }
}

fn typed(mut model: InferenceModel, budget: &Budget) -> TractResult<TypedModel> {
    analyse(&mut model, budget)?;
    model.into_typed()
}

fn plan(typed: impl FnOnce() -> TractResult<TypedModel>, budget: &Budget) -> TractResult<Plan> {
    let plan = contain(|| {
        let mut model = typed()?;
        give_shapes_numbers(&mut model)?;
        TypedSimplePlan::new(optimise(model, budget)?)
    });
    // A shape at which tract panics is one more shape that does not fit; another may.
    plan.unwrap_or_else(|panic| Err(TractError::msg(panic)))
}

/// Casts outputs of tract's symbolic type to the `int64` that ONNX declares, inside the plan, where symbols have
/// values.
fn give_shapes_numbers(model: &mut TypedModel) -> TractResult<()> {
    let mut outlets = model.output_outlets()?.to_vec();
    for (index, outlet) in outlets.iter_mut().enumerate() {
        if model.outlet_fact(*outlet)?.datum_type == DatumType::TDim {
            let name = format!("spillway.output.{index}");
            *outlet = model.wire_node(name, cast(i64::datum_type()), &[*outlet])?[0];
        }
    }
    model.select_output_outlets(&outlets)
}

fn types_of(plan: &Plan, outputs: Vec<DeclaredOutput>, is_trial: bool) -> Result<Vec<TensorType>, LoadError> {
    outputs.into_iter().enumerate().map(|(index, output)| type_of(plan, index, output, is_trial)).collect()
}

/// The type of output `index`. A plan made for one shape says nothing about others (`is_trial`), so there a length
/// counts only where the file declares it too.
fn type_of(plan: &Plan, index: usize, output: DeclaredOutput, is_trial: bool) -> Result<TensorType, LoadError> {
    let DeclaredOutput { name, shape: declared } = output;
    let fact = plan.model().output_fact(index).map_err(|cause| LoadError::NotAModel(explain(&cause)))?;
    let Some(dtype) = dtype_of(fact.datum_type) else {
        return Err(LoadError::Unsupported(format!("output `{name}` is of a type that tensors do not have")));
    };
    let planned = fact.shape.iter().map(|axis| axis.as_i64().and_then(|length| usize::try_from(length).ok()));
    let declares = |axis: usize, length: Option<usize>| {
        declared.as_ref().and_then(|shape| *shape.get(axis)?).is_some_and(|declared| Some(declared) == length)
    };
    let shape = planned.enumerate().map(|(axis, length)| length.filter(|_| !is_trial || declares(axis, length)));
    Ok(TensorType { name, dtype, shape: shape.collect() })
}

fn constant_bytes(model: &TypedModel) -> usize {
    let constants = model.nodes().iter().filter(|node| node.op_is::<Const>());
    let sizes = constants.flat_map(|node| &node.outputs).filter_map(|outlet| outlet.fact.mem_size().as_i64());
    sizes.filter_map(|size| usize::try_from(size).ok()).sum()
}

fn find(recent: &Mutex<Vec<(Vec<usize>, Plan)>>, lengths: &[usize]) -> Option<Plan> {
    let mut recent = lock(recent);
    let index = recent.iter().position(|(known, _)| known == lengths)?;
    recent[index..].rotate_left(1);
    recent.last().map(|(_, plan)| plan.clone())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("tract's panics are contained, and nothing else panics while it holds a lock of the plans")
}

#[cfg(test)]
mod tests {
    use spillway_types::Specialization;

    use super::*;
    use crate::tract::graph::Graph;

    #[test]
    fn a_plan_that_takes_too_long_is_given_up_and_those_that_are_there_stay() {
        let file = include_bytes!("../../tests/data/hostile/by_length_tile.onnx");
        let Graph { mut model, input_names, outputs } = Graph::read(file.to_vec(), &Specialization::default()).unwrap();
        let (axes, _) = Axes::name(&mut model, input_names).unwrap();
        let (mut plans, _) = Plans::prepare(Source::Onnx(Box::new(model)), &axes, outputs).unwrap();
        let Plans::PerShape { recent, patience, .. } = &mut plans else { panic!("it is planned by shape") };
        *patience = Duration::ZERO;
        let known = lock(recent)[0].0.clone();
        match plans.find_or_make(&axes, &[7], u64::MAX).err() {
            Some(RunError::EngineFailed(text)) => assert!(text.contains("more than ten times as long"), "{text}"),
            other => panic!("{other:?}"),
        }
        assert!(plans.find_or_make(&axes, &known, u64::MAX).is_ok());
    }
}
