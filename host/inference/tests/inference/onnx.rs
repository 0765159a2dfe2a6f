//! ONNX through tract. `data/make.py` makes the models and prints the expected numbers, which ONNX Runtime 1.32
//! computed.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::executor::block_on;
use spillway_inference::{
    DType, Engine, LoadError, LoadedModel, Model, ModelSource, Models, OpenError, RunError, Tensor, TensorType,
    TractEngine,
};
use spillway_types::operator::{Operator, SliceOptions};
use spillway_types::{Digest, Specialization};

use crate::fake::pool;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).with_extension("onnx")
}

fn open(name: &str) -> Result<Arc<Model>, OpenError> {
    let digest = Digest::of(&std::fs::read(path(name)).unwrap());
    block_on(Models::new(Arc::new(TractEngine), pool(1)).open(ModelSource::new(digest, path(name))))
}

fn load(file: Vec<u8>) -> Result<Box<dyn LoadedModel>, LoadError> {
    TractEngine.load(file, &Specialization::default())
}

fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Tensor::from_bytes(DType::Float32, shape, &bytes).unwrap()
}

fn i32s(values: &[i32]) -> Tensor {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Tensor::from_bytes(DType::Int32, &[values.len()], &bytes).unwrap()
}

fn run(model: &Model, inputs: &[(&str, Tensor)]) -> Result<Vec<Tensor>, RunError> {
    let inputs = inputs.iter().map(|(name, tensor)| (name.to_string(), tensor.clone())).collect();
    Ok(block_on(model.run(inputs, None))?.outputs)
}

/// Within 1e-6 of `expected`: both engines compute in `float32`, whose spacing at 1 is 1.2e-7.
fn assert_close(tensor: &Tensor, shape: &[usize], expected: &[f32]) {
    let given: Vec<f32> =
        tensor.as_bytes().unwrap().chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    assert_eq!((tensor.dtype(), tensor.shape(), given.len()), (DType::Float32, shape, expected.len()));
    for (given, expected) in given.iter().zip(expected) {
        assert!((given - expected).abs() < 1e-6, "{given} is not {expected}");
    }
}

fn described(types: &[TensorType]) -> Vec<String> {
    types.iter().map(|of| format!("{} {of}", of.name)).collect()
}

#[test]
fn a_model_of_fixed_shapes_computes_what_onnx_runtime_computes() {
    let model = open("add").unwrap();
    assert_eq!(described(model.inputs()), ["x float32 [2, 2]", "y float32 [2, 2]"]);
    assert_eq!(described(model.outputs()), ["sum float32 [2, 2]", "greater boolean [2, 2]"]);
    let (x, y) = (f32s(&[2, 2], &[1., 2., 3., 4.]), f32s(&[2, 2], &[1., 3., 2., 4.]));
    let outputs = run(&model, &[("y", y), ("x", x)]).unwrap();
    assert_close(&outputs[0], &[2, 2], &[2., 5., 5., 8.]);
    assert_eq!((outputs[1].dtype(), outputs[1].as_bytes().unwrap()), (DType::Boolean, &[0, 0, 1, 0][..]));
}

#[test]
fn a_view_is_to_a_model_as_a_copy_of_it() {
    let model = open("dense").unwrap();
    let flat = f32s(&[9], &[0.5, -1., 2., 0., 0., 0., 3., 1., -1.]);
    let view = |operator, of: &Tensor| crate::kernels::compute(operator, &[of]);
    let rows = view(Operator::Reshape(vec![3, 3]), &flat);
    let turned = view(Operator::Transpose(vec![]), &rows).to_row_major();
    let last = SliceOptions { starts: vec![2, 0], sizes: vec![1, 3], strides: vec![] };
    let expected = [0.2748805, 0.7251195, 0.2175502, 0.7824498, 0.1090968, 0.8909032];
    assert!(rows.shares_storage_with(&flat));
    assert_close(&run(&model, &[("x", rows.clone())]).unwrap()[0], &[3, 2], &expected);
    let back = view(Operator::Transpose(vec![]), &turned);
    assert_close(&run(&model, &[("x", back)]).unwrap()[0], &[3, 2], &expected);
    let last = view(Operator::Slice(last), &rows);
    assert_close(&run(&model, &[("x", last)]).unwrap()[0], &[1, 2], &expected[4..]);
    // What the model was given is as it was.
    assert_eq!(flat.as_bytes(), f32s(&[9], &[0.5, -1., 2., 0., 0., 0., 3., 1., -1.]).as_bytes());
}

#[test]
fn a_free_batch_axis_takes_any_batch() {
    let model = open("dense").unwrap();
    assert_eq!(described(model.inputs()), ["x float32 [?, 3]"]);
    assert_eq!(described(model.outputs()), ["p float32 [?, 2]"]);
    let one = run(&model, &[("x", f32s(&[1, 3], &[0.5, -1., 2.]))]).unwrap();
    assert_close(&one[0], &[1, 2], &[0.2748805, 0.7251195]);
    let three = run(&model, &[("x", f32s(&[3, 3], &[0.5, -1., 2., 0., 0., 0., 3., 1., -1.]))]).unwrap();
    let expected = [0.2748805, 0.7251195, 0.2175502, 0.7824498, 0.1090968, 0.8909032];
    assert_close(&three[0], &[3, 2], &expected);
}

