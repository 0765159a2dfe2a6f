//! One dispatch of a graph.

use super::chain::Operands;
use super::plan::{Plan, Work};
use crate::job::contain;
use crate::kernels::{self, Stop, plan};
use crate::recycle::{self, Recycling};
use crate::{JobError, RunError, Tensor};

/// Computes the outputs from `inputs`, which are of the types that the plan was made for.
pub(super) fn run(plan: &Plan, inputs: Vec<Tensor>, should_stop: &dyn Fn() -> bool) -> Result<Vec<Tensor>, RunError> {
    let stop = Stop::new(should_stop);
    let _recycling = Recycling::begin();
    contain(|| {
        let mut places = Places::new(plan, inputs, &stop)?;
        for step in &plan.steps {
            stop.check()?;
            let result = compute(&step.work, &|place| places.get(place), &stop)?;
            places.0[step.result] = Some(result);
            for &place in &step.last_uses {
                if let Some(tensor) = places.0[place].take() {
                    recycle::put(tensor);
                }
            }
        }
        outputs(plan, &places, &stop)
    })
    .unwrap_or_else(|panic| Err(RunError::EngineFailed(JobError::Panicked(panic).to_string())))
}

fn compute(work: &Work, places: Operands<'_>, stop: &Stop<'_>) -> Result<Tensor, RunError> {
    match work {
        Work::Chain(chain) => chain.run(places, stop),
        Work::Operator(operator, inputs) => {
            let inputs: Vec<Tensor> = inputs.iter().map(|&place| places(place).clone()).collect();
            let planned = plan(operator.clone(), inputs)?;
            match planned.work {
                kernels::Work::View(view) => Ok(view),
                kernels::Work::Compute(work) => {
                    recycle::release(planned.scratch_bytes);
                    work(stop)
                }
            }
        }
    }
}

/// What is there of each operand.
struct Places(Vec<Option<Tensor>>);

impl Places {
    fn new(plan: &Plan, inputs: Vec<Tensor>, stop: &Stop<'_>) -> Result<Self, RunError> {
        let mut places = vec![None; plan.places];
        // The plan is for tensors whose elements lie row by row.
        for (place, input) in places.iter_mut().zip(inputs) {
            *place = Some(if input.layout().is_row_major() { input } else { input.copied_until(stop)? });
        }
        for (place, constant) in &plan.constants {
            places[*place] = Some(constant.clone());
        }
        Ok(Self(places))
    }

    fn get(&self, place: usize) -> &Tensor {
        self.0[place].as_ref().expect("steps are in an order in which each finds what it needs")
    }
}

/// The outputs, each in memory of its own that is as large as it is.
fn outputs(plan: &Plan, places: &Places, stop: &Stop<'_>) -> Result<Vec<Tensor>, RunError> {
    let outputs = plan.outputs.iter().map(|output| {
        let tensor = places.get(output.place);
        if output.is_copied { tensor.copied_until(stop) } else { Ok(tensor.clone()) }
    });
    outputs.collect()
}
