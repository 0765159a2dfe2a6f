//! The engine `tract`: embedded, pure Rust, reads ONNX.
//!
//! | stage | what it does |
//! | --- | --- |
//! | `graph` | reads the file; refuses what is no ONNX graph and operators that tract lacks, all by name |
//! | `claims` | refuses shapes and sizes that do not hold, and weights in other files |
//! | `defaults` | writes out a default that tract gets wrong |
//! | `specialize` | writes what the manifest fixes, shapes and constants, into the file's graph |
//! | `branches` | puts the branch that is taken in the place of each `If` whose condition is known |
//! | `axes` | gives every free axis of the inputs a symbol; at a run, reads the symbols' values off the inputs |
//! | `plan` | makes the graph executable: once for all shapes where tract can reason with symbols, else once per shape |
//! | `analysis`, `optimizer` | tract's two loops of that, which stop at a `budget` |
//! | `lengths` | refuses numbers that tract would cut |
//! | `memory`, `scratch` | refuses a run that would take too much memory |
//! | `run` | runs a plan |

mod analysis;
mod axes;
mod branches;
mod budget;
mod claims;
mod defaults;
mod graph;
mod lengths;
mod memory;
mod optimizer;
mod plan;
mod run;
mod scratch;
mod specialize;
mod tflite;

use std::collections::BTreeSet;

use spillway_types::Specialization;
use tract_onnx::prelude::TractError;

use crate::weights::{self, Weights};
use crate::{Engine, LoadError, LoadedModel, RunError, Tensor, TensorType, Within};
use axes::Axes;
use graph::Graph;
use plan::{Plans, Source};
use tflite::Flat;

/// ONNX models through `tract`, up to what tract 0.23 supports (operator sets 9 to 18, and most of later ones).
///
/// Weights must be inside the file; files of weights alone (safetensors) are taken, too, for graphs. Values that a run computes depend on its inputs alone: state does not survive a
/// run.
#[derive(Debug, Clone, Copy, Default)]
pub struct TractEngine;

impl TractEngine {
    /// Does only the checks that [`load`](Engine::load) does before tract makes anything of the file. They are this
    /// crate's own, so they neither panic nor take more time and memory than a multiple of what the file has: what a
    /// file merely claims costs nothing.
    ///
    /// # Errors
    /// As [`load`](Engine::load). A file that passes may still fail to load.
    pub fn examine(&self, file: &[u8]) -> Result<(), LoadError> {
        if weights::is_safetensors(file) {
            weights::examine(file).map(drop)
        } else if tflite::is_tflite(file) {
            Flat::read(file.to_vec()).map(drop)
        } else {
            graph::decode(file, &tract_onnx::onnx()).map(drop)
        }
    }
}

impl Engine for TractEngine {
    fn name(&self) -> &'static str {
        "tract"
    }

    fn version(&self) -> &'static str {
        VERSION
    }

    fn load(&self, file: Vec<u8>, specialization: &Specialization) -> Result<Box<dyn LoadedModel>, LoadError> {
        let file_bytes = file.len();
        if weights::is_safetensors(&file) {
            return Ok(Box::new(Weights::load(&file, specialization)?));
        }
        if tflite::is_tflite(&file) {
            return load_tflite(file, specialization);
        }
        let Graph { mut model, input_names, outputs } = Graph::read(file, specialization)?;
        let (axes, inputs) = Axes::name(&mut model, input_names)?;
        let (plans, outputs) = Plans::prepare(Source::Onnx(Box::new(model)), &axes, outputs)?;
        Ok(Box::new(TractModel { inputs, outputs, axes, plans, file_bytes }))
    }
}

/// The version in `Cargo.lock`, as a test asserts; tract itself does not say.
const VERSION: &str = "0.23.9";

fn load_tflite(file: Vec<u8>, specialization: &Specialization) -> Result<Box<dyn LoadedModel>, LoadError> {
    let file_bytes = file.len();
    if let Some(name) = specialization.constants.keys().next() {
        return Err(LoadError::Unsupported(format!(
            "constants are for ONNX models; take `{name}` out of [models] and give it as an input"
        )));
    }
    let (mut flat, outputs) = Flat::read(file)?;
    flat.specialize(&specialization.shapes)?;
    let inputs = flat.inputs.clone();
    let axes = Axes::of(&inputs);
    let (plans, outputs) = Plans::prepare(Source::Tflite(flat), &axes, outputs)?;
    Ok(Box::new(TractModel { inputs, outputs, axes, plans, file_bytes }))
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

    fn trials(&self) -> Vec<Vec<Vec<usize>>> {
        let lengths = if self.axes.are_fixed() {
            vec![Vec::new()]
        } else {
            plan::TRIALS.iter().map(|(batch, other)| self.axes.guess(*batch, *other)).collect()
        };
        lengths.iter().map(|lengths| self.axes.shapes(&self.inputs, lengths)).collect()
    }

    fn run(&self, inputs: Vec<Tensor>, stop: &dyn Fn() -> bool) -> Result<Vec<Tensor>, RunError> {
        self.run_within(inputs, stop, u64::MAX.into())
    }

    fn run_within(
        &self,
        inputs: Vec<Tensor>,
        stop: &dyn Fn() -> bool,
        within: Within<'_>,
    ) -> Result<Vec<Tensor>, RunError> {
        let limit_bytes = within.limit_bytes;
        let lengths = self.axes.lengths(&self.inputs, &inputs)?;
        let plan = self.plans.find_or_make(&self.axes, &lengths, limit_bytes)?;
        let estimated = memory::admit_plan(&plan, &self.axes.values(&lengths), limit_bytes)?;
        let _charged = within.charge(estimated)?;
        let outputs = run::run(&plan, inputs, stop, limit_bytes)?;
        // TFLite files say of what shape their results are, and nobody holds them to it.
        match self.outputs.iter().zip(&outputs).find(|(declared, output)| !declared.admits(output)) {
            None => Ok(outputs),
            Some((declared, output)) => Err(RunError::EngineFailed(format!(
                "the file declares its output `{}` as {declared}, and it is {} {:?}; export the model again",
                cut(&declared.name, 80),
                output.dtype(),
                output.shape()
            ))),
        }
    }
}

/// tract's chain of causes on one line, cut where it starts to print whole graphs.
fn explain(error: &TractError) -> String {
    const LONGEST: usize = 400;
    cut(&format!("{error:#}").replace('\n', " "), LONGEST)
}

/// At most `longest` characters of a text, and a sign where that is not all.
fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Names for a message: a file may have any number of them, of any length.
fn listed(names: &BTreeSet<String>) -> String {
    const MOST: usize = 10;
    const LONGEST: usize = 100;
    let first = names.iter().take(MOST).map(|name| cut(name, LONGEST)).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST) {
        0 => first,
        rest => format!("{first} and {rest} more"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_that_of_the_lock_file() {
        let lock = include_str!("../../../../Cargo.lock");
        for name in ["tract-core", "tract-onnx", "tract-tflite"] {
            let entry = format!("name = \"{name}\"\nversion = \"{}\"", super::VERSION);
            assert!(lock.contains(&entry), "{name} is of another version; write it into VERSION");
        }
    }
}
