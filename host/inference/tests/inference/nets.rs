//! Products, convolutions and poolings against ONNX Runtime: `data/kernels/make_nets.py` recorded it.

use std::collections::BTreeMap;

use serde_json::Value;
use spillway_inference::{DType, Kernel, RunError, Tensor};
use spillway_types::operator::*;

use DType::*;
use Operator::*;

use crate::kernels::{bits, compute, data, difference, recorded, tensor_of, values};

/// The options of a case, by their names.
struct Options<'a>(&'a Value);

impl Options<'_> {
    fn numbers(&self, name: &str) -> Option<Vec<u32>> {
        let list = self.0.get(name)?.as_array()?;
        Some(list.iter().map(|number| number.as_u64().unwrap() as u32).collect())
    }

    fn pair(&self, name: &str) -> Option<(u32, u32)> {
        self.numbers(name).map(|pair| (pair[0], pair[1]))
    }

    fn padding(&self) -> (u32, u32, u32, u32) {
        let padding = self.numbers("padding").unwrap();
        (padding[0], padding[1], padding[2], padding[3])
    }

    fn word(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn layout(&self, name: &str) -> InputOperandLayout {
        if self.word(name) == "nhwc" { InputOperandLayout::Nhwc } else { InputOperandLayout::Nchw }
    }
}

fn operator_of(case: &Value) -> Operator {
    let options = Options(&case["options"]);
    match case["operator"].as_str().unwrap() {
        "gemm" => Gemm(GemmOptions {
            alpha: options.0["alpha"].as_f64().unwrap(),
            beta: options.0["beta"].as_f64().unwrap(),
            a_transpose: options.0["a_transpose"] == true,
            b_transpose: options.0["b_transpose"] == true,
        }),
        "conv2d" => Conv2d(Conv2dOptions {
            padding: options.padding(),
            strides: options.pair("strides").unwrap(),
            dilations: options.pair("dilations").unwrap(),
            groups: options.0["groups"].as_u64().unwrap() as u32,
            input_layout: options.layout("input_layout"),
            filter_layout: match options.word("filter_layout") {
                "hwio" => FilterOperandLayout::Hwio,
                "ohwi" => FilterOperandLayout::Ohwi,
                "ihwo" => FilterOperandLayout::Ihwo,
                _ => FilterOperandLayout::Oihw,
            },
        }),
        "convTranspose2d" => ConvTranspose2d(ConvTranspose2dOptions {
            padding: options.padding(),
            strides: options.pair("strides").unwrap(),
            dilations: options.pair("dilations").unwrap(),
            output_padding: options.pair("output_padding").unwrap(),
            output_sizes: options.pair("output_sizes"),
            groups: options.0["groups"].as_u64().unwrap() as u32,
            input_layout: options.layout("input_layout"),
            filter_layout: match options.word("filter_layout") {
                "hwoi" => TransposedFilterLayout::Hwoi,
                "ohwi" => TransposedFilterLayout::Ohwi,
                _ => TransposedFilterLayout::Iohw,
            },
        }),
        _ => Pool2d(Pool2dOptions {
            pooling: match options.word("pooling") {
                "average" => Pooling::Average,
                "l2" => Pooling::L2,
                _ => Pooling::Max,
            },
            window_dimensions: options.pair("window"),
            padding: options.padding(),
            strides: options.pair("strides").unwrap(),
            dilations: options.pair("dilations").unwrap(),
            layout: options.layout("layout"),
            output_shape_rounding: match options.word("rounding") {
                "ceil" => RoundingType::Ceil,
                _ => RoundingType::Floor,
            },
            output_sizes: options.pair("output_sizes"),
        }),
    }
}

/// The same values lying in reverse order of the axes.
fn turned(tensor: &Tensor) -> Tensor {
    let turn = || Transpose(vec![]);
    compute(turn(), &[&compute(turn(), &[tensor]).to_row_major()])
}

