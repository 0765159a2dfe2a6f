//! ONNX's operators on images in ours: those of two spatial axes.

use spillway_types::operator::*;

use super::node::Node;
use super::run::{Reason, Run, Value};
use crate::kernels::values;

/// Of height and width.
type Pair = (u32, u32);

fn image<'a>(node: &'a Node<'_>) -> Result<&'a Value, Reason> {
    let input = node.first()?;
    if input.rank() == 4 { Ok(input) } else { Err(format!("an image of {} axes", input.rank())) }
}

fn pair(node: &Node<'_>, name: &str) -> Pair {
    node.numbers(name).map_or((1, 1), |list| (list[0] as u32, list[1] as u32))
}

/// Before and after the height, before and after the width.
fn padding(node: &Node<'_>, window: Pair) -> Result<(u32, u32, u32, u32), Reason> {
    let (shape, strides, dilations) = (image(node)?.shape(), pair(node, "strides"), pair(node, "dilations"));
    let kind = node.word("auto_pad", "NOTSET");
    let same = |length: usize, window: u32, stride: u32, dilation: u32| {
        let length = length as u32;
        let outputs = length.div_ceil(stride);
        let whole = ((outputs - 1) * stride + (window - 1) * dilation + 1).saturating_sub(length);
        let (less, more) = (whole / 2, whole - whole / 2);
        if kind == "SAME_UPPER" { (less, more) } else { (more, less) }
    };
    match kind.as_str() {
        "VALID" => Ok((0, 0, 0, 0)),
        "SAME_UPPER" | "SAME_LOWER" => {
            let height = same(shape[2], window.0, strides.0, dilations.0);
            let width = same(shape[3], window.1, strides.1, dilations.1);
            Ok((height.0, height.1, width.0, width.1))
        }
        _ => {
            let list = node.numbers("pads").unwrap_or_else(|| vec![0; 4]);
            Ok((list[0] as u32, list[2] as u32, list[1] as u32, list[3] as u32))
        }
    }
}

fn inputs<'a>(node: &'a Node<'_>) -> Vec<&'a Value> {
    (0..3).filter_map(|index| node.input(index)).collect()
}

fn window_of_filter(node: &Node<'_>) -> Result<Pair, Reason> {
    image(node)?;
    let shape = node.input(1).ok_or("no filter")?.shape();
    Ok((shape[2] as u32, shape[3] as u32))
}

pub(super) fn conv(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    let options = Conv2dOptions {
        padding: padding(node, window_of_filter(node)?)?,
        strides: pair(node, "strides"),
        dilations: pair(node, "dilations"),
        groups: node.number("group", 1) as u32,
        input_layout: InputOperandLayout::Nchw,
        filter_layout: FilterOperandLayout::Oihw,
    };
    run.apply(Operator::Conv2d(options), &inputs(node))
}

pub(super) fn conv_transpose(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    let window = window_of_filter(node)?;
    let (shape, strides, dilations) = (image(node)?.shape(), pair(node, "strides"), pair(node, "dilations"));
    let mut around = padding(node, window)?;
    let kind = node.word("auto_pad", "NOTSET");
    let mut output_sizes = node.numbers("output_shape").map(|list| {
        let [.., height, width] = list[..] else { unreachable!("two spatial axes") };
        (height as u32, width as u32)
    });
    if kind.starts_with("SAME") {
        output_sizes = Some((shape[2] as u32 * strides.0, shape[3] as u32 * strides.1));
    }
    // With a shape for its output, ONNX takes as much away as is too much.
    if let Some((height, width)) = output_sizes {
        let excess = |length: usize, stride: u32, window: u32, dilation: u32, output: u32| {
            let whole = (((length as u32 - 1) * stride + (window - 1) * dilation + 1).saturating_sub(output)) as usize;
            let (less, more) = ((whole / 2) as u32, (whole - whole / 2) as u32);
            if kind == "SAME_UPPER" { (less, more) } else { (more, less) }
        };
        let (top, bottom) = excess(shape[2], strides.0, window.0, dilations.0, height);
        let (left, right) = excess(shape[3], strides.1, window.1, dilations.1, width);
        around = (top, bottom, left, right);
    }
    let options = ConvTranspose2dOptions {
        padding: around,
        strides,
        dilations,
        output_padding: node.numbers("output_padding").map_or((0, 0), |list| (list[0] as u32, list[1] as u32)),
        output_sizes,
        groups: node.number("group", 1) as u32,
        input_layout: InputOperandLayout::Nchw,
        filter_layout: TransposedFilterLayout::Iohw,
    };
    run.apply(Operator::ConvTranspose2d(options), &inputs(node))
}

