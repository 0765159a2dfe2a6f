//! TFLite through tract. `data/tflite/make.py` makes a model of every operator in the list and records what LiteRT 2.3.0,
//! the reference interpreter, computes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use spillway_inference::{DType, Engine, LoadError, LoadedModel, RunError, Tensor, TractEngine};
use spillway_types::Specialization;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tflite")
}

fn load(name: &str) -> Result<Box<dyn LoadedModel>, LoadError> {
    load_bytes(std::fs::read(folder().join(name).with_extension("tflite")).unwrap())
}

fn load_bytes(file: Vec<u8>) -> Result<Box<dyn LoadedModel>, LoadError> {
    TractEngine.load(file, &Specialization::default())
}

fn cases() -> BTreeMap<String, Vec<Value>> {
    serde_json::from_slice(&std::fs::read(folder().join("cases.json")).unwrap()).unwrap()
}

/// What the script wrote about one tensor, as a tensor.
fn tensor(of: &Value) -> Tensor {
    let shape: Vec<usize> = of["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    let values = of["values"].as_array().unwrap();
    let (dtype, bytes): (_, Vec<u8>) = match of["dtype"].as_str().unwrap() {
        "float32" => (DType::Float32, values.iter().flat_map(|v| (v.as_f64().unwrap() as f32).to_le_bytes()).collect()),
        "int32" => (DType::Int32, values.iter().flat_map(|v| (v.as_i64().unwrap() as i32).to_le_bytes()).collect()),
        "int8" => (DType::Int8, values.iter().map(|v| v.as_i64().unwrap() as i8 as u8).collect()),
        "bool" => (DType::Boolean, values.iter().map(|v| v.as_bool().unwrap().into()).collect()),
        other => panic!("the script wrote {other}"),
    };
    Tensor::from_bytes(dtype, &shape, &bytes).unwrap()
}

/// Outputs of an engine are not views.
fn bytes(tensor: &Tensor) -> &[u8] {
    tensor.as_bytes().expect("contiguous")
}

/// Floats within 2e-6 of 1 + |expected|, which is sixteen times the spacing of `float32` there; quantised values within
/// one step, since the interpreters round products differently; others exactly.
fn differs(given: &Tensor, expected: &Tensor) -> Option<String> {
    let floats = |tensor: &Tensor| -> Vec<f32> {
        bytes(tensor).chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
    };
    if (given.dtype(), given.shape()) != (expected.dtype(), expected.shape()) {
        return Some(format!("{given:?} is not {expected:?}"));
    }
    let close = match given.dtype() {
        DType::Float32 => {
            floats(given).iter().zip(floats(expected)).all(|(a, b)| (a - b).abs() <= 2e-6 * (1.0 + b.abs()))
        }
        DType::Int8 => bytes(given)
            .iter()
            .zip(bytes(expected))
            .all(|(a, b)| (i32::from(*a as i8) - i32::from(*b as i8)).abs() <= 1),
        _ => bytes(given) == bytes(expected),
    };
    (!close).then(|| format!("{:?} is not {:?}", bytes(given), bytes(expected)))
}

#[test]
fn every_operator_computes_what_litert_computes() {
    let mut wrong = Vec::new();
    for (name, runs) in cases() {
        let model = match load(&name) {
            Ok(model) => model,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        for run in runs {
            let given = run["inputs"].as_object().unwrap();
            let inputs = model.inputs().iter().map(|input| tensor(&given[&input.name])).collect();
            match model.run(inputs, &|| false) {
                Err(error) => wrong.push(format!("{name}: {error}")),
                Ok(outputs) => {
                    let expected: Vec<_> = run["outputs"].as_array().unwrap().iter().map(tensor).collect();
                    assert_eq!(outputs.len(), expected.len(), "{name}");
                    for (given, expected) in outputs.iter().zip(&expected) {
                        wrong.extend(differs(given, expected).map(|how| format!("{name}: {how}")));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The words in code style in the table of the docs, which lists what works.
fn documented() -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/use-a-model.md");
    let text = std::fs::read_to_string(page).unwrap();
    let list = text.split("TFLite operators that work").nth(1).expect("the docs have the list");
    let list = list.split("\n\n").nth(1).expect("the list is a paragraph of its own");
    let is_operator =
        |word: &&str| word.len() > 2 && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    list.split('`').skip(1).step_by(2).filter(is_operator).map(ToOwned::to_owned).collect()
}

#[test]
fn the_documented_operators_are_those_with_a_case_and_no_others() {
    let is_variant = |name: &str| ["_row", "_kept", "_corners"].iter().any(|suffix| name.ends_with(suffix));
    let cases = cases().into_keys().filter(|name| name != "small" && !name.starts_with("q_") && !is_variant(name));
    assert_eq!(documented(), cases.map(|name| name.to_uppercase()).collect());
}

#[test]
fn the_engine_says_which_operators_it_has_as_documented() {
    // One operator's model, made into one of each other operator by changing the code, which it has twice.
    let abs = std::fs::read(folder().join("abs.tflite")).unwrap();
    let code = 101_u8;
    let places: Vec<usize> = (0..abs.len()).filter(|at| abs[*at] == code).collect();
    let known = |number: u8| {
        // Which of the places are the code is found by trial: with both changed, messages name the other operator.
        let mut file = abs.clone();
        for at in &places {
            file[*at] = number;
        }
        match load_bytes(file) {
            Err(LoadError::Unsupported(message)) if message.contains("has no TFLite operator") => Err(message),
            _ => Ok(()),
        }
    };
    assert!(known(101).is_ok());
    let unknown: Vec<String> = (0..127).filter_map(|number| known(number).err()).collect();
    let known_below_127 = 127 - unknown.len();
    // BROADCAST_TO is 130; the rest of the documented ones are below 127.
    assert_eq!(documented().len(), known_below_127 + 1, "{unknown:#?}");
}

#[test]
fn a_tflite_model_says_its_inputs_and_outputs_by_name_with_free_axes() {
    let model = load("small").unwrap();
    let described = |types: &[spillway_inference::TensorType]| -> Vec<String> {
        types.iter().map(|of| format!("{} {of}", of.name)).collect()
    };
    assert_eq!(described(model.inputs()), ["pixels float32 [?, 4]"]);
    assert_eq!(described(model.outputs()), ["scores float32 [?, 3]"]);
    assert!(model.memory_bytes() > 0);
}

#[test]
fn a_free_axis_of_a_tflite_model_can_be_fixed() {
    let file = std::fs::read(folder().join("small.tflite")).unwrap();
    let fixed =
        |shape: Vec<u32>| Specialization { shapes: [("pixels".to_owned(), shape)].into(), ..Default::default() };
    let model = TractEngine.load(file.clone(), &fixed(vec![3, 4])).unwrap();
    assert_eq!(model.inputs()[0].shape, [Some(3), Some(4)]);
    let error = TractEngine.load(file, &fixed(vec![3, 5])).err().unwrap().to_string();
    assert!(error.contains("`pixels`") && error.contains("[3, 5]"), "{error}");
}

#[test]
fn operators_that_are_missing_are_named_all_at_once_custom_ones_by_their_own_name() {
    let error = load("exotic").err().unwrap();
    let expected = "not supported: the engine `tract` has no TFLite operator `CUMSUM`, `com.example.Frobnicate (custom)`; \
                    export the model as ONNX, or without them";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn an_operator_that_tract_reads_but_cannot_take_so_is_named_with_what_it_computes() {
    let error = load("sharp").err().unwrap().to_string();
    assert!(error.contains("operator `SOFTMAX` that computes `y`") && error.contains("beta"), "{error}");
    let error = load("q_add").err().unwrap().to_string();
    assert!(error.contains("operator `ADD` that computes `y` works on quantised tensors"), "{error}");
}

#[test]
fn an_operator_that_tract_reads_and_computes_wrongly_is_refused() {
    // tract 0.23.9 rounds means to whole numbers.
    let error = load("mean").err().unwrap().to_string();
    assert!(error.contains("has no TFLite operator `MEAN`"), "{error}");
}

#[test]
fn damaged_tflite_files_are_errors() {
    let sound = std::fs::read(folder().join("small.tflite")).unwrap();
    let outcome = |file: Vec<u8>| {
        // Engines may panic at load, which their callers contain; damage must not do worse.
        let loaded = std::panic::catch_unwind(|| load_bytes(file).err().map(|error| error.to_string()));
        loaded.unwrap_or_else(|_| Some("panicked".into()))
    };
    for index in 8..sound.len() {
        let cut = outcome(sound[..index].to_vec()).expect("half a file is no model");
        assert!(cut.starts_with("not a model: the file is not TFLite"), "{cut}");
        let mut damaged = sound.clone();
        damaged[index] ^= 0xff;
        assert_ne!(outcome(damaged).as_deref(), Some("panicked"), "byte {index}");
    }
}

#[test]
fn an_input_of_another_batch_than_the_graph_can_take_is_an_error_of_that_run() {
    let model = load("reshape").unwrap();
    let wrong = Tensor::from_bytes(DType::Float32, &[1, 2, 4], &[0; 32]).unwrap();
    assert!(matches!(model.run(vec![wrong], &|| false), Err(RunError::EngineFailed(_))));
}

#[test]
fn a_face_detector_with_half_precision_weights_computes_what_litert_computes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/models/face-detection/short_range.tflite");
    let file =
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run cargo xtask setup", path.display()));
    let model = load_bytes(file).unwrap();
    // As `face_detection.py` makes it.
    let pixel = |index: usize| (index * 7919 % 257) as f32 / 128.0 - 1.0;
    let pixels: Vec<u8> = (0..128 * 128 * 3).flat_map(|index| pixel(index).to_le_bytes()).collect();
    let input = Tensor::from_bytes(DType::Float32, &[1, 128, 128, 3], &pixels).unwrap();
    let outputs = model.run(vec![input], &|| false).unwrap();
    let expected = std::fs::read(folder().join("face_detection.json")).unwrap();
    let expected: BTreeMap<String, Value> = serde_json::from_slice(&expected).unwrap();
    assert_eq!(outputs.len(), expected.len());
    for (output, of) in outputs.iter().zip(model.outputs()) {
        let expected = &expected[&of.name];
        let shape: Vec<u64> = output.shape().iter().map(|length| *length as u64).collect();
        assert_eq!(serde_json::json!(shape), expected["shape"]);
        let given = bytes(output).chunks_exact(4).step_by(97);
        let given: Vec<f32> = given.map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        let expected: Vec<f64> =
            expected["every_97th"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert_eq!(given.len(), expected.len());
        // 37 layers of float32 in another order: 1e-4 of values up to a few hundred.
        for (given, expected) in given.iter().zip(expected) {
            assert!((f64::from(*given) - expected).abs() <= 1e-4 * (1.0 + expected.abs()), "{given} is not {expected}");
        }
    }
}
