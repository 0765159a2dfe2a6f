//! Every operator against what NumPy, OpenCV, Pillow and ONNX Runtime compute: `data/kernels/make.py` recorded it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use spillway_inference::{DType, Kernel, Tensor};
use spillway_types::operator::*;

use DType::*;
use Operator::*;

use crate::tolerance::{self, Tolerance};

/// Computes `operator` on the calling thread.
pub(crate) fn compute(operator: Operator, inputs: &[&Tensor]) -> Tensor {
    let kernel = Kernel::new(operator, inputs.iter().map(|&tensor| tensor.clone()).collect()).unwrap();
    let bytes = kernel.result_bytes();
    let result = kernel.compute().unwrap();
    let is_shared = inputs.iter().any(|input| input.shares_storage_with(&result));
    assert_eq!(bytes, if is_shared { 0 } else { result.byte_length() }, "a result costs what was predicted");
    result
}

pub(crate) fn tensor_of(dtype: DType, shape: &[usize], values: &[f64]) -> Tensor {
    let values: Vec<Value> = values.iter().map(|&x| serde_json::json!(x)).collect();
    Tensor::from_bytes(dtype, shape, &values.iter().flat_map(|x| bytes_of(dtype, x)).collect::<Vec<u8>>()).unwrap()
}

fn float(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().expect("a number, inf or nan").parse().unwrap())
}

fn bytes_of(dtype: DType, value: &Value) -> Vec<u8> {
    let integer = || value.as_i64().unwrap_or_else(|| value.as_f64().unwrap() as i64);
    match dtype {
        Float16 => tract_onnx::prelude::f16::from_f64(float(value)).to_le_bytes().to_vec(),
        Float32 => (float(value) as f32).to_le_bytes().to_vec(),
        Float64 => float(value).to_le_bytes().to_vec(),
        Int8 => (integer() as i8).to_le_bytes().to_vec(),
        Int16 => (integer() as i16).to_le_bytes().to_vec(),
        Int32 => (integer() as i32).to_le_bytes().to_vec(),
        Int64 => integer().to_le_bytes().to_vec(),
        Uint8 | Boolean => (integer() as u8).to_le_bytes().to_vec(),
        Uint16 => (integer() as u16).to_le_bytes().to_vec(),
        Uint32 => (integer() as u32).to_le_bytes().to_vec(),
        Uint64 => value.as_u64().unwrap_or_else(|| integer() as u64).to_le_bytes().to_vec(),
    }
}

/// The elements as `f64`, row by row; 64-bit integers beyond 2^53 are rounded.
pub(crate) fn values(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_row_major();
    let bytes = tensor.as_bytes().expect("it is row-major");
    macro_rules! read {
        ($T:ty) => {
            bytes.chunks_exact(size_of::<$T>()).map(|x| <$T>::from_le_bytes(x.try_into().unwrap()) as f64).collect()
        };
    }
    match tensor.dtype() {
        Float16 => {
            let halves = bytes.chunks_exact(2).map(|x| tract_onnx::prelude::f16::from_le_bytes(x.try_into().unwrap()));
            halves.map(|x| x.to_f64()).collect()
        }
        Float32 => read!(f32),
        Float64 => read!(f64),
        Int8 => read!(i8),
        Int16 => read!(i16),
        Int32 => read!(i32),
        Int64 => read!(i64),
        Uint8 | Boolean => read!(u8),
        Uint16 => read!(u16),
        Uint32 => read!(u32),
        Uint64 => read!(u64),
    }
}

pub(crate) fn data(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/kernels").join(name)).unwrap()
}

/// The picture of this name, as `decode-image` takes it.
pub(crate) fn picture(name: &str) -> Tensor {
    let bytes = data(name);
    Tensor::from_bytes(Uint8, &[bytes.len()], &bytes).unwrap()
}

pub(crate) fn recorded(value: &Value) -> Tensor {
    let name = value["dtype"].as_str().unwrap();
    let all = [Float16, Float32, Float64, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64, Boolean];
    let dtype = all.into_iter().find(|dtype| dtype.name() == name).unwrap();
    let shape: Vec<usize> = value["shape"].as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as usize).collect();
    let bytes: Vec<u8> = value["data"].as_array().unwrap().iter().flat_map(|x| bytes_of(dtype, x)).collect();
    Tensor::from_bytes(dtype, &shape, &bytes).unwrap()
}

