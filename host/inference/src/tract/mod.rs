//! The engine `tract`: embedded, pure Rust, reads ONNX.
//!
//! | stage | what it does |
//! | --- | --- |
//! | `graph` | reads the file; refuses what is no ONNX graph and operators that tract lacks, all by name |
//! | `specialize` | writes what the manifest fixes, shapes and constants, into the file's graph |
//! | `branches` | puts the branch that is taken in the place of each `If` whose condition is known |
//! | `axes` | gives every free axis of the inputs a symbol; at a run, reads the symbols' values off the inputs |
//! | `plan` | makes the graph executable: once for all shapes where tract can reason with symbols, else once per shape |

mod axes;
mod branches;
mod graph;
mod plan;
mod specialize;

use spillway_types::Specialization;
use tract_onnx::prelude::TractError;

use crate::{Engine, LoadError, LoadedModel, RunError, Tensor, TensorType};
use axes::Axes;
use graph::Graph;
use plan::Plans;

/// ONNX models through `tract`, up to what tract 0.23 supports (operator sets 9 to 18, and most of later ones).
///
/// Weights must be inside the file. Values that a run computes depend on its inputs alone: state does not survive a
/// run.
#[derive(Debug, Clone, Copy, Default)]
pub struct TractEngine;

impl Engine for TractEngine {
    fn name(&self) -> &'static str {
        "tract"
    }

    fn load(&self, file: Vec<u8>, specialization: &Specialization) -> Result<Box<dyn LoadedModel>, LoadError> {
        let file_bytes = file.len();
        let Graph { mut model, input_names, outputs } = Graph::read(file, specialization)?;
        let (axes, inputs) = Axes::name(&mut model, input_names)?;
        let (plans, outputs) = Plans::prepare(model, &axes, outputs)?;
        Ok(Box::new(TractModel { inputs, outputs, axes, plans, file_bytes }))
    }
}

struct TractModel {
    inputs: Vec<TensorType>,
    outputs: Vec<TensorType>,
    axes: Axes,
    plans: Plans,
    file_bytes: usize,
}

impl LoadedModel for TractModel {
    fn inputs(&self) -> &[TensorType] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorType] {
        &self.outputs
    }

    fn memory_bytes(&self) -> usize {
        self.plans.memory_bytes(self.file_bytes)
    }

    fn run(&self, inputs: Vec<Tensor>, stop: &dyn Fn() -> bool) -> Result<Vec<Tensor>, RunError> {
        let lengths = self.axes.lengths(&self.inputs, &inputs)?;
        let plan = self.plans.find_or_make(&self.axes, &lengths)?;
        plan::run(&plan, inputs, stop)
    }
}

/// tract's chain of causes on one line, cut where it starts to print whole graphs.
fn explain(error: &TractError) -> String {
    const LONGEST: usize = 400;
    let text = format!("{error:#}").replace('\n', " ");
    match text.char_indices().nth(LONGEST) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
