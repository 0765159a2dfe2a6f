//! Indices, orders, activations and normalisations against what ONNX Runtime and NumPy compute:
//! `data/kernels/make_indices.py` recorded it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use spillway_inference::{DType, Kernel, Tensor};
use spillway_types::operator::*;

use crate::kernels::{compute, data, difference, recorded, tensor_of, values};
use DType::*;
use Operator::*;

fn triangular(upper: bool, diagonal: i32) -> Operator {
    Triangular(TriangularOptions { upper, diagonal })
}

fn cumulative_sum(axis: u32, exclusive: bool, reversed: bool) -> Operator {
    CumulativeSum(CumulativeSumOptions { axis, exclusive, reversed })
}

fn batch(axis: u32, epsilon: f64, has_scale: bool, has_bias: bool) -> Operator {
    BatchNormalization(BatchNormalizationOptions { axis, epsilon, has_scale, has_bias })
}

fn instance(layout: InputOperandLayout, epsilon: f64, has_scale: bool, has_bias: bool) -> Operator {
    InstanceNormalization(InstanceNormalizationOptions { epsilon, layout, has_scale, has_bias })
}

fn layer(axes: Option<&[u32]>, epsilon: f64, has_scale: bool, has_bias: bool) -> Operator {
    LayerNormalization(LayerNormalizationOptions { axes: axes.map(Into::into), epsilon, has_scale, has_bias })
}

fn slice(starts: &[u32], sizes: &[u32], strides: &[u32]) -> Operator {
    Slice(SliceOptions { starts: starts.into(), sizes: sizes.into(), strides: strides.into() })
}

/// The cases of `make_indices.py`, by name.
#[derive(Default)]
struct Cases(BTreeMap<String, Operator>);

impl Cases {
    fn add(&mut self, name: impl Into<String>, operator: Operator) {
        assert!(self.0.insert(name.into(), operator).is_none(), "two cases of one name");
    }

    /// Cases of one operator: `family_case` each.
    fn family(&mut self, family: &str, cases: &[&str], operator: &Operator) {
        cases.iter().for_each(|case| self.add(format!("{family}_{case}"), operator.clone()));
    }
}

fn index_cases(cases: &mut Cases) {
    for axis in 0..3 {
        cases.add(format!("gather_{axis}"), Gather(axis));
        cases.add(format!("gather_elements_{axis}"), GatherElements(axis));
        cases.add(format!("scatter_elements_{axis}"), ScatterElements(axis));
    }
    cases.family("gather", &["negative", "scalar", "uint32", "float16"], &Gather(1));
    cases.family("gather", &["boolean", "of_nothing", "nothing_of_nothing"], &Gather(0));
    cases.add("gather_held", Gather(2));
    cases.add("gather_no_indices", Gather(1));
    cases.family("gather_elements", &["shorter", "held", "uint32"], &GatherElements(1));
    cases.add("gather_elements_empty", GatherElements(0));
    cases.family("gather_nd", &["1", "2", "3", "one", "held", "uint32", "whole", "empty"], &GatherNd);
    cases.family("scatter_elements", &["held", "no_indices"], &ScatterElements(1));
    cases.family("scatter_elements", &["last_stays", "boolean"], &ScatterElements(0));
    cases.family("scatter_nd", &["1", "2", "3", "held", "last_stays", "whole", "no_indices"], &ScatterNd);
    let shapes = ["condition_broadens", "one_shape", "scalars", "empty"];
    cases.family("where", &[&shapes[..], &["float32", "uint8", "boolean", "float16"]].concat(), &Where);
}