fn transpose(permutation: &[u32]) -> Operator {
    Transpose(permutation.into())
}

fn slice(starts: &[u32], sizes: &[u32], strides: &[u32]) -> Operator {
    Slice(SliceOptions { starts: starts.into(), sizes: sizes.into(), strides: strides.into() })
}

fn pad(mode: PaddingMode, before: &[u32], after: &[u32], value: f64) -> Operator {
    Pad(PadOptions { beginning_padding: before.into(), ending_padding: after.into(), mode, value })
}

fn reduce(reduction: Reduction, axes: Option<&[u32]>, keep_dimensions: bool) -> Operator {
    Reduce(ReduceOptions { reduction, axes: axes.map(Into::into), keep_dimensions })
}

fn arg(axis: u32, keep_dimensions: bool, output_data_type: DType) -> ArgOptions {
    ArgOptions { axis, keep_dimensions, output_data_type }
}

fn resample(mode: InterpolationMode, sizes: (u32, u32), axes: (u32, u32)) -> Operator {
    Resample2d(Resample2dOptions { mode, sizes, axes })
}

const MODES: [(&str, InterpolationMode); 3] = [
    ("nearest", InterpolationMode::NearestNeighbor),
    ("linear", InterpolationMode::Linear),
    ("cubic", InterpolationMode::Cubic),
];

const BORDERS: [(&str, PaddingMode); 3] =
    [("constant", PaddingMode::Constant), ("edge", PaddingMode::Edge), ("reflection", PaddingMode::Reflection)];

/// What is done in a case of `make.py`: to each input first, if anything, and then to all.
#[derive(Default)]
struct Cases(BTreeMap<String, (Vec<Operator>, Operator)>);

impl Cases {
    fn add(&mut self, name: impl Into<String>, operator: Operator) {
        self.on_views(name, &[], operator);
    }

    fn on_views(&mut self, name: impl Into<String>, first: &[Operator], operator: Operator) {
        assert!(self.0.insert(name.into(), (first.to_vec(), operator)).is_none(), "two cases of one name");
    }
}

fn view_cases(cases: &mut Cases) {
    cases.add("reshape", Reshape(vec![4, 6]));
    cases.add("expand", Expand(vec![5, 2, 3, 4]));
    cases.add("transpose", transpose(&[2, 0, 1]));
    cases.add("transpose_reversed", transpose(&[]));
    cases.add("slice", slice(&[1, 0, 1], &[1, 3, 3], &[1, 2, 2]));
    cases.on_views("slice_of_transpose", &[transpose(&[2, 1, 0])], slice(&[1, 0, 1], &[3, 3, 1], &[2, 1, 1]));
    cases.on_views("reshape_of_transpose", &[transpose(&[1, 2, 0])], Reshape(vec![6, 4]));
    for dtype in [Int8, Uint8, Int16, Uint16, Int32, Uint32, Int64, Uint64, Float16, Boolean] {
        cases.add(format!("cast_float32_{dtype}"), Cast(dtype));
    }
    for dtype in [Int8, Uint8, Int32, Uint64, Float32] {
        cases.add(format!("cast_int64_{dtype}"), Cast(dtype));
    }
    cases.on_views("cast_uint8_float32_transposed", &[transpose(&[2, 0, 1])], Cast(Float32));
    for (name, axis) in [("concat_1", 1), ("concat_0", 0)] {
        cases.add(name, Concat(axis));
    }
    cases.on_views("concat_of_transposes", &[transpose(&[]), transpose(&[])], Concat(1));
    let (before, after) = ([1, 0, 1], [2, 3, 0]);
    cases.add("pad_constant", pad(PaddingMode::Constant, &before, &after, 7.5));
    cases.add("pad_edge", pad(PaddingMode::Edge, &before, &after, 0.0));
    cases.add("pad_reflection", pad(PaddingMode::Reflection, &before, &after, 0.0));
    cases.add("pad_constant_uint8", pad(PaddingMode::Constant, &[0, 2, 0], &[1, 0, 0], 255.0));
    cases.add("pad_empty", pad(PaddingMode::Constant, &[0, 1, 0], &[0, 1, 0], 9.0));
}