pub(super) fn pool(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    let kind = node.kind();
    let is_whole = kind.starts_with("Global");
    image(node)?;
    let window = pair(node, "kernel_shape");
    let around = if is_whole { (0, 0, 0, 0) } else { padding(node, window)? };
    if node.number("count_include_pad", 0) == 1 && around != (0, 0, 0, 0) {
        return Err("option count_include_pad".into());
    }
    if kind == "LpPool" && node.number("p", 2) != 2 {
        return Err("option p".into());
    }
    let is_ceil = node.number("ceil_mode", 0) == 1;
    if is_ceil && !is_whole && leaves_one_out(node, window, around)? {
        return Err("a window beyond the edge, which ONNX leaves out and WebNN counts".into());
    }
    let options = Pool2dOptions {
        pooling: match kind {
            "LpPool" => Pooling::L2,
            kind if kind.ends_with("AveragePool") => Pooling::Average,
            _ => Pooling::Max,
        },
        window_dimensions: (!is_whole).then_some(window),
        padding: around,
        strides: pair(node, "strides"),
        dilations: pair(node, "dilations"),
        layout: InputOperandLayout::Nchw,
        output_shape_rounding: if is_ceil { RoundingType::Ceil } else { RoundingType::Floor },
        output_sizes: None,
    };
    run.apply(Operator::Pool2d(options), &[node.first()?])
}

/// Whether the last of the windows begins behind the image, in the padding or where there is none.
fn leaves_one_out(node: &Node<'_>, window: Pair, around: (u32, u32, u32, u32)) -> Result<bool, Reason> {
    let (shape, strides, dilations) = (image(node)?.shape(), pair(node, "strides"), pair(node, "dilations"));
    let begins_behind = |length: usize, window: u32, stride: u32, dilation: u32, before: u32, after: u32| {
        let slide = length as u32 + before + after - (window - 1) * dilation - 1;
        slide.div_ceil(stride) * stride >= length as u32 + before
    };
    Ok(begins_behind(shape[2], window.0, strides.0, dilations.0, around.0, around.1)
        || begins_behind(shape[3], window.1, strides.1, dilations.1, around.2, around.3))
}

pub(super) fn resize(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    let input = image(node)?;
    let is_usual = node.word("coordinate_transformation_mode", "half_pixel") == "half_pixel"
        && node.word("keep_aspect_ratio_policy", "stretch") == "stretch"
        && node.number("antialias", 0) == 0
        && node.number("exclude_outside", 0) == 0
        && node.float("cubic_coeff_a", -0.75) == -0.75
        && node.word("nearest_mode", "round_prefer_floor") == "round_prefer_floor";
    if !is_usual {
        return Err("option of resize".into());
    }
    let mode = match node.word("mode", "nearest").as_str() {
        "linear" => InterpolationMode::Linear,
        "cubic" => InterpolationMode::Cubic,
        _ => InterpolationMode::NearestNeighbor,
    };
    let rank = input.rank();
    let along = node.numbers("axes").unwrap_or_else(|| (0..rank as i64).collect());
    let list = |index| node.input(index).map(|value| values(&value.tensor)).filter(|list| !list.is_empty());
    let (scales, sizes) = (list(2), list(3));
    let mut wanted: Vec<usize> = input.shape().to_vec();
    for (index, &at) in along.iter().enumerate() {
        let at = super::node::axis(at, rank) as usize;
        let length = input.shape()[at] as f64;
        let exact = sizes.as_ref().map_or_else(|| length * scales.as_ref().unwrap()[index], |sizes| sizes[index]);
        if exact.fract() != 0.0 {
            return Err("scales that do not give whole lengths".into());
        }
        wanted[at] = exact as usize;
    }
    if wanted[..2] != input.shape()[..2] {
        return Err("an image resized along other axes".into());
    }
    let options = Resample2dOptions { mode, sizes: (wanted[2] as u32, wanted[3] as u32), axes: (2, 3) };
    run.apply(Operator::Resample2d(options), &[input])
}