fn order_cases(cases: &mut Cases) {
    for diagonal in [-9, -3, -1, 0, 1, 2, 9] {
        cases.add(format!("triangular_upper_{diagonal}"), triangular(true, diagonal));
        cases.add(format!("triangular_lower_{diagonal}"), triangular(false, diagonal));
    }
    cases.add("triangular_tall_int64", triangular(true, -1));
    cases.add("triangular_boolean", triangular(false, -1));
    cases.add("triangular_float16", triangular(false, 0));
    cases.add("triangular_least", triangular(true, i32::MIN));
    cases.add("triangular_greatest", triangular(true, i32::MAX));
    cases.add("triangular_empty", triangular(true, 0));
    for (axis, exclusive, reversed) in (0..12_u32).map(|case| (case / 4, case & 2 != 0, case & 1 != 0)) {
        let name = format!("cumulative_sum_{axis}_{}_{}", u8::from(exclusive), u8::from(reversed));
        cases.add(name, cumulative_sum(axis, exclusive, reversed));
    }
    let types = ["int32", "uint32", "int64", "uint64", "float64", "float16", "empty"];
    cases.family("cumulative_sum", &types, &cumulative_sum(1, false, false));
    for axes in ["0", "1", "2", "3", "01", "12", "23", "02", "13", "03", "013", "0123"] {
        // In descending order, which makes no difference.
        let list = axes.bytes().rev().map(|digit| u32::from(digit - b'0')).collect();
        cases.add(format!("reverse_{axes}"), Reverse(Some(list)));
    }
    cases.family("reverse", &["all", "empty", "scalar"], &Reverse(None));
    cases.add("reverse_none", Reverse(Some(vec![])));
    cases.add("reverse_boolean", Reverse(Some(vec![1])));
    cases.add("reverse_ones", Reverse(Some(vec![0, 1, 2])));
    let tiles = [
        ("2_3_2", &[2, 3, 2][..]),
        ("1_1_4", &[1, 1, 4]),
        ("3_1_1", &[3, 1, 1]),
        ("1_5_1", &[1, 5, 1]),
        ("once", &[1, 1, 1]),
        ("boolean", &[1, 2]),
        ("never", &[1, 0, 1]),
        ("empty", &[7, 2, 3]),
        ("scalar", &[]),
    ];
    for (name, times) in tiles {
        cases.add(format!("tile_{name}"), Tile(times.into()));
    }
}

fn elementwise_cases(cases: &mut Cases) {
    let all = ["float32", "float64", "float16", "odd"];
    cases.family("hard_swish", &all, &Unary(UnaryOperator::HardSwish));
    cases.family("softplus", &all, &Unary(UnaryOperator::Softplus));
    cases.family("softsign", &all, &Unary(UnaryOperator::Softsign));
    cases.family("is_nan", &all[..3], &Unary(UnaryOperator::IsNan));
    cases.family("is_infinite", &all[..3], &Unary(UnaryOperator::IsInfinite));
    cases.add("identity", Unary(UnaryOperator::Identity));
    cases.family("elu", &all, &Elu(1.5));
    cases.family("hard_sigmoid", &all, &HardSigmoid(LinearOptions { alpha: 0.3, beta: 0.4 }));
    cases.family("leaky_relu", &all, &LeakyRelu(0.1));
    let slopes = ["float32", "scalar", "same_float64", "float16", "int8", "int32", "int64", "empty"];
    cases.family("prelu", &slopes, &Prelu);
}

