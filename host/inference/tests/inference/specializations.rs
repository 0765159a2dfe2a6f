//! What a manifest fixes about a model. `data/make.py` makes the models and prints the expected numbers, which ONNX
//! Runtime computed.

use spillway_inference::{DType, Engine, LoadError, LoadedModel, Tensor, TractEngine};
use spillway_types::{Scalar, Specialization};

fn load(
    name: &str,
    shapes: &[(&str, &[u32])],
    constants: &[(&str, Scalar)],
) -> Result<Box<dyn LoadedModel>, LoadError> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).with_extension("onnx");
    let specialization = Specialization {
        shapes: shapes.iter().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect(),
        constants: constants.iter().map(|(name, value)| (name.to_string(), *value)).collect(),
    };
    TractEngine.load(std::fs::read(file).unwrap(), &specialization)
}

fn refusal(name: &str, shapes: &[(&str, &[u32])], constants: &[(&str, Scalar)]) -> String {
    load(name, shapes, constants).err().expect("it does not fit").to_string()
}

fn run(model: &dyn LoadedModel, shape: &[usize], values: &[f32]) -> (Vec<usize>, Vec<f32>) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let input = Tensor::from_bytes(DType::Float32, shape, &bytes).unwrap();
    let outputs = model.run(vec![input], &|| false).unwrap();
    let floats = outputs[0]
        .as_bytes()
        .expect("outputs lie row by row")
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes(four.try_into().unwrap()));
    (outputs[0].shape().to_vec(), floats.collect())
}

fn inputs(model: &dyn LoadedModel) -> Vec<String> {
    model.inputs().iter().map(|of| format!("{} {of}", of.name)).collect()
}

#[test]
fn branches_that_constants_and_shapes_decide_are_taken_at_load() {
    assert!(load("branches", &[], &[]).is_err(), "its branches are unlike, and tract wants them alike");
    let rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    for (mode, length, shape, expected) in [
        (0, 1, &[1, 3][..], &[-1.0, -2.0, -3.0][..]),
        (0, 2, &[2, 3], &[-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]),
        (1, 1, &[1], &[103_041.0]),
        (1, 2, &[2, 1], &[321.0, 654.0]),
    ] {
        let model = load("branches", &[("x", &[length, 3])], &[("mode", Scalar::Integer(mode))]).unwrap();
        let length = length as usize;
        assert_eq!(inputs(&*model), [format!("x float32 [{length}, 3]")], "the constant is no input any more");
        let (given_shape, given) = run(&*model, &[length, 3], &rows[..3 * length]);
        assert_eq!((given_shape.as_slice(), given.as_slice()), (shape, expected), "mode {mode}, {length} rows");
    }
}

#[test]
fn an_operator_that_is_missing_in_a_branch_not_taken_is_not_missed() {
    let message = refusal("exotic", &[], &[("flag", Scalar::Boolean(false))]);
    assert!(message.contains("no operator `com.example.Frobnicate`;"), "{message}");
    let message = refusal("exotic", &[], &[("flag", Scalar::Boolean(true))]);
    assert!(message.contains("no operator `com.example.Frobnicate`, `com.example.Wobble`;"), "{message}");
}

#[test]
fn a_shape_fixes_axes_of_the_same_name_everywhere() {
    let model = load("pair", &[("x", &[3])], &[]).unwrap();
    assert_eq!(inputs(&*model), ["x int32 [3]", "y int32 [3]"]);
    assert_eq!(model.outputs()[0].shape, [Some(3)]);
}

#[test]
fn a_constant_fills_the_shape_of_its_input() {
    let model = load("factors", &[("x", &[2, 2])], &[("k", Scalar::from_f64(0.5))]).unwrap();
    assert_eq!(inputs(&*model), ["x float32 [2, 2]"]);
    assert_eq!(run(&*model, &[2, 2], &[1.0, 2.0, 3.0, 4.0]), (vec![2, 2], vec![0.5, 1.0, 1.5, 2.0]));
}

#[test]
fn what_does_not_fit_the_model_names_the_input_and_the_remedy() {
    let one = Scalar::Integer(1);
    let cases = [
        (
            refusal("pair", &[("z", &[1])], &[]),
            "`shapes` names `z`, but the model has no such input; its inputs are `x`, `y`",
        ),
        (
            refusal("pair", &[], &[("w", one)]),
            "`constants` names `w`, but the model has no such input; its inputs are `x`, `y`",
        ),
        (refusal("dense", &[("w", &[3, 2])], &[]), "no such input; its inputs are `x`"),
        (refusal("dense", &[("x", &[4])], &[]), "input `x` has 2 axes in the model, but `shapes` gives 1"),
        (refusal("dense", &[("x", &[1, 4])], &[]), "axis 1 of input `x` is 3 in the model, but `shapes` says 4"),
        (
            refusal("pair", &[("x", &[2]), ("y", &[3])], &[]),
            "axis 0 of input `y` is `n` in the model, and so is an axis of input `x`; `shapes` says 3 here and 2 there",
        ),
        (refusal("factors", &[], &[("k", one)]), "input `k` has free axes; fix them under `shapes` as well"),
        (
            refusal("factors", &[("k", &[u32::MAX, 2])], &[("k", one)]),
            "a constant of type float32 and shape [4294967295, 2] is too large for input `k`",
        ),
        (
            refusal("branches", &[], &[("mode", Scalar::from_f64(1.0))]),
            "input `mode` is of type int64; its constant must be a whole number in its range",
        ),
        (
            refusal("exotic", &[], &[("flag", one)]),
            "input `flag` is of type boolean; its constant must be true or false",
        ),
        (refusal("strings", &[], &[("text", one)]), "input `text` is of a type that tensors do not have"),
    ];
    for (message, expected) in cases {
        assert!(message.starts_with("`shapes` and `constants` do not fit the model: "), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}