/// The same values with gaps between them along every axis.
fn scattered(tensor: &Tensor) -> Tensor {
    let shape: Vec<u32> = tensor.shape().iter().map(|&length| length as u32).collect();
    let doubled = compute(Reshape(shape.iter().flat_map(|&length| [length, 1]).collect()), &[tensor]);
    let doubled = compute(Expand(shape.iter().flat_map(|&length| [length, 2]).collect()), &[&doubled]).to_row_major();
    let wide: Vec<u32> = shape.iter().map(|length| 2 * length).collect();
    let wide_tensor = compute(Reshape(wide.clone()), &[&doubled]);
    let (starts, strides) = (vec![0; shape.len()], vec![2; shape.len()]);
    compute(Slice(SliceOptions { starts, sizes: wide, strides }), &[&wide_tensor])
}

#[test]
fn products_convolutions_and_pools_compute_what_onnx_runtime_does() {
    let cases: BTreeMap<String, Value> = serde_json::from_slice(&data("nets.json")).unwrap();
    assert!(cases.len() > 200);
    let mut wrong = Vec::new();
    for (name, case) in &cases {
        let inputs: Vec<Tensor> = case["inputs"].as_array().unwrap().iter().map(recorded).collect();
        let operator = operator_of(case);
        let result = compute(operator.clone(), &inputs.iter().collect::<Vec<_>>());
        wrong.extend(difference(name, &operator, &inputs, &result, case));
        for (how, view) in [("turned", turned as fn(&Tensor) -> Tensor), ("scattered", scattered)] {
            let views: Vec<Tensor> = inputs.iter().map(view).collect();
            let again = compute(operator.clone(), &views.iter().collect::<Vec<_>>());
            assert_eq!(bits(&again), bits(&result), "{name}, {how}: on views as on copies of them");
        }
        for compiled in crate::graphs::alone(&operator, &inputs) {
            assert_eq!(bits(&compiled), bits(&result), "{name}: in a graph as alone");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Numbers between -1 and 1 that use all bits of their type.
fn uneven(shape: &[usize], seed: usize) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|index| ((index * 7919 + seed) as f64 * 0.618_033_988_75).sin()).collect();
    tensor_of(Float32, shape, &values)
}

/// Shapes at which `faer` and we change the way: vectors, small products, long sums, thin ones.
#[test]
fn how_matrices_lie_makes_no_difference_to_the_bits_of_their_product() {
    for rows in [1, 2, 3, 5, 17, 100] {
        for depth in [1, 2, 3, 16, 40, 300, 700] {
            for columns in [1, 2, 3, 16, 31, 100] {
                let (a, b) = (uneven(&[rows, depth], 1), uneven(&[depth, columns], 2));
                let views = |x: &Tensor| [x.clone(), turned(x), scattered(x)];
                let first = bits(&compute(Matmul, &[&a, &b]));
                for a in views(&a) {
                    for b in views(&b) {
                        let again = bits(&compute(Matmul, &[&a, &b]));
                        assert_eq!(again, first, "{rows} by {depth} by {columns}");
                    }
                }
            }
        }
    }
}

/// A repeated row or column is read again and again where it lies.
#[test]
fn products_of_repeated_rows_and_columns_are_those_of_copies() {
    for (rows, depth, columns) in [(1, 5, 7), (6, 20, 9), (40, 50, 60)] {
        let (a, b) = (uneven(&[rows, depth], 3), uneven(&[depth, columns], 4));
        let row = compute(Expand(vec![rows as u32, depth as u32]), &[&uneven(&[1, depth], 5)]);
        let column = compute(Expand(vec![depth as u32, columns as u32]), &[&uneven(&[depth, 1], 6)]);
        for (a, b) in [(&row, &b), (&a, &column), (&row, &column)] {
            let copies = compute(Matmul, &[&a.to_row_major(), &b.to_row_major()]);
            assert_eq!(bits(&compute(Matmul, &[a, b])), bits(&copies), "{rows} by {depth} by {columns}");
        }
    }
}

/// Larger than any block, in every order of axes: all ways to compute one convolution agree.
#[test]
fn large_convolutions_agree_in_all_orders_of_axes() {
    let (image, filter) = (uneven(&[1, 70, 40, 43], 7), uneven(&[20, 70, 3, 3], 8));
    let options = conv();
    let options = Conv2dOptions { padding: (1, 1, 1, 1), ..options };
    let expected = compute(Conv2d(options), &[&image, &filter]);
    let image = compute(Transpose(vec![0, 2, 3, 1]), &[&image]);
    let input_layout = InputOperandLayout::Nhwc;
    let result = compute(Conv2d(Conv2dOptions { input_layout, ..options }), &[&image, &filter]);
    let result = compute(Transpose(vec![0, 3, 1, 2]), &[&result]);
    let pairs = values(&result).into_iter().zip(values(&expected));
    let furthest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(furthest < 1e-4, "{furthest}");
    // The transposed convolution is the other's adjoint: <conv(x), y> = <x, conv_transpose(y)>.
    let y = uneven(&[1, 20, 40, 43], 9);
    let image = compute(Transpose(vec![0, 3, 1, 2]), &[&image]);
    let transposed = ConvTranspose2dOptions { padding: (1, 1, 1, 1), ..conv_transpose() };
    let back = compute(ConvTranspose2d(transposed), &[&y, &filter]);
    let inner = |a: &Tensor, b: &Tensor| -> f64 { values(a).into_iter().zip(values(b)).map(|(a, b)| a * b).sum() };
    let (one, other) = (inner(&expected, &y), inner(&image, &back));
    assert!((one - other).abs() < 1e-3 * one.abs().max(1.0), "{one} {other}");
}

#[test]
fn what_has_no_elements_is_computed_all_the_same() {
    let none = |shape: &[usize]| Tensor::from_bytes(Float32, shape, &[]).unwrap();
    let filter = uneven(&[3, 2, 1, 1], 0);
    assert_eq!(compute(Conv2d(conv()), &[&none(&[0, 2, 4, 4]), &filter]).shape(), [0, 3, 4, 4]);
    let (image, bias) = (none(&[1, 0, 2, 2]), uneven(&[3], 0));
    let result = compute(Conv2d(conv()), &[&image, &none(&[3, 0, 1, 1]), &bias]);
    assert_eq!(bits(&result)[..5], [&[bits(&bias)[0]; 4][..], &bits(&bias)[1..2]].concat());
    let result = compute(ConvTranspose2d(conv_transpose()), &[&image, &none(&[0, 3, 1, 1]), &bias]);
    assert_eq!(result.shape(), [1, 3, 2, 2]);
    let result = compute(ConvTranspose2d(conv_transpose()), &[&uneven(&[1, 2, 2, 2], 0), &none(&[2, 0, 1, 1])]);
    assert_eq!(result.shape(), [1, 0, 2, 2]);
    assert_eq!(compute(Pool2d(pool()), &[&none(&[2, 0, 4, 4])]).shape(), [2, 0, 3, 3]);
    assert_eq!(compute(Gemm(gemm()), &[&none(&[2, 0]), &none(&[0, 3])]).shape(), [2, 3]);
    assert_eq!(compute(Gemm(gemm()), &[&none(&[0, 2]), &uneven(&[2, 3], 0)]).shape(), [0, 3]);
    let c = uneven(&[3], 0);
    let result = compute(Gemm(gemm()), &[&none(&[2, 0]), &none(&[0, 3]), &c]);
    assert_eq!(bits(&result)[3..], bits(&c)[..]);
}

/// As IEEE 754 has it, and as the operators' documentation says where no other implementation does.
#[test]
fn pools_pass_nan_on_and_windows_without_elements_have_a_value() {
    let x = recorded(&serde_json::json!({ "dtype": "float32", "shape": [1, 1, 1, 3], "data": [1, "nan", -2] }));
    let pooled = |pooling, padding, window_dimensions, x: &Tensor| {
        let window_dimensions = Some(window_dimensions);
        values(&compute(Pool2d(Pool2dOptions { pooling, padding, window_dimensions, ..pool() }), &[x]))
    };
    let greatest = pooled(Pooling::Max, (0, 0, 0, 0), (1, 2), &x);
    assert!(greatest.iter().all(|x| x.is_nan()), "{greatest:?}");
    let one = tensor_of(Float32, &[1, 1, 1, 1], &[3.0]);
    assert_eq!(pooled(Pooling::Max, (0, 0, 2, 0), (1, 2), &one), [f64::NEG_INFINITY, 3.0]);
    assert_eq!(pooled(Pooling::L2, (0, 0, 2, 0), (1, 2), &one), [0.0, 3.0]);
    let average = pooled(Pooling::Average, (0, 0, 2, 0), (1, 2), &one);
    assert!(average[0].is_nan() && average[1] == 3.0, "{average:?}");
    let byte = tensor_of(Int8, &[1, 1, 1, 1], &[3.0]);
    assert_eq!(pooled(Pooling::Max, (0, 0, 2, 0), (1, 2), &byte), [-128.0, 3.0]);
}

fn gemm() -> GemmOptions {
    GemmOptions { alpha: 1.0, beta: 1.0, a_transpose: false, b_transpose: false }
}

pub(crate) fn conv() -> Conv2dOptions {
    Conv2dOptions {
        padding: (0, 0, 0, 0),
        strides: (1, 1),
        dilations: (1, 1),
        groups: 1,
        input_layout: InputOperandLayout::Nchw,
        filter_layout: FilterOperandLayout::Oihw,
    }
}

fn conv_transpose() -> ConvTranspose2dOptions {
    ConvTranspose2dOptions {
        padding: (0, 0, 0, 0),
        strides: (1, 1),
        dilations: (1, 1),
        output_padding: (0, 0),
        output_sizes: None,
        groups: 1,
        input_layout: InputOperandLayout::Nchw,
        filter_layout: TransposedFilterLayout::Iohw,
    }
}

fn pool() -> Pool2dOptions {
    Pool2dOptions {
        pooling: Pooling::Max,
        window_dimensions: Some((2, 2)),
        padding: (0, 0, 0, 0),
        strides: (1, 1),
        dilations: (1, 1),
        layout: InputOperandLayout::Nchw,
        output_shape_rounding: RoundingType::Floor,
        output_sizes: None,
    }
}

#[test]
fn each_refusal_of_a_net_operator_names_the_rule() {
    const MOST: u32 = u32::MAX;
    let x = &uneven(&[1, 4, 5, 5], 0);
    let filter = &uneven(&[6, 4, 3, 3], 0);
    let grouped = &uneven(&[6, 2, 3, 3], 0);
    let other = &uneven(&[4, 6, 3, 3], 0);
    let tall = &uneven(&[6, 4, 9, 1], 0);
    let flat = &uneven(&[6, 4], 0);
    let column = &uneven(&[6, 1, 3, 3], 0);
    let empty = &Tensor::from_bytes(Float32, &[6, 4, 0, 3], &[]).unwrap();
    let double = &tensor_of(Float64, &[6, 4, 3, 3], &[0.0; 216]);
    let bytes = &tensor_of(Uint8, &[1, 1, 2, 2], &[0.0; 4]);
    let (four, six) = (&uneven(&[4], 0), &uneven(&[6], 0));
    let (c, t, p) = (conv(), conv_transpose(), pool());
    let cases: Vec<(Operator, Vec<&Tensor>, &str)> = vec![
        (Gemm(gemm()), vec![flat], "gemm: takes 2 or 3 inputs, given 1"),
        (Gemm(gemm()), vec![flat, four], "gemm: B must have two axes, has [4]"),
        (Gemm(gemm()), vec![flat, flat], "A has 4 columns and B 6 rows"),
        (
            Gemm(GemmOptions { b_transpose: true, ..gemm() }),
            vec![flat, flat, four],
            "C, of shape [4], does not broadcast",
        ),
        (
            Gemm(GemmOptions { a_transpose: true, ..gemm() }),
            vec![flat, flat, x],
            "does not broadcast to the product's [4, 4]",
        ),
        (Gemm(gemm()), vec![bytes, flat], "gemm: the input is uint8; it takes float16, float32, float64"),
        (Conv2d(c), vec![x], "conv2d: takes 2 or 3 inputs, given 1"),
        (Conv2d(c), vec![bytes, filter], "conv2d: the input is uint8"),
        (Conv2d(c), vec![x, double], "the image is float32, but the filter float64; cast one of them"),
        (Conv2d(c), vec![flat, filter], "the image must have four axes, has [6, 4]"),
        (Conv2d(c), vec![x, flat], "the filter must have four axes, has [6, 4]"),
        (Conv2d(c), vec![x, filter, four], "the bias must have one axis of 6"),
        (Conv2d(c), vec![x, grouped], "the image has 4 channels, but the filter takes 2 for each of 1 `groups`"),
        (Conv2d(Conv2dOptions { groups: 0, ..c }), vec![x, filter], "`groups` must be 1 or more"),
        (Conv2d(Conv2dOptions { groups: MOST, ..c }), vec![x, filter], "for each of 4294967295 `groups`"),
        (Conv2d(Conv2dOptions { groups: 4, ..c }), vec![x, column, six], "output channels do not fall into 4 `groups`"),
        (Conv2d(Conv2dOptions { strides: (0, 1), ..c }), vec![x, filter], "`strides` must be 1 or more, are 0 and 1"),
        (
            Conv2d(Conv2dOptions { dilations: (1, 0), ..c }),
            vec![x, filter],
            "`dilations` must be 1 or more, are 1 and 0",
        ),
        (
            Conv2d(Conv2dOptions { dilations: (1, MOST), ..c }),
            vec![x, filter],
            "a window of width 8589934591, dilation included",
        ),
        (Conv2d(c), vec![x, tall], "a window of height 9, dilation included, does not fit the padded image's 5"),
        (Conv2d(c), vec![x, empty], "the window has no height"),
        (Conv2d(Conv2dOptions { padding: (MOST, MOST, MOST, MOST), ..c }), vec![x, filter, six], "too large"),
        (ConvTranspose2d(t), vec![x], "convTranspose2d: takes 2 or 3 inputs, given 1"),
        (ConvTranspose2d(t), vec![x, filter], "the image has 4 channels, but the filter takes 6 input channels"),
        (
            ConvTranspose2d(ConvTranspose2dOptions { groups: 3, ..t }),
            vec![x, other],
            "4 channels do not fall into 3 `groups`",
        ),
        (
            ConvTranspose2d(ConvTranspose2dOptions { strides: (1, 0), ..t }),
            vec![x, other],
            "`strides` must be 1 or more",
        ),
        (
            ConvTranspose2d(ConvTranspose2dOptions { output_padding: (0, 1), ..t }),
            vec![x, other],
            "must be less than the stride, 1",
        ),
        (
            ConvTranspose2d(ConvTranspose2dOptions { output_sizes: Some((8, 7)), ..t }),
            vec![x, other],
            "says height 8, but must be 7 to 7",
        ),
        (
            ConvTranspose2d(ConvTranspose2dOptions { padding: (4, 3, 0, 0), ..t }),
            vec![x, other],
            "takes away all height that there is, 7",
        ),
        (
            ConvTranspose2d(ConvTranspose2dOptions { padding: (MOST, MOST, 0, 0), ..t }),
            vec![x, other],
            "takes away more height than the 7",
        ),
        (
            ConvTranspose2d(ConvTranspose2dOptions { strides: (MOST, MOST), dilations: (MOST, MOST), ..t }),
            vec![x, other],
            "too large",
        ),
        (Pool2d(p), vec![x, x], "maxPool2d: takes 1 input, given 2"),
        (Pool2d(p), vec![flat], "the image must have four axes"),
        (Pool2d(Pool2dOptions { pooling: Pooling::Average, ..p }), vec![bytes], "averagePool2d: the input is uint8"),
        (Pool2d(Pool2dOptions { pooling: Pooling::L2, ..p }), vec![bytes], "l2Pool2d: the input is uint8"),
        (Pool2d(Pool2dOptions { window_dimensions: Some((0, 1)), ..p }), vec![x], "the window has no height"),
        (Pool2d(Pool2dOptions { window_dimensions: Some((1, MOST)), ..p }), vec![x], "a window of width 4294967295"),
        (Pool2d(Pool2dOptions { strides: (0, 0), ..p }), vec![x], "`strides` must be 1 or more"),
        (
            Pool2d(Pool2dOptions { output_sizes: Some((4, 5)), ..p }),
            vec![x],
            "`output-sizes` says width 5, but must be 4 or 4",
        ),
        (Pool2d(Pool2dOptions { padding: (MOST, MOST, MOST, MOST), ..p }), vec![x], "too large"),
    ];
    for (operator, inputs, phrase) in cases {
        let given = inputs.iter().map(|&tensor| tensor.clone()).collect();
        match Kernel::new(operator.clone(), given) {
            Err(RunError::InvalidArgument(message)) => assert!(message.contains(phrase), "{message}\n{phrase}"),
            other => panic!("{operator:?}: {other:?}, expected {phrase}"),
        }
    }
}

/// Taps that meet nothing are passed over: a window of four thousand million rows takes no time.
#[test]
fn windows_far_larger_than_the_image_cost_what_the_image_has() {
    let x = uneven(&[1, 1, 2, 3], 0);
    let edge = u32::MAX / 2;
    let options = Pool2dOptions {
        pooling: Pooling::Average,
        window_dimensions: Some((edge, edge)),
        padding: (edge, 0, edge, 0),
        ..pool()
    };
    let result = compute(Pool2d(Pool2dOptions { strides: (edge, edge), ..options }), &[&x]);
    assert_eq!(result.shape(), [1, 1, 1, 1]);
    assert!(values(&result)[0].is_nan());
    let options = Pool2dOptions { padding: (edge - 2, 0, edge - 3, 0), ..options };
    let result = compute(Pool2d(options), &[&x]);
    let mean = values(&x).iter().sum::<f64>() / 6.0;
    assert!((values(&result)[0] - mean).abs() < 1e-6);
}

/// A view costs its maker nothing, so what it is laid out to must be charged.
#[test]
fn a_repeated_bias_is_charged_for_though_there_is_no_image() {
    let outputs = 1 << 20;
    for (dtype, bytes) in [(Float16, 4), (Float32, 4), (Float64, 8)] {
        let none = |shape: &[usize]| Tensor::from_bytes(dtype, shape, &[]).unwrap();
        let bias = compute(Expand(vec![outputs as u32]), &[&tensor_of(dtype, &[1], &[1.0])]);
        let inputs = vec![none(&[0, 0, 1, 1]), none(&[outputs, 0, 1, 1]), bias.clone()];
        assert!(Kernel::new(Conv2d(conv()), inputs).unwrap().scratch_bytes() >= bytes * outputs, "{dtype}");
        let inputs = vec![none(&[0, 0, 1, 1]), none(&[0, outputs, 1, 1]), bias];
        let kernel = Kernel::new(ConvTranspose2d(conv_transpose()), inputs).unwrap();
        assert!(kernel.scratch_bytes() >= bytes * outputs, "{dtype}");
    }
}