fn normalisation_cases(cases: &mut Cases) {
    use InputOperandLayout::{Nchw, Nhwc};
    cases.add("batch_normalization", batch(1, 1e-3, true, true));
    cases.add("batch_normalization_last", batch(3, 1e-3, true, true));
    cases.family("batch_normalization", &["plain", "empty"], &batch(1, 1e-5, false, false));
    cases.add("batch_normalization_scale", batch(1, 1e-5, true, false));
    cases.add("batch_normalization_bias", batch(1, 1e-5, false, true));
    cases.family("batch_normalization", &["float64", "float16"], &batch(1, 1e-5, true, true));
    cases.add("batch_normalization_line", batch(0, 0.5, false, false));
    cases.add("instance_normalization", instance(Nchw, 1e-3, true, true));
    cases.add("instance_normalization_last", instance(Nhwc, 1e-3, true, true));
    cases.family("instance_normalization", &["plain", "empty"], &instance(Nchw, 1e-5, false, false));
    cases.add("instance_normalization_scale", instance(Nhwc, 1e-5, true, false));
    cases.add("instance_normalization_bias", instance(Nhwc, 1e-5, false, true));
    cases.family("instance_normalization", &["float64", "float16"], &instance(Nchw, 1e-5, true, true));
    for (name, axes) in [("from_1", &[1, 2, 3][..]), ("from_2", &[2, 3]), ("from_3", &[3])] {
        cases.add(format!("layer_normalization_{name}"), layer(Some(axes), 1e-3, true, true));
    }
    cases.add("layer_normalization_channels", layer(Some(&[1]), 1e-5, true, true));
    cases.add("layer_normalization_any_order", layer(Some(&[3, 0, 1]), 1e-5, true, true));
    cases.add("layer_normalization_scale", layer(Some(&[3, 2]), 1e-5, true, false));
    cases.add("layer_normalization_bias", layer(Some(&[3, 2]), 1e-5, false, true));
    cases.add("layer_normalization_long", layer(None, 1e-5, true, true));
    cases.family("layer_normalization", &["float64", "float16"], &layer(Some(&[2, 3]), 1e-5, true, true));
    cases.add("layer_normalization_no_axes", layer(Some(&[]), 1e-5, true, true));
    let plain = ["plain", "far_from_0", "line", "scalar", "equal", "nan", "empty"];
    cases.family("layer_normalization", &plain, &layer(None, 1e-5, false, false));
}

/// The same values lying otherwise: with the axes in reverse order, or every other element.
fn turned(x: &Tensor) -> Tensor {
    match *x.shape() {
        [] | [0] => x.clone(),
        [length] => {
            let length = length as u32;
            let pairs = compute(Expand(vec![length, 2]), &[&compute(Reshape(vec![length, 1]), &[x])]).to_row_major();
            compute(slice(&[0], &[2 * length - 1], &[2]), &[&compute(Reshape(vec![2 * length]), &[&pairs])])
        }
        _ => {
            let turned = compute(Transpose(vec![]), &[x]).to_row_major();
            compute(Transpose(vec![]), &[&turned])
        }
    }
}

/// The same values as a part of a tensor that has them twice along its last axis.
fn cut(x: &Tensor) -> Tensor {
    let shape: Vec<u32> = x.shape().iter().map(|&length| length as u32).collect();
    let Some(last) = shape.len().checked_sub(1).filter(|_| !shape.contains(&0)) else {
        return x.clone();
    };
    let mut starts = vec![0; shape.len()];
    starts[last] = shape[last];
    compute(slice(&starts, &shape, &[]), &[&compute(Concat(last as u32), &[x, x])])
}