fn elementwise_cases(cases: &mut Cases) {
    use UnaryOperator as U;
    let everywhere = [
        ("abs", U::Abs),
        ("ceil", U::Ceil),
        ("cos", U::Cos),
        ("exp", U::Exp),
        ("floor", U::Floor),
        ("log", U::Log),
        ("neg", U::Neg),
        ("reciprocal", U::Reciprocal),
        ("round_even", U::RoundEven),
        ("sign", U::Sign),
        ("sin", U::Sin),
        ("sqrt", U::Sqrt),
        ("tan", U::Tan),
        ("tanh", U::Tanh),
        ("relu", U::Relu),
        ("sigmoid", U::Sigmoid),
    ];
    for (name, operator) in everywhere {
        for dtype in [Float16, Float32, Float64] {
            cases.add(format!("{name}_{dtype}"), Unary(operator));
        }
    }
    let here = [
        ("erf_float32", U::Erf),
        ("gelu_float32", U::Gelu),
        ("abs_int8", U::Abs),
        ("neg_int8", U::Neg),
        ("sign_int64", U::Sign),
        ("relu_int32", U::Relu),
        ("logical_not_uint8", U::LogicalNot),
        ("logical_not_boolean", U::LogicalNot),
    ];
    for (name, operator) in here {
        cases.add(name, Unary(operator));
    }
    let linear = Linear(LinearOptions { alpha: 0.25, beta: -1.5 });
    cases.add("linear_float32", linear.clone());
    cases.add("linear_float64", linear.clone());
    cases.on_views("linear_float16_of_transpose", &[transpose(&[])], linear);
    let clamp = |min_value, max_value| Clamp(ClampOptions { min_value, max_value });
    cases.add("clamp_float32", clamp(Some(-0.5), Some(1.25)));
    cases.add("clamp_int8", clamp(Some(0.5), Some(100.5)));
    cases.add("clamp_below_only", clamp(Some(0.5), None));
}

fn binary_cases(cases: &mut Cases) {
    use BinaryOperator as B;
    let everywhere = [
        ("add", B::Add),
        ("sub", B::Sub),
        ("mul", B::Mul),
        ("div", B::Div),
        ("max", B::Max),
        ("min", B::Min),
        ("pow", B::Pow),
        ("equal", B::Equal),
        ("not_equal", B::NotEqual),
        ("greater", B::Greater),
        ("greater_or_equal", B::GreaterOrEqual),
        ("lesser", B::Lesser),
        ("lesser_or_equal", B::LesserOrEqual),
    ];
    for (name, operator) in everywhere {
        for case in ["float32", "scalar_float64", "same_float16", "int8"] {
            cases.add(format!("{name}_{case}"), Binary(operator));
        }
    }
    cases.add("add_wraps_uint8", Binary(B::Add));
    cases.add("logical_and", Binary(B::LogicalAnd));
    cases.add("logical_or", Binary(B::LogicalOr));
    cases.add("logical_xor", Binary(B::LogicalXor));
    cases.add("logical_and_uint8", Binary(B::LogicalAnd));
    cases.on_views("add_of_views", &[transpose(&[])], Binary(B::Add));
    cases.add("add_empty", Binary(B::Add));
}