#[test]
fn a_free_axis_without_a_name_is_free_too() {
    let model = open("nameless").unwrap();
    assert_eq!(described(model.inputs()), ["x float32 [?, 2]"]);
    assert_close(&run(&model, &[("x", f32s(&[1, 2], &[1., 2.]))]).unwrap()[0], &[1, 2], &[-1., -2.]);
}

#[test]
fn axes_of_one_name_must_be_as_long_as_each_other() {
    let model = open("pair").unwrap();
    let outputs = run(&model, &[("x", i32s(&[1, 2, 3])), ("y", i32s(&[4, 5, 6]))]).unwrap();
    assert_eq!(outputs[0].as_bytes(), i32s(&[4, 10, 18]).as_bytes());
    assert_eq!((outputs[1].dtype(), outputs[1].as_bytes().unwrap()), (DType::Int64, &3_i64.to_le_bytes()[..]));
    let error = run(&model, &[("x", i32s(&[1, 2, 3])), ("y", i32s(&[4, 5]))]).unwrap_err();
    let expected = "axis 0 of input `y` is 2, but the model wants it as long as axis 0 of input `x`, given 3";
    assert_eq!(error, RunError::InvalidArgument(expected.into()));
}

#[test]
fn a_model_that_cannot_be_planned_by_symbols_is_planned_per_shape() {
    let model = open("rows").unwrap();
    assert_eq!(described(model.outputs()), ["y float32 [?, 2]"]);
    let at_load = model.memory_bytes();
    assert_close(&run(&model, &[("x", f32s(&[4], &[5., 7., 1., 10.]))]).unwrap()[0], &[2, 2], &[15., 27., 11., 30.]);
    assert!(model.memory_bytes() > at_load, "a new shape is a new plan");
    let odd = run(&model, &[("x", f32s(&[3], &[0.; 3]))]).unwrap_err();
    assert!(matches!(odd, RunError::EngineFailed(_)), "{odd}");
}

#[test]
fn plans_of_shapes_long_unused_are_dropped() {
    let model = open("rows").unwrap();
    let memory = (1..10).map(|rows| {
        let zeros = f32s(&[2 * rows], &vec![0.; 2 * rows]);
        assert_eq!(run(&model, &[("x", zeros)]).unwrap()[0].shape(), [rows, 2]);
        model.memory_bytes()
    });
    let memory: Vec<_> = memory.collect();
    assert!(memory[0] < memory[3]);
    assert!(memory[4..].iter().all(|bytes| *bytes == memory[4]), "{memory:?}");
}

#[test]
fn a_run_stops_between_graph_nodes() {
    let model = load(std::fs::read(path("dense")).unwrap()).unwrap();
    let asked = Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() == 3
    };
    let input = || vec![f32s(&[1, 3], &[0.; 3])];
    assert_eq!(model.run(input(), &stop).unwrap_err(), RunError::DeadlineExceeded);
    assert_eq!(asked.get(), 3);
    assert!(model.run(input(), &|| false).is_ok(), "the next run is not disturbed");
}

#[test]
fn operators_that_tract_lacks_are_named_all_at_once() {
    let message = open("exotic").unwrap_err().to_string();
    let expected = "not supported: the engine `tract` has no operator `com.example.Frobnicate`, `com.example.Wobble`; \
                    export the model with standard ONNX operators";
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn inputs_of_strings_are_refused_by_name() {
    let message = open("strings").unwrap_err().to_string();
    assert!(message.ends_with("input `text` is of a type that tensors do not have"), "{message}");
}

#[test]
fn an_output_that_nothing_computes_is_named() {
    let message = open("dangling").unwrap_err().to_string();
    assert!(message.ends_with("not a model: nothing in the graph computes its output `z`"), "{message}");
}

#[test]
fn files_that_are_no_onnx_are_refused() {
    for (file, expected) in [
        (&b""[..], "not a model: the file holds no ONNX graph"),
        (b"PK\x03\x04 a zip archive", "not a model: the file is not ONNX, or is cut short"),
        (b"{\"json\": true}", "not a model: the file is not ONNX, or is cut short"),
    ] {
        let message = load(file.to_vec()).err().expect("no model").to_string();
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn damaged_files_never_take_the_node_down() {
    let folder = tempfile::TempDir::new().unwrap();
    let models = Models::new(Arc::new(TractEngine), pool(2));
    let survive = |bytes: &[u8]| {
        let file = folder.path().join("model.onnx");
        std::fs::write(&file, bytes).unwrap();
        // Damage may leave a model that is sound, only another one.
        let _ = block_on(models.open(ModelSource::new(Digest::of(bytes), file)));
    };
    for name in ["dense", "pair", "rows"] {
        let sound = std::fs::read(path(name)).unwrap();
        for index in 0..sound.len() {
            survive(&sound[..index]);
            let mut damaged = sound.clone();
            damaged[index] ^= 0xff;
            survive(&damaged);
        }
    }
    let digest = Digest::of(&std::fs::read(path("add")).unwrap());
    assert!(block_on(models.open(ModelSource::new(digest, path("add")))).is_ok());
}