#[test]
fn every_operator_computes_what_other_implementations_do_on_views_too() {
    let recorded_cases: BTreeMap<String, Value> = serde_json::from_slice(&data("indices.json")).unwrap();
    let mut cases = Cases::default();
    index_cases(&mut cases);
    order_cases(&mut cases);
    elementwise_cases(&mut cases);
    normalisation_cases(&mut cases);
    let names = |names: Vec<&String>| names.into_iter().cloned().collect::<BTreeSet<_>>();
    let (computed, known) = (names(cases.0.keys().collect()), names(recorded_cases.keys().collect()));
    assert_eq!(computed, known, "every recorded case is computed, and no other");
    let mut wrong = Vec::new();
    for (name, operator) in cases.0 {
        let case = &recorded_cases[&name];
        let inputs: Vec<Tensor> = case["inputs"].as_array().unwrap().iter().map(recorded).collect();
        let result = compute(operator.clone(), &inputs.iter().collect::<Vec<_>>());
        wrong.extend(difference(&name, &operator, &inputs, &result, case));
        for view in [turned, cut] {
            let views: Vec<Tensor> = inputs.iter().map(view).collect();
            assert!(views.iter().zip(&inputs).all(|(view, input)| bits(view) == bits(input)), "{name}: its views");
            let again = compute(operator.clone(), &views.iter().collect::<Vec<_>>());
            assert_eq!(bits(&again), bits(&result), "{name}: on views as on copies of them");
        }
        for compiled in crate::graphs::alone(&operator, &inputs) {
            assert_eq!(bits(&compiled), bits(&result), "{name}: in a graph as alone");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn bits(tensor: &Tensor) -> Vec<u8> {
    tensor.to_row_major().as_bytes().unwrap().into()
}

#[test]
fn arguments_that_do_not_fit_are_refused_by_name() {
    let of = |dtype, shape: &[usize]| tensor_of(dtype, shape, &vec![0.0; shape.iter().product()]);
    let (x, long) = (of(Float32, &[2, 3, 4]), of(Int64, &[2, 3, 4]));
    let (three, four, one) = (of(Float32, &[3]), of(Float32, &[4]), of(Int32, &[1]));
    let none = of(Float32, &[2, 0, 4]);
    let twice = "takes 2 inputs, given 1";
    let nchw = || instance(InputOperandLayout::Nchw, 1e-5, true, false);
    // As many repetitions as there are, of 16 EiB.
    let huge = compute(Expand(vec![u32::MAX, 1 << 28]), &[&of(Float32, &[1])]);
    let huge_index = compute(Expand(vec![u32::MAX, 1 << 27]), &[&of(Int64, &[1])]);
    let many_axes = of(Int32, &[1; 64]);
    let table: Vec<(Operator, Vec<Tensor>, &str)> = vec![
        (Where, vec![x.clone(), x.clone(), x.clone()], "the condition is float32, but must be boolean or uint8"),
        (Where, vec![x.clone(), x.clone()], "where: takes 3 inputs, given 2"),
        (Gather(0), vec![x.clone()], twice),
        (Gather(3), vec![x.clone(), one.clone()], "`axis` 3 is none of the input's 3"),
        (Gather(u32::MAX), vec![x.clone(), one.clone()], "`axis` 4294967295 is none"),
        (
            Gather(0),
            vec![x.clone(), three.clone()],
            "gather: the indices are float32, but must be int32, uint32 or int64",
        ),
        (Gather(1), vec![none.clone(), one.clone()], "axis 1 of the input has no elements"),
        (Gather(0), vec![x.clone(), huge_index.clone()], "gather: the result is too large"),
        (
            Gather(0),
            vec![x.clone(), many_axes.clone()],
            "gather: the result is too large: a tensor has at most 64 axes",
        ),
        (GatherElements(0), vec![x.clone(), one.clone()], "the indices are [1], but must have the axes of [2, 3, 4]"),
        (GatherElements(9), vec![x.clone(), long.clone()], "`axis` 9"),
        (GatherElements(0), vec![three.clone(), of(Int32, &[])], "the indices are []"),
        (GatherElements(0), vec![of(Float32, &[2, 2]), of(Int32, &[2, 3])], "none longer but axis 0"),
        (GatherElements(1), vec![none.clone(), of(Int32, &[2, 1, 4])], "axis 1 of the input has no elements"),
        (
            GatherNd,
            vec![x.clone(), long.clone()],
            "the indices are [2, 3, 4], but their last axis must have an index for each",
        ),
        (GatherNd, vec![x.clone(), of(Int32, &[])], "the indices are []"),
        (GatherNd, vec![x.clone(), four.clone()], "gatherND: the indices are float32"),
        (GatherNd, vec![none.clone(), of(Int32, &[5, 2])], "gatherND: axis 1 of the input has no elements"),
        (ScatterElements(0), vec![three.clone(), one.clone()], "takes 3 inputs, given 2"),
        (
            ScatterElements(0),
            vec![three.clone(), one.clone(), one.clone()],
            "the updates are int32, but the input is float32",
        ),
        (
            ScatterElements(0),
            vec![three.clone(), one.clone(), four.clone()],
            "the updates are [4], but for these indices must be [1]",
        ),
        (ScatterElements(1), vec![three.clone(), one.clone(), one.clone()], "`axis` 1"),
        (ScatterElements(0), vec![of(Int32, &[0]), one.clone(), one.clone()], "axis 0 of the input has no elements"),
        (
            ScatterNd,
            vec![three.clone(), one.clone(), four.clone()],
            "the updates are [4], but for these indices must be []",
        ),
        (ScatterNd, vec![three.clone(), of(Int32, &[2]), four.clone()], "at most 1"),
        (ScatterNd, vec![of(Int32, &[0]), one.clone(), of(Int32, &[])], "axis 0 of the input has no elements"),
        (triangular(true, 0), vec![three.clone()], "triangular: the input must have two axes at least, is [3]"),
        (triangular(true, 0), vec![], "takes 1 input, given 0"),
        (cumulative_sum(0, false, false), vec![of(Int8, &[3])], "cumulativeSum: the input is int8; it takes"),
        (cumulative_sum(3, false, false), vec![x.clone()], "`axis` 3"),
        (Reverse(Some(vec![1, 1])), vec![x.clone()], "`axes` names axis 1 twice"),
        (Reverse(Some(vec![3])), vec![x.clone()], "`axes` has 3, but the input has 3 axes"),
        (Reverse(None), vec![x.clone(), x.clone()], "takes 1 input, given 2"),
        (Tile(vec![1, 2]), vec![x.clone()], "`repetitions` has 2 numbers, but the input has 3 axes"),
        (Tile(vec![u32::MAX; 3]), vec![x.clone()], "tile: the result is too large"),
        (Tile(vec![1 << 31, u32::MAX]), vec![huge.clone()], "tile: the result is too large"),
        (Elu(1.0), vec![long.clone()], "elu: the input is int64; it takes float16, float32, float64"),
        (HardSigmoid(LinearOptions { alpha: 1.0, beta: 0.0 }), vec![one.clone()], "hardSigmoid: the input is int32"),
        (LeakyRelu(0.1), vec![], "leakyRelu: takes 1 input, given 0"),
        (Prelu, vec![x.clone()], twice),
        (Prelu, vec![one.clone(), of(Int64, &[1])], "prelu: the slope is int64, but the input is int32"),
        (Prelu, vec![of(Uint8, &[3]), of(Uint8, &[3])], "prelu: the input is uint8"),
        (Prelu, vec![four.clone(), x.clone()], "the slope, [2, 3, 4], does not expand to the input's shape [4]"),
        (Prelu, vec![x.clone(), three.clone()], "the slope, [3], does not expand"),
        (
            batch(1, 0.0, true, false),
            vec![x.clone(), three.clone(), three.clone()],
            "takes 4 inputs, x, mean, variance, scale, given 3",
        ),
        (batch(1, 0.0, false, false), vec![], "takes 3 inputs, x, mean, variance, given 0"),
        (
            batch(1, 0.0, false, false),
            vec![x.clone(), three.clone(), four.clone()],
            "the variance is [4], but must be [3]",
        ),
        (batch(3, 0.0, false, false), vec![x.clone(), three.clone(), three.clone()], "`axis` 3"),
        (
            batch(0, 0.0, false, false),
            vec![one.clone(), one.clone(), one.clone()],
            "batchNormalization: the input is int32",
        ),
        (
            batch(0, 0.0, false, false),
            vec![three.clone(), one.clone(), three.clone()],
            "the mean is int32, but the input is float32",
        ),
        (nchw(), vec![x.clone(), three.clone()], "the input must have four axes, is [2, 3, 4]"),
        (nchw(), vec![of(Float32, &[1, 2, 3, 4]), three.clone()], "the scale is [3], but must be [2]"),
        (nchw(), vec![x.clone()], "instanceNormalization: takes 2 inputs, x, scale, given 1"),
        (layer(Some(&[1, 1]), 0.0, false, false), vec![x.clone()], "`axes` names axis 1 twice"),
        (layer(Some(&[0; 100]), 0.0, false, false), vec![x.clone()], "`axes` has 100 axes"),
        (layer(Some(&[3]), 0.0, false, false), vec![x.clone()], "`axis` 3 is none"),
        (layer(Some(&[2]), 0.0, false, true), vec![x.clone(), three.clone()], "the bias is [3], but must be [4]"),
        (layer(None, 0.0, true, true), vec![x.clone(), three.clone()], "takes 3 inputs, x, scale, bias, given 2"),
        (Unary(UnaryOperator::Identity), vec![], "identity: takes 1 input"),
        (Unary(UnaryOperator::IsNan), vec![one.clone()], "isNaN: the input is int32"),
        (Unary(UnaryOperator::Softplus), vec![one.clone()], "softplus: the input is int32"),
    ];
    for (operator, inputs, expected) in table {
        let error = Kernel::new(operator.clone(), inputs.clone()).err();
        let message = error.unwrap_or_else(|| panic!("{operator:?} takes {inputs:?}")).to_string();
        assert!(message.contains(expected), "{operator:?} of {inputs:?}: {message}");
    }
}

#[test]
fn rows_of_a_part_of_a_table_are_gathered_without_a_copy_of_the_table() {
    let table = tensor_of(Float32, &[100, 8], &(0..800).map(f64::from).collect::<Vec<_>>());
    let part = compute(slice(&[50, 2], &[50, 4], &[]), &[&table]);
    let indices = tensor_of(Int32, &[2], &[0.0, -1.0]);
    let kernel = Kernel::new(Gather(0), vec![part.clone(), indices.clone()]).unwrap();
    assert_eq!((kernel.scratch_bytes(), kernel.result_bytes()), (0, 32));
    assert_eq!(values(&kernel.compute().unwrap()), [402.0, 403.0, 404.0, 405.0, 794.0, 795.0, 796.0, 797.0]);
    let columns = Kernel::new(Gather(0), vec![compute(Transpose(vec![]), &[&part]), indices]).unwrap();
    assert_eq!(columns.scratch_bytes(), part.byte_length(), "columns are laid out first");
}

#[test]
fn a_sum_of_many_is_as_good_as_one_of_few() {
    let tenths = compute(Expand(vec![100_000]), &[&tensor_of(Float32, &[1], &[0.1])]);
    let sums = values(&compute(cumulative_sum(0, false, false), &[&tenths]));
    let (last, exact) = (sums[99_999], 100_000.0 * f64::from(0.1_f32));
    assert!((last / exact - 1.0).abs() < 1e-7, "{last}, expected {exact}");
}

#[test]
fn work_on_more_than_one_block_leaves_nothing_out() {
    // 300 by 1000 elements are several blocks, and a row of them more than what is summed at once.
    let numbers: Vec<f64> = (0..300_000).map(|x| f64::from(x % 1009)).collect();
    let x = tensor_of(Float32, &[300, 1000], &numbers);
    let reversed = values(&compute(Reverse(None), &[&x]));
    assert!(reversed.iter().eq(numbers.iter().rev()));
    let halves = values(&compute(Reverse(Some(vec![0])), &[&compute(Reshape(vec![2, 150_000]), &[&x])]));
    assert!(halves.iter().eq(numbers[150_000..].iter().chain(&numbers[..150_000])));
    let upper = values(&compute(triangular(true, 0), &[&x]));
    assert!((0..300_000).all(|at| upper[at] == if at % 1000 >= at / 1000 { numbers[at] } else { 0.0 }));
    let tiled = values(&compute(Tile(vec![1, 2]), &[&x]));
    assert!((0..600_000).all(|at| tiled[at] == numbers[at / 2000 * 1000 + at % 1000]));
    let chosen = values(&compute(Where, &[&tensor_of(Boolean, &[1], &[0.0]), &tensor_of(Float32, &[], &[-1.0]), &x]));
    assert_eq!(chosen, numbers);
    // Where the mean is large beside the deviations, and where it is not.
    for offset in [0.0, 400.0] {
        let numbers: Vec<f64> = numbers.iter().map(|x| x - offset).collect();
        let line = tensor_of(Float32, &[1, 300_000], &numbers);
        let normalised = values(&compute(layer(None, 0.0, false, false), &[&line]));
        let mean = numbers.iter().sum::<f64>() / 3e5;
        let deviation = (numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 3e5).sqrt();
        let wrong = numbers.iter().zip(normalised).map(|(x, y)| (y - (x - mean) / deviation).abs());
        let wrong = wrong.fold(0.0, f64::max);
        assert!(wrong < 1e-6, "{wrong}");
    }
}