fn image_cases(cases: &mut Cases) {
    for (name, mode) in MODES {
        cases.add(format!("resample2d_{name}_up"), resample(mode, (8, 13), (2, 3)));
        // Axes in the other order, with their lengths.
        cases.add(format!("resample2d_{name}_down"), resample(mode, (4, 3), (3, 2)));
        for (border_name, border) in BORDERS {
            let matrix = if mode == InterpolationMode::NearestNeighbor {
                vec![1.0, 0.0, -3.0, 0.0, -1.0, 20.0, 0.0, 0.0, 1.0]
            } else {
                vec![0.5, 0.25, -1.75, -0.25, 0.75, 0.5, 0.0, 0.0, 1.0]
            };
            let options = WarpOptions { matrix, sizes: (16, 21), mode, border, value: 9.0 };
            cases.add(format!("warp_{name}_{border_name}_float32"), Warp(options.clone()));
            cases.add(format!("warp_{name}_{border_name}_uint8"), Warp(options));
        }
    }
    cases.add("resample2d_nearest_half", resample(InterpolationMode::NearestNeighbor, (2, 3), (2, 3)));
    for (name, mode) in &MODES[1..] {
        for (height, width) in [(5, 6), (20, 17), (9, 23)] {
            cases.add(format!("resample2d_{name}_uint8_{height}_{width}"), resample(*mode, (height, width), (0, 1)));
        }
        cases.add(format!("resample2d_{name}_gray"), resample(*mode, (20, 17), (0, 1)));
        cases.add(format!("resample2d_{name}_rgba"), resample(*mode, (20, 17), (0, 1)));
        cases.add(format!("resample2d_{name}_five"), resample(*mode, (4, 9), (0, 1)));
    }
    let part = slice(&[2, 3, 0], &[6, 7, 3], &[]);
    cases.on_views("resample2d_of_slice", &[part], resample(InterpolationMode::Linear, (5, 12), (0, 1)));
}

fn reducing_cases(cases: &mut Cases) {
    cases.add("arg_max_last", ArgMax(arg(2, false, Int64)));
    cases.add("arg_max_middle", ArgMax(arg(1, false, Int32)));
    cases.add("arg_min_kept", ArgMin(arg(1, true, Int64)));
    cases.add("arg_max_ties", ArgMax(arg(1, false, Int64)));
    cases.add("arg_min_ties", ArgMin(arg(1, false, Int64)));
    cases.add("arg_max_nan", ArgMax(arg(1, false, Int64)));
    cases.add("arg_max_nan_columns", ArgMax(arg(0, false, Int64)));
    let reductions = [
        ("l1", Reduction::L1),
        ("l2", Reduction::L2),
        ("log_sum", Reduction::LogSum),
        ("log_sum_exp", Reduction::LogSumExp),
        ("max", Reduction::Max),
        ("mean", Reduction::Mean),
        ("min", Reduction::Min),
        ("product", Reduction::Product),
        ("sum", Reduction::Sum),
        ("sum_square", Reduction::SumSquare),
    ];
    for (name, reduction) in reductions {
        cases.add(format!("reduce_{name}_all"), reduce(reduction, None, false));
        cases.add(format!("reduce_{name}_last"), reduce(reduction, Some(&[2]), false));
        cases.add(format!("reduce_{name}_outer_kept"), reduce(reduction, Some(&[2, 0]), true));
        cases.add(format!("reduce_{name}_float16"), reduce(reduction, Some(&[1]), false));
    }
    cases.add("reduce_max_nan", reduce(Reduction::Max, Some(&[1]), false));
    cases.add("reduce_log_sum_exp_large", reduce(Reduction::LogSumExp, None, false));
    cases.add("reduce_sum_int32_wraps", reduce(Reduction::Sum, Some(&[1]), false));
    cases.add("reduce_l1_int32", reduce(Reduction::L1, Some(&[1]), false));
    cases.add("reduce_max_int8", reduce(Reduction::Max, None, false));
    cases.add("reduce_sum_empty", reduce(Reduction::Sum, Some(&[1]), false));
    cases.add("reduce_product_empty", reduce(Reduction::Product, Some(&[1]), false));
    cases.add("reduce_no_axes", reduce(Reduction::Sum, Some(&[]), false));
    for axis in 0..3 {
        cases.add(format!("softmax_{axis}"), Softmax(axis));
    }
    cases.add("softmax_large", Softmax(1));
    cases.add("softmax_float16", Softmax(2));
    for name in ["matmul_batches", "matmul_float64", "matmul_float16", "matmul_empty"] {
        cases.add(name, Matmul);
    }
    cases.on_views("matmul_of_transpose", &[slice_none(4), transpose(&[])], Matmul);
    cases.on_views("matmul_of_repeated_row", &[slice_none(4), Expand(vec![6, 4])], Matmul);
}

/// A permutation of `rank` axes that leaves them where they are.
fn slice_none(rank: u32) -> Operator {
    Transpose((0..rank).collect())
}

