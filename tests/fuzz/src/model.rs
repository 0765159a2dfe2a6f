//! Model files, as a node loads them.
//!
//! | step | in production | what is a finding here |
//! | --- | --- | --- |
//! | our checks: [`TractEngine::examine`] | in the child first, then in the node | any panic; memory beyond what so long a file may decode to |
//! | tract reads, plans | in the child, whose limits of memory and time end it; in the node only what passed there | what a child cannot contain as an error: an abort, memory errors, a stack overflow; a panic in our own code |
//! | a run | in the node, within `--run-memory` and the deadline | memory far past the limit given; outputs that the model does not declare; and as above |
//!
//! The child's limits are there because tract may take any memory and time on a file that passes the checks. They are
//! stood for by a [`budget`](crate::budget): what ends by it here ends by `RLIMIT_DATA` or the clock there, and is no
//! finding. Our checks have no such excuse.

use std::time::{Duration, Instant};

use spillway_inference::{Engine, LoadedModel, Tensor, TractEngine, byte_length};
use spillway_types::Specialization;

use crate::budget::{measure, within};
use crate::containment::contain;

/// What decoding one byte may take: two bytes of protobuf can stand for an empty attribute, in a list that has just
/// doubled.
const CHECK_BYTES_PER_BYTE: usize = 4096;
/// What the checks take for any file; tract's table of operators is made anew for each.
const CHECK_BYTES: usize = 4 << 20;

/// Loading and running, each; far less than a child gets, because a fuzzer waits for it.
const MEMORY_BYTES: usize = 256 << 20;
const TIME: Duration = Duration::from_secs(2);

/// What a run is allowed, and what it may take all the same before that is a finding: the limit is held against
/// estimates of what operators take.
const RUN_BYTES: u64 = 4 << 20;
const RUN_PEAK_BYTES: usize = 64 << 20;

/// Inputs larger than this are not made.
const INPUT_BYTES: usize = 1 << 20;

pub(crate) fn onnx(file: &[u8]) {
    if !is_tflite(file) {
        load(file);
    }
}

pub(crate) fn tflite(file: &[u8]) {
    if is_tflite(file) {
        load(file);
    }
}

/// A file of weights: as above, and every tensor that it declares is there and as it says.
pub(crate) fn safetensors(file: &[u8]) {
    if file.get(8) != Some(&b'{') {
        return;
    }
    load(file);
    let Ok(weights) = TractEngine.load(file.to_vec(), &Specialization::default()) else { return };
    for declared in weights.outputs() {
        let weight = weights.weight(&declared.name);
        let weight = weight.unwrap_or_else(|| panic!("`{}` is declared and not there", declared.name));
        assert!(declared.admits(&weight), "`{}` is declared as {declared}, and is {weight:?}", declared.name);
    }
}

fn is_tflite(file: &[u8]) -> bool {
    file.get(4..8) == Some(b"TFL3")
}

fn load(file: &[u8]) {
    let (examined, peak) = measure(|| TractEngine.examine(file));
    let most = CHECK_BYTES + CHECK_BYTES_PER_BYTE * file.len();
    assert!(peak <= most, "the checks of a file of {} bytes took {peak} bytes", file.len());
    let loaded = contain(|| within(MEMORY_BYTES, TIME, || TractEngine.load(file.to_vec(), &Specialization::default())));
    let Some(Ok(model)) = loaded else { return };
    assert!(examined.is_ok(), "a file loads that the checks refuse: {examined:?}");
    for length in [1, 3] {
        run(model.as_ref(), length);
    }
}

/// Runs `model` on zeros, free axes being `length` long.
fn run(model: &dyn LoadedModel, length: usize) {
    let inputs = model.inputs().iter().map(|input| {
        let shape: Vec<usize> = input.shape.iter().map(|axis| axis.unwrap_or(length)).collect();
        let bytes = byte_length(input.dtype, &shape).ok().filter(|bytes| *bytes <= INPUT_BYTES)?;
        Tensor::from_bytes(input.dtype, &shape, &vec![0; bytes]).ok()
    });
    let Some(inputs) = inputs.collect::<Option<Vec<_>>>() else { return };
    let deadline = Instant::now() + TIME;
    let stop = || Instant::now() > deadline;
    let (ran, peak) =
        measure(|| contain(|| within(MEMORY_BYTES, TIME, || model.run_within(inputs, &stop, RUN_BYTES.into()))));
    // The trace of a panic takes memory, too: that of the program's debug information.
    let Some(ran) = ran else { return };
    assert!(peak <= RUN_PEAK_BYTES, "a run that is given {RUN_BYTES} bytes took {peak}");
    let Ok(outputs) = ran else { return };
    assert_eq!(outputs.len(), model.outputs().len(), "outputs are missing");
    for (declared, output) in model.outputs().iter().zip(&outputs) {
        assert!(declared.admits(output), "output `{}` is declared as {declared}, and is {output:?}", declared.name);
    }
}
