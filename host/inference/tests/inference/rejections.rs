//! What operators refuse, word for word: each message names the operator, the argument and the rule.

use spillway_inference::{DType, Kernel, RunError, Tensor};
use spillway_types::operator::*;

use DType::*;
use Operator::*;

use crate::kernels::{compute, picture, tensor_of};

fn zeros(dtype: DType, shape: &[usize]) -> Tensor {
    Tensor::from_bytes(dtype, shape, &vec![0; dtype.size_bytes() * shape.iter().product::<usize>()]).unwrap()
}

fn refusal(operator: Operator, inputs: &[&Tensor]) -> String {
    match Kernel::new(operator, inputs.iter().map(|&tensor| tensor.clone()).collect()) {
        Err(RunError::InvalidArgument(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_refusal_names_operator_argument_and_rule() {
    let x = &zeros(Float32, &[2, 3, 4]);
    let bytes = &zeros(Uint8, &[2, 3, 4]);
    let image = &zeros(Uint8, &[2, 3]);
    let slice = |starts: &[u32], sizes: &[u32], strides: &[u32]| {
        Slice(SliceOptions { starts: starts.into(), sizes: sizes.into(), strides: strides.into() })
    };
    let pad = |before: &[u32], mode| {
        let (beginning_padding, ending_padding) = (before.to_vec(), vec![0, 0, 0]);
        Pad(PadOptions { beginning_padding, ending_padding, mode, value: 0.0 })
    };
    let resample = |sizes, axes| Resample2d(Resample2dOptions { mode: InterpolationMode::Linear, sizes, axes });
    let warp = |matrix: &[f64], sizes| {
        let (mode, border) = (InterpolationMode::Linear, PaddingMode::Edge);
        Warp(WarpOptions { matrix: matrix.into(), sizes, mode, border, value: 0.0 })
    };
    let identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    let arg = |axis, output_data_type| ArgMax(ArgOptions { axis, keep_dimensions: false, output_data_type });
    let reduce =
        |reduction, axes: &[u32]| Reduce(ReduceOptions { reduction, axes: Some(axes.into()), keep_dimensions: false });
    let clamp = |min_value, max_value| Clamp(ClampOptions { min_value, max_value });
    let decode = DecodeImage(DecodeImageOptions { color: ColorMode::Rgb, orient: true });
    let mut cut = picture("rgb.png").as_bytes().unwrap()[..30].to_vec();
    let cut = Tensor::from_bytes(Uint8, &[30], &std::mem::take(&mut cut)).unwrap();
    let cases: &[(Operator, &[&Tensor], &str)] = &[
        (Cast(Int8), &[], "cast: takes 1 input, given 0"),
        (Matmul, &[x], "matmul: takes 2 inputs, given 1"),
        (Reshape(vec![5, 5]), &[x], "reshape: the new shape [5, 5] has 25 elements, but the input has 24, [2, 3, 4]"),
        (Reshape(vec![1; 65]), &[x], "reshape: `new-shape` has 65 axes; a tensor has at most 64"),
        (
            Reshape(vec![u32::MAX; 3]),
            &[x],
            "reshape: `new-shape`: a float32 tensor of shape [4294967295, 4294967295, 4294967295] is larger than any \
             memory",
        ),
        (
            Expand(vec![2, 3, 5]),
            &[x],
            "expand: [2, 3, 4] does not expand to [2, 3, 5]: counted from the last, each axis must be as long as in the \
             new shape, or 1",
        ),
        (Transpose(vec![0, 1]), &[x], "transpose: `permutation` has 2 numbers, but the input has 3 axes, [2, 3, 4]"),
        (
            Transpose(vec![0, 1, 1]),
            &[x],
            "transpose: `permutation` [0, 1, 1] must name each of the input's 3 axes once, counted from 0",
        ),
        (slice(&[0, 0], &[1, 1], &[]), &[x], "slice: `starts` has 2 numbers, but the input has 3 axes, [2, 3, 4]"),
        (slice(&[0, 0, 0], &[1, 0, 1], &[]), &[x], "slice: `sizes` has 0 for axis 1; a window is at least 1 long"),
        (slice(&[0, 0, 0], &[1, 1, 1], &[1, 1, 0]), &[x], "slice: `strides` has 0 for axis 2; a step is at least 1"),
        (
            slice(&[0, 2, u32::MAX], &[2, 2, 1], &[]),
            &[x],
            "slice: `starts` 2 and `sizes` 2 reach past the end of axis 1, which is 3 long",
        ),
        (Concat(0), &[], "concat: takes at least one input, given none"),
        (Concat(3), &[x, x], "concat: `axis` 3 is none of the input's 3, which are counted from 0"),
        (Concat(0), &[x, bytes], "concat: input 1 is uint8, but the first is float32; cast one of them"),
        (
            Concat(0),
            &[x, x, &zeros(Float32, &[2, 4, 4])],
            "concat: input 2 is [2, 4, 4], but must be as [2, 3, 4] in all axes but 0",
        ),
        (
            pad(&[1, 1], PaddingMode::Edge),
            &[x],
            "pad: `beginning-padding` has 2 numbers, but the input has 3 axes, [2, 3, 4]",
        ),
        (pad(&[0, 3, 0], PaddingMode::Reflection), &[x], "pad: axis 1 of 3 elements mirrors at most 2 more, not 3"),
        (
            pad(&[0, 1, 0], PaddingMode::Edge),
            &[&zeros(Float32, &[2, 0, 4])],
            "pad: axis 1 has no element that could be repeated; pad it in mode `constant`",
        ),
        (
            pad(&[u32::MAX, u32::MAX, u32::MAX], PaddingMode::Constant),
            &[x],
            "pad: the result is too large: a float32 tensor of shape [4294967297, 4294967298, 4294967299] is larger than \
             any memory",
        ),
        (
            resample((4, 4), (2, 2)),
            &[x],
            "resample2d: `axes` (2, 2) must be two different axes of the input's 3, counted from 0",
        ),
        (
            resample((4, 4), (2, 3)),
            &[x],
            "resample2d: `axes` (2, 3) must be two different axes of the input's 3, counted from 0",
        ),
        (resample((0, 4), (1, 2)), &[x], "resample2d: `sizes` (0, 4) must be at least 1 each"),
        (
            resample((2, 4), (0, 1)),
            &[&zeros(Boolean, &[2, 2])],
            "resample2d: the input is boolean; it takes float16, float32, float64, int8, int16, int32, int64, uint8, \
             uint16, uint32, uint64; cast it first",
        ),
        (
            resample((2, 4), (0, 1)),
            &[&zeros(Float32, &[2, 0])],
            "resample2d: the axes to resample have no elements, [2, 0]",
        ),
        (
            warp(&identity[1..], (1, 1)),
            &[image],
            "warp: `matrix` must be 9 finite numbers, given [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]",
        ),
        (
            warp(&[f64::NAN; 9], (1, 1)),
            &[image],
            "warp: `matrix` must be 9 finite numbers, given [NaN, NaN, NaN, NaN, NaN, NaN, NaN, NaN, NaN]",
        ),
        (warp(&[1.0; 1000], (1, 1)), &[image], "warp: `matrix` must be 9 finite numbers, given 1000 of them"),
        (
            warp(&identity, (1, 1)),
            &[&zeros(Uint8, &[4])],
            "warp: the input must be [height, width] or [height, width, channels], is [4]",
        ),
        (warp(&identity, (1, 0)), &[image], "warp: `sizes` (1, 0) must be at least 1 each"),
        (warp(&identity, (1, 1)), &[&zeros(Uint8, &[0, 2])], "warp: the input has no pixels, [0, 2]"),
        (decode.clone(), &[x], "decode-image: the input is float32; it takes uint8; cast it first"),
        (decode.clone(), &[bytes], "decode-image: the input must be the bytes of a file, of one axis, is [2, 3, 4]"),
        (
            decode.clone(),
            &[&zeros(Uint8, &[100])],
            "decode-image: the input is no image that it reads: it begins as neither JPEG nor PNG does",
        ),
        (
            Unary(UnaryOperator::Abs),
            &[bytes],
            "abs: the input is uint8; it takes float16, float32, float64, int8, int16, int32, int64; cast it first",
        ),
        (
            Unary(UnaryOperator::LogicalNot),
            &[x],
            "logicalNot: the input is float32; it takes boolean, uint8; cast it first",
        ),
        (
            Binary(BinaryOperator::Add),
            &[x, bytes],
            "add: the inputs are float32 and uint8, but must be of one type; cast one of them",
        ),
        (
            Binary(BinaryOperator::GreaterOrEqual),
            &[x, &zeros(Float32, &[2, 4])],
            "greaterOrEqual: shapes [2, 3, 4] and [2, 4] do not broadcast: counted from the last, axes must be as long \
             or 1, not 3 and 2",
        ),
        (
            Linear(LinearOptions { alpha: 1.0, beta: 0.0 }),
            &[bytes],
            "linear: the input is uint8; it takes float16, float32, float64; cast it first",
        ),
        (clamp(Some(2.0), Some(1.0)), &[x], "clamp: `min-value` 2 must not be above `max-value` 1"),
        (clamp(Some(f64::NAN), None), &[x], "clamp: `min-value` NaN must not be above `max-value` inf"),
        (Softmax(3), &[x], "softmax: `axis` 3 is none of the input's 3, which are counted from 0"),
        (arg(1, Float32), &[x], "argMax: `output-data-type` must be int32 or int64, is float32"),
        (arg(0, Int32), &[&zeros(Float32, &[0, 2])], "argMax: axis 0 has no elements, [0, 2]"),
        (reduce(Reduction::Mean, &[1, 1]), &[x], "reduceMean: `axes` names axis 1 twice"),
        (reduce(Reduction::Mean, &[3]), &[x], "reduceMean: `axes` has 3, but the input has 3 axes, counted from 0"),
        (
            reduce(Reduction::Sum, &[0]),
            &[bytes],
            "reduceSum: the input is uint8; it takes float16, float32, float64, int32, int64, uint32, uint64; cast it \
             first",
        ),
        (
            reduce(Reduction::Max, &[0]),
            &[&zeros(Uint8, &[0, 2])],
            "reduceMax: axes [0] have no elements, [0, 2], and nothing is the extreme of nothing",
        ),
        (
            Matmul,
            &[&zeros(Float32, &[4]), &zeros(Float32, &[4, 4])],
            "matmul: the inputs must have two axes at least, are [4] and [4, 4]",
        ),
        (
            Matmul,
            &[x, x],
            "matmul: the last axis of [2, 3, 4] must be as long as the last but one of [2, 3, 4], but they are 4 and 3",
        ),
    ];
    for (operator, inputs, message) in cases {
        assert_eq!(&refusal(operator.clone(), inputs), message);
    }
    let message = refusal(decode, &[&cut]);
    assert!(message.starts_with("decode-image: the input is no image that it reads: "), "{message}");
}

#[test]
fn a_damaged_picture_is_the_callers_fault_and_not_the_engines() {
    let decode = || DecodeImage(DecodeImageOptions { color: ColorMode::Rgb, orient: true });
    let file = picture("rgb.png");
    let half = &file.as_bytes().unwrap()[..400];
    let half = Tensor::from_bytes(Uint8, &[half.len()], half).unwrap();
    match Kernel::new(decode(), vec![half]).and_then(Kernel::compute) {
        Err(RunError::InvalidArgument(message)) => assert!(message.starts_with("decode-image: "), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_picture_whose_bytes_are_a_view_of_one_byte_is_refused_before_they_are_laid_out() {
    let byte = Tensor::from_bytes(Uint8, &[1], &[0xff]).unwrap();
    let file = compute(Expand(vec![u32::MAX]), &[&byte]);
    let decode = DecodeImage(DecodeImageOptions { color: ColorMode::Rgb, orient: true });
    let message = refusal(decode, &[&file]);
    assert_eq!(message, "decode-image: the input's bytes do not lie in one piece; make them a tensor of their own");
}

#[test]
fn a_picture_that_claims_to_be_enormous_is_priced_before_anything_is_allocated() {
    // The header of a PNG of 65,000 by 65,000 pixels, and no pixels.
    let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xfd\xe8\0\0\xfd\xe8\x08\x02\0\0\0".to_vec();
    file.extend(0xfacc_3cda_u32.to_be_bytes());
    file.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    let checksum = crc32(&file[12..29]);
    file[29..33].copy_from_slice(&checksum.to_be_bytes());
    let file = Tensor::from_bytes(Uint8, &[file.len()], &file).unwrap();
    let decode = DecodeImage(DecodeImageOptions { color: ColorMode::Rgb, orient: true });
    let kernel = Kernel::new(decode, vec![file]).unwrap();
    assert_eq!(kernel.result_bytes(), 65_000 * 65_000 * 3);
    assert!(kernel.scratch_bytes() >= 65_000 * 65_000 * 3 && !kernel.is_short());
}

/// PNG's checksum, ISO 3309.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1)))
    })
}

#[test]
fn a_view_of_anything_costs_nothing_until_it_is_computed_with() {
    let scalar = tensor_of(Float32, &[], &[1.0]);
    let vast = compute(Expand(vec![1 << 30, 1 << 30]), &[&scalar]);
    assert_eq!((vast.byte_length(), vast.bytes_to_copy()), (1 << 62, 1 << 62));
    let all = Reduce(ReduceOptions { reduction: Reduction::Max, axes: None, keep_dimensions: false });
    let kernel = Kernel::new(all, vec![vast.clone()]).unwrap();
    assert_eq!((kernel.result_bytes(), kernel.scratch_bytes(), kernel.is_short()), (4, 1 << 62, false));
    let message = refusal(Expand(vec![u32::MAX, 1 << 30, 1 << 30]), &[&vast]);
    assert!(message.ends_with("is larger than any memory"), "{message}");
}