#[test]
fn every_operator_computes_what_other_implementations_do() {
    let recorded_cases: BTreeMap<String, Value> = serde_json::from_slice(&data("kernels.json")).unwrap();
    let mut cases = Cases::default();
    view_cases(&mut cases);
    elementwise_cases(&mut cases);
    binary_cases(&mut cases);
    image_cases(&mut cases);
    reducing_cases(&mut cases);
    let decoded = |name: &String| name.starts_with("decode_") || name == "warp_crop";
    let named: BTreeSet<_> = recorded_cases.keys().filter(|name| !decoded(name)).collect();
    assert_eq!(cases.0.keys().collect::<BTreeSet<_>>(), named, "every recorded case is computed, and no other");
    let mut wrong = Vec::new();
    for (name, (first, operator)) in cases.0 {
        let case = &recorded_cases[&name];
        let mut inputs: Vec<Tensor> = case["inputs"].as_array().unwrap().iter().map(recorded).collect();
        for (input, operator) in inputs.iter_mut().zip(first) {
            *input = compute(operator, &[input]);
        }
        if name == "matmul_of_repeated_row" {
            inputs[1] = compute(transpose(&[]), &[&inputs[1]]);
        }
        let result = compute(operator.clone(), &inputs.iter().collect::<Vec<_>>());
        wrong.extend(difference(&name, &operator, &inputs, &result, case));
        // The same on tensors of their own, so that how elements lie makes no difference.
        let own: Vec<Tensor> = inputs.iter().map(Tensor::to_row_major).collect();
        let again = compute(operator.clone(), &own.iter().collect::<Vec<_>>());
        assert_eq!(bits(&again), bits(&result), "{name}: on views as on copies of them");
        for compiled in super::graphs::alone(&operator, &inputs) {
            assert_eq!(bits(&compiled), bits(&result), "{name}: in a graph as alone");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

pub(crate) fn bits(tensor: &Tensor) -> Vec<u64> {
    values(tensor).into_iter().map(f64::to_bits).collect()
}

/// Where the result of `operator` is further from what was recorded than WebNN allows; where that says nothing, or the type is
/// none of its, than was recorded with it.
pub(crate) fn difference(
    name: &str,
    operator: &Operator,
    inputs: &[Tensor],
    result: &Tensor,
    case: &Value,
) -> Option<String> {
    let (expected, recorded) = (recorded(&case["expected"]), case["tolerance"].as_f64().unwrap());
    if (result.dtype(), result.shape()) != (expected.dtype(), expected.shape()) {
        return Some(format!("{name}: {result:?}, expected {expected:?}"));
    }
    // One of whole numbers is meant for bytes, as it is.
    let recorded = if recorded >= 1.0 { Tolerance::Absolute(recorded) } else { Tolerance::Share(recorded) };
    let allowed = tolerance::of(operator, inputs, result.dtype()).unwrap_or(recorded);
    let wrong = tolerance::beyond(allowed, operator, inputs, result, &expected)?;
    Some(format!("{name}: {wrong}"))
}

#[test]
fn pictures_decode_as_by_pillow() {
    let recorded_cases: BTreeMap<String, Value> = serde_json::from_slice(&data("kernels.json")).unwrap();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (name, case) in recorded_cases.iter().filter(|(name, _)| name.starts_with("decode_")) {
        let (color, file, orient) = match name.as_str() {
            "decode_bgr" => (ColorMode::Bgr, "rgb.png", true),
            "decode_not_oriented" => (ColorMode::Rgb, "orientation6.jpg", false),
            other => match other.strip_prefix("decode_").unwrap().split_once('_').unwrap() {
                ("L", file) => (ColorMode::Grayscale, file, true),
                ("RGBA", file) => (ColorMode::Rgba, file, true),
                (_, file) => (ColorMode::Rgb, file, true),
            },
        };
        let (operator, file) = (DecodeImage(DecodeImageOptions { color, orient }), picture(file));
        let result = compute(operator.clone(), &[&file]);
        wrong.extend(difference(name, &operator, &[file], &result, case));
        seen += 1;
    }
    assert_eq!(seen, 27);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_crop_through_a_projective_map_is_as_by_opencv() {
    let recorded_cases: BTreeMap<String, Value> = serde_json::from_slice(&data("kernels.json")).unwrap();
    let case = &recorded_cases["warp_crop"];
    let (mode, border) = (InterpolationMode::Cubic, PaddingMode::Edge);
    let matrix = values(&recorded(&case["inputs"][1]));
    let operator = Warp(WarpOptions { matrix, sizes: (12, 32), mode, border, value: 0.0 });
    let picture = recorded(&case["inputs"][0]);
    let result = compute(operator.clone(), &[&picture]);
    assert_eq!(difference("warp_crop", &operator, &[picture], &result, case), None);
}

fn floats(shape: &[usize], numbers: &[f32]) -> Tensor {
    Tensor::from_bytes(Float32, shape, &numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()).unwrap()
}

/// As NumPy computes `exp(x - max) / sum`: what is masked has no part, and what is nothing but masked, or beyond all numbers,
/// has no answer.
#[test]
fn softmax_of_infinities_and_of_what_is_no_number() {
    const INFINITY: f32 = f32::INFINITY;
    // Longer than a vector, so that all its paths are taken.
    let masked: Vec<f32> = (0..70).map(|index| if index % 2 == 0 { 3.0 } else { -INFINITY }).collect();
    for axis in [0, 1] {
        let lie = |numbers: &[f32]| {
            if axis == 1 { floats(&[1, numbers.len()], numbers) } else { floats(&[numbers.len(), 1], numbers) }
        };
        let of = |numbers: &[f32]| values(&compute(Softmax(axis), &[&lie(numbers)]));
        let shared = of(&masked);
        assert!(shared.iter().skip(1).step_by(2).all(|x| *x == 0.0), "{shared:?}");
        assert!(shared.iter().step_by(2).all(|x| (x - 1.0 / 35.0).abs() < 1e-8), "{shared:?}");
        for numbers in [
            vec![-INFINITY; 70],
            vec![INFINITY; 70],
            [&masked[..], &[f32::NAN]].concat(),
            [&[f32::NAN], &masked[..]].concat(),
        ] {
            assert!(of(&numbers).iter().all(|x| x.is_nan()), "{numbers:?}");
        }
        let beyond = of(&[&masked[..], &[INFINITY]].concat());
        assert!(beyond.last().unwrap().is_nan() && beyond[..70].iter().all(|x| *x == 0.0 || x.is_nan()), "{beyond:?}");
        // So far apart that the lesser is no number any more.
        assert_eq!(of(&[0.0, -1e30, -87.0])[1], 0.0);
        assert!((of(&[0.0, -80.0])[1] / 1.804_851_4e-35 - 1.0).abs() < 1e-5);
    }
}

/// `matmul`, `gemm` and `conv2d` keep to IEEE 754: a row that meets NaN is NaN, and what does not meet it is not.
#[test]
fn products_with_infinities_and_with_what_is_no_number() {
    for size in [3, 40] {
        let mut numbers = vec![1.0; size * size];
        (numbers[0], numbers[size]) = (f32::NAN, f32::INFINITY);
        let (a, ones) = (floats(&[size, size], &numbers), floats(&[size, size], &vec![1.0; size * size]));
        let gemm = GemmOptions { alpha: 1.0, beta: 1.0, a_transpose: false, b_transpose: false };
        let image = compute(Reshape(vec![1, size as u32, size as u32, 1]), &[&compute(Transpose(vec![]), &[&a])]);
        let filter = compute(Reshape(vec![size as u32, size as u32, 1, 1]), &[&ones]);
        let convolution = crate::nets::conv();
        for product in [
            compute(Matmul, &[&a, &ones]),
            compute(Gemm(gemm), &[&a, &ones]),
            compute(
                Transpose(vec![]),
                &[&compute(Reshape(vec![size as u32; 2]), &[&compute(Conv2d(convolution), &[&image, &filter])])],
            ),
        ] {
            let product = values(&product);
            assert!(product[..size].iter().all(|x| x.is_nan()), "{product:?}");
            assert!(product[size..2 * size].iter().all(|x| *x == f64::INFINITY), "{product:?}");
            assert!(product[2 * size..].iter().all(|x| *x == size as f64), "{product:?}");
        }
    }
}
