//! Plans for lengths that come with a call, and what cannot be planned or run at all. `data/hostile/make.py` makes the
//! models.

use std::path::Path;

use spillway_inference::{DType, Engine, LoadError, LoadedModel, RunError, RunMemory, Tensor, TractEngine};
use spillway_types::Specialization;

fn load(name: &str, limit_bytes: u64) -> Result<Box<dyn LoadedModel>, LoadError> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hostile").join(name).with_extension("onnx");
    RunMemory::new(TractEngine, limit_bytes).load(std::fs::read(path).unwrap(), &Specialization::default())
}

/// Zeros of this length.
fn floats(length: usize) -> Vec<Tensor> {
    vec![Tensor::from_bytes(DType::Float32, &[length], &vec![0; 4 * length]).unwrap()]
}

#[test]
fn what_a_length_asks_for_is_refused_before_it_is_computed_with_the_operator_and_its_node() {
    let limit = 1 << 20;
    for (name, operator) in [
        ("range", "Range"),
        ("expand", "MultiBroadcastTo"),
        ("tile", "Tile"),
        ("constant", "ConstantOfShape"),
        ("one_hot", "OneHot"),
        ("resize", "Resize"),
        ("pad", "Pad"),
    ] {
        let model = load(&format!("by_length_{name}"), limit).unwrap();
        assert_eq!(model.run(floats(3), &|| false).unwrap()[0].shape(), [3], "{name}");
        // 1.6 * 10^9 elements.
        match model.run(floats(200), &|| false).unwrap_err() {
            RunError::TooMuchMemory { place, needed_bytes, limit_bytes } => {
                assert_eq!((place, limit_bytes), (format!("operator `{operator}` (node `many`)"), limit), "{name}");
                assert!(needed_bytes > 1 << 32, "{name}: {needed_bytes}");
            }
            other => panic!("{name}: {other}"),
        }
        assert!(model.run(floats(3), &|| false).is_ok(), "{name}: what was planned before runs on");
    }
}

#[test]
fn what_a_length_asks_for_in_many_places_is_counted_together() {
    let model = load("by_length_several", 1 << 20).unwrap();
    // Twenty times 4 * 11^4 bytes are more than the limit; at 3, they are not.
    assert!(model.run(floats(3), &|| false).is_ok());
    let error = model.run(floats(11), &|| false).unwrap_err();
    let RunError::TooMuchMemory { place, .. } = error else { panic!("{error}") };
    assert!(place.starts_with("operator `MultiBroadcastTo` (node `part"), "{place}");
}

#[test]
fn a_model_that_cannot_be_planned_is_refused_with_the_operator_and_its_node() {
    for (name, operator, node) in
        [("mismatch", "MatMul", "product"), ("split_by_input", "Split", "cut"), ("pad_wrap", "Pad", "around")]
    {
        match load(name, u64::MAX).err() {
            Some(LoadError::Unsupported(text)) => {
                assert!(text.contains(operator) && text.contains(node), "{name}: {text}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_length_beyond_32_bits_is_refused_with_the_operator_and_its_node() {
    // tract itself gives a tensor without elements for the first.
    for name in ["constant_output", "constant_typed", "constant_untyped", "expand_long", "tile_long", "reshape_long"] {
        match load(name, u64::MAX).err() {
            Some(LoadError::Unsupported(text)) => {
                assert!(
                    text.contains("(node `huge`)") && text.contains("the number 8589934592 to 32 bits"),
                    "{name}: {text}"
                );
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_cast_to_int64_that_tract_would_cut_is_refused_when_it_runs() {
    let model = load("cast_long", u64::MAX).unwrap();
    let run = |x: f64| model.run(vec![Tensor::from_bytes(DType::Float64, &[1], &x.to_le_bytes()).unwrap()], &|| false);
    assert_eq!(run(-3.7).unwrap()[0].as_bytes(), Some(&(-3_i64).to_le_bytes()[..]));
    let error = run(4_294_967_297.0).unwrap_err().to_string();
    assert!(error.contains("(node `whole`)") && error.contains("the number 4294967297 to 32 bits"), "{error}");
}

#[test]
fn a_constant_of_a_shape_is_of_float32_where_nothing_is_said() {
    let model = load("constant_default", u64::MAX).unwrap();
    assert_eq!(model.outputs()[0].to_string(), "float32 [2]");
    assert_eq!(model.run(floats(4), &|| false).unwrap()[0].as_bytes(), Some(&[0; 8][..]));
}

#[test]
fn an_operator_that_fails_in_a_run_is_named_with_its_node() {
    let model = load("erf_double", u64::MAX).unwrap();
    let error = model.run(vec![Tensor::from_bytes(DType::Float64, &[4], &[0; 32]).unwrap()], &|| false).unwrap_err();
    assert!(error.to_string().contains("operator `Erf` (node `bell`)"), "{error}");
}
