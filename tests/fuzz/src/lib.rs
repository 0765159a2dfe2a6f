//! What the fuzz targets do with an input, and what they hold Spillway to.
//!
//! | module | target | input |
//! | --- | --- | --- |
//! | `model` | `onnx`, `tflite` | a model file |
//! | `picture` | `picture` | a JPEG or PNG file |
//! | `model` | `safetensors` | a file of weights |
//! | `tensors` | `tensors` | a program of operators on tensors |
//! | `graphs` | `graphs` | a graph of operators |
//! | `bundle` | `bundle`, `manifest` | a `.wasm` file, the text of a manifest |
//! | [`budget`], [`containment`] | | what production's limits catch, told apart from what it must not come to |
//!
//! libFuzzer drives them from `libfuzzer/`, which `cargo xtask fuzz` builds; `tests/replay.rs` runs them on seeds and on
//! what was found, in the ordinary tests. A target panics where a property does not hold.

pub mod budget;
mod bundle;
pub mod containment;
mod graphs;
mod model;
mod picture;
mod tensors;

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its file in `libfuzzer/fuzz_targets/`.
    pub name: &'static str,
    /// Does what there is to do with one input.
    ///
    /// # Panics
    /// Where a property does not hold.
    pub run: fn(&[u8]),
}

/// All targets. `targets.json` says where their seeds are.
pub const TARGETS: [Target; 8] = [
    Target { name: "onnx", run: model::onnx },
    Target { name: "tflite", run: model::tflite },
    Target { name: "picture", run: picture::run },
    Target { name: "tensors", run: tensors::run },
    Target { name: "graphs", run: graphs::run },
    Target { name: "safetensors", run: model::safetensors },
    Target { name: "bundle", run: bundle::bundle },
    Target { name: "manifest", run: bundle::manifest },
];

/// Runs the target called `name` on `input`.
///
/// # Panics
/// Where a property does not hold, and when there is no such target.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("there is no target `{name}`")).run)(input);
}
