//! What ONNX's operators are in ours.

use spillway_inference::{DType, Tensor};
use spillway_types::operator::*;
use tract_onnx::pb::{AttributeProto, NodeProto};

use super::file::{dtype, tensor};
use super::run::{Reason, Run, Value};
use super::windows;
use crate::kernels::values;

use BinaryOperator as B;
use UnaryOperator as U;

/// A node with what it is given; what it is not given is `None`.
pub(super) struct Node<'a> {
    proto: &'a NodeProto,
    inputs: Vec<Option<Value>>,
}

impl Node<'_> {
    pub(super) fn input(&self, index: usize) -> Option<&Value> {
        self.inputs.get(index).and_then(Option::as_ref)
    }

    pub(super) fn first(&self) -> Result<&Value, Reason> {
        self.input(0).ok_or_else(|| "no input".into())
    }

    pub(super) fn kind(&self) -> &str {
        &self.proto.op_type
    }

    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.proto.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn number(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.i)
    }

    pub(super) fn float(&self, name: &str, default: f32) -> f64 {
        f64::from(self.attribute(name).map_or(default, |attribute| attribute.f))
    }

    pub(super) fn word(&self, name: &str, default: &str) -> String {
        self.attribute(name).map_or(default.into(), |attribute| String::from_utf8_lossy(&attribute.s).into_owned())
    }

    pub(super) fn numbers(&self, name: &str) -> Option<Vec<i64>> {
        self.attribute(name).map(|attribute| attribute.ints.clone())
    }

    /// An input that is a list of whole numbers, or the attribute that older versions have in its place.
    fn list(&self, index: usize, name: &str) -> Option<Vec<i64>> {
        let input = self.input(index).map(|value| values(&value.tensor).into_iter().map(|x| x as i64).collect());
        input.or_else(|| self.numbers(name))
    }

    fn none_of(&self, options: &[(&str, i64)]) -> Result<(), Reason> {
        let other = options.iter().find(|(name, usual)| self.number(name, *usual) != *usual);
        other.map_or(Ok(()), |(name, _)| Err(format!("option {name}")))
    }
}

pub(super) fn axis(axis: i64, rank: usize) -> u32 {
    (if axis < 0 { axis + rank as i64 } else { axis }) as u32
}

fn axes(list: &[i64], rank: usize) -> Vec<u32> {
    list.iter().map(|&one| axis(one, rank)).collect()
}

fn lengths(shape: &[usize]) -> Vec<u32> {
    shape.iter().map(|&length| length as u32).collect()
}

fn integers(list: &[i64]) -> Tensor {
    Tensor::from_bytes(DType::Int64, &[list.len()], &list.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
        .unwrap()
}

fn unary(name: &str) -> Option<UnaryOperator> {
    Some(match name {
        "Abs" => U::Abs,
        "Ceil" => U::Ceil,
        "Cos" => U::Cos,
        "Erf" => U::Erf,
        "Exp" => U::Exp,
        "Floor" => U::Floor,
        "HardSwish" => U::HardSwish,
        "Identity" => U::Identity,
        "IsNaN" => U::IsNan,
        "Log" => U::Log,
        "Neg" => U::Neg,
        "Not" => U::LogicalNot,
        "Reciprocal" => U::Reciprocal,
        "Relu" => U::Relu,
        "Round" => U::RoundEven,
        "Sigmoid" => U::Sigmoid,
        "Sign" => U::Sign,
        "Sin" => U::Sin,
        "Softplus" => U::Softplus,
        "Softsign" => U::Softsign,
        "Sqrt" => U::Sqrt,
        "Tan" => U::Tan,
        "Tanh" => U::Tanh,
        _ => return None,
    })
}

fn binary(name: &str) -> Option<BinaryOperator> {
    Some(match name {
        "Add" | "Sum" => B::Add,
        "And" => B::LogicalAnd,
        "Div" => B::Div,
        "Equal" => B::Equal,
        "Greater" => B::Greater,
        "GreaterOrEqual" => B::GreaterOrEqual,
        "Less" => B::Lesser,
        "LessOrEqual" => B::LesserOrEqual,
        "Max" => B::Max,
        "Min" => B::Min,
        "Mul" => B::Mul,
        "Or" => B::LogicalOr,
        "Pow" => B::Pow,
        "Sub" => B::Sub,
        "Xor" => B::LogicalXor,
        _ => return None,
    })
}

fn reduction(name: &str) -> Option<Reduction> {
    Some(match name {
        "ReduceL1" => Reduction::L1,
        "ReduceL2" => Reduction::L2,
        "ReduceLogSum" => Reduction::LogSum,
        "ReduceLogSumExp" => Reduction::LogSumExp,
        "ReduceMax" => Reduction::Max,
        "ReduceMean" => Reduction::Mean,
        "ReduceMin" => Reduction::Min,
        "ReduceProd" => Reduction::Product,
        "ReduceSum" => Reduction::Sum,
        "ReduceSumSquare" => Reduction::SumSquare,
        _ => return None,
    })
}

/// What a node gives, or why it has none of our operators.
pub(super) fn compute(run: &mut Run, proto: &NodeProto) -> Result<Vec<Value>, Reason> {
    let inputs = proto.input.iter().map(|name| match name.as_str() {
        "" => Ok(None),
        name => run.names.get(name).cloned().map(Some).ok_or_else(|| format!("no value {name}")),
    });
    let node = Node { proto, inputs: inputs.collect::<Result<_, Reason>>()? };
    let name = proto.op_type.as_str();
    if let Some(operator) = unary(name) {
        return one(run.apply(Operator::Unary(operator), &[node.first()?]));
    }
    if let Some(operator) = binary(name) {
        return fold(run, &node, operator);
    }
    if let Some(reduction) = reduction(name) {
        return one(reduce(run, &node, reduction));
    }
    one(match name {
        "Split" => return split(run, &node),
        "Constant" => constant(run, &node),
        "Shape" => shape_of(run, &node),
        "Size" => {
            let count = node.first()?.shape().iter().product::<usize>() as i64;
            Ok(run.leaf(Tensor::from_bytes(DType::Int64, &[], &count.to_le_bytes()).unwrap()))
        }
        "Range" | "Mod" => whole_numbers(run, &node),
        "ConstantOfShape" => constant_of_shape(run, &node),
        "Cast" => dtype(node.number("to", 0) as i32).and_then(|to| run.apply(Operator::Cast(to), &[node.first()?])),
        "CastLike" => {
            let to = node.input(1).ok_or("no input")?.tensor.dtype();
            run.apply(Operator::Cast(to), &[node.first()?])
        }
        "Clip" => clip(run, &node),
        "Concat" | "Where" | "MatMul" | "PRelu" => every_input(run, &node),
        "Gather" | "GatherElements" | "GatherND" | "ScatterElements" | "Scatter" | "ScatterND" => indexed(run, &node),
        "ArgMax" | "ArgMin" => extreme(run, &node),
        "Softmax" => {
            let along = axis(node.number("axis", -1), node.first()?.rank());
            run.apply(Operator::Softmax(along), &[node.first()?])
        }
        "Elu" => run.apply(Operator::Elu(node.float("alpha", 1.0)), &[node.first()?]),
        "LeakyRelu" => run.apply(Operator::LeakyRelu(node.float("alpha", 0.01)), &[node.first()?]),
        "HardSigmoid" => {
            let options = LinearOptions { alpha: node.float("alpha", 0.2), beta: node.float("beta", 0.5) };
            run.apply(Operator::HardSigmoid(options), &[node.first()?])
        }
        "Gelu" if node.word("approximate", "none") == "none" => run.apply(Operator::Unary(U::Gelu), &[node.first()?]),
        "IsInf" => {
            node.none_of(&[("detect_negative", 1), ("detect_positive", 1)])?;
            run.apply(Operator::Unary(U::IsInfinite), &[node.first()?])
        }
        "CumSum" => cumulative_sum(run, &node),
        "Trilu" => {
            let diagonal = node.list(1, "").map_or(0, |list| list[0] as i32);
            let options = TriangularOptions { upper: node.number("upper", 1) == 1, diagonal };
            run.apply(Operator::Triangular(options), &[node.first()?])
        }
        "Tile" => {
            let repeats = node.list(1, "repeats").unwrap_or_default().into_iter().map(|x| x as u32).collect();
            run.apply(Operator::Tile(repeats), &[node.first()?])
        }
        "Transpose" => {
            let order = node.numbers("perm").unwrap_or_default().into_iter().map(|x| x as u32).collect();
            run.apply(Operator::Transpose(order), &[node.first()?])
        }
        "Expand" => expand(run, &node),
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => reshape(run, &node),
        "Slice" => slice(run, &node),
        "Pad" => pad(run, &node),
        "Gemm" | "BatchNormalization" | "InstanceNormalization" | "LayerNormalization" => layers(run, &node),
        "Conv" => windows::conv(run, &node),
        "ConvTranspose" => windows::conv_transpose(run, &node),
        "AveragePool" | "MaxPool" | "LpPool" | "GlobalAveragePool" | "GlobalMaxPool" => windows::pool(run, &node),
        "Resize" => windows::resize(run, &node),
        other => Err(format!("operator {other}")),
    })
}

fn one(value: Result<Value, Reason>) -> Result<Vec<Value>, Reason> {
    value.map(|value| vec![value])
}

fn fold(run: &mut Run, node: &Node<'_>, operator: BinaryOperator) -> Result<Vec<Value>, Reason> {
    let mut result = node.first()?.clone();
    if node.inputs.len() == 1 {
        return one(run.apply(Operator::Unary(U::Identity), &[&result]));
    }
    for other in node.inputs[1..].iter().flatten() {
        result = run.apply(Operator::Binary(operator), &[&result, other])?;
    }
    Ok(vec![result])
}

fn every_input(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    let inputs: Vec<&Value> = node.inputs.iter().flatten().collect();
    let operator = match node.kind() {
        "Concat" => Operator::Concat(axis(node.number("axis", 0), node.first()?.rank())),
        "Where" => Operator::Where,
        "MatMul" => Operator::Matmul,
        _ => Operator::Prelu,
    };
    run.apply(operator, &inputs)
}

fn indexed(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    node.none_of(&[("batch_dims", 0)])?;
    if node.word("reduction", "none") != "none" {
        return Err("option reduction".into());
    }
    let inputs: Vec<&Value> = node.inputs.iter().flatten().collect();
    let along = axis(node.number("axis", 0), node.first()?.rank());
    let operator = match node.kind() {
        "Gather" => Operator::Gather(along),
        "GatherElements" => Operator::GatherElements(along),
        "GatherND" => Operator::GatherNd,
        "ScatterND" => Operator::ScatterNd,
        _ => Operator::ScatterElements(along),
    };
    run.apply(operator, &inputs)
}

fn reduce(run: &mut Run, node: &Node<'_>, reduction: Reduction) -> Result<Value, Reason> {
    let input = node.first()?;
    let listed = node.list(1, "axes").filter(|list| !list.is_empty()).map(|list| axes(&list, input.rank()));
    let is_noop = listed.is_none() && node.number("noop_with_empty_axes", 0) == 1;
    let axes = if is_noop { Some(Vec::new()) } else { listed };
    let options = ReduceOptions { reduction, axes, keep_dimensions: node.number("keepdims", 1) == 1 };
    run.apply(Operator::Reduce(options), &[input])
}

fn extreme(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    node.none_of(&[("select_last_index", 0)])?;
    let options = ArgOptions {
        axis: axis(node.number("axis", 0), node.first()?.rank()),
        keep_dimensions: node.number("keepdims", 1) == 1,
        output_data_type: DType::Int64,
    };
    let operator = if node.kind() == "ArgMax" { Operator::ArgMax(options) } else { Operator::ArgMin(options) };
    run.apply(operator, &[node.first()?])
}

fn clip(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    let bound = |index| node.input(index).map(|value| values(&value.tensor)[0]);
    run.apply(Operator::Clamp(ClampOptions { min_value: bound(1), max_value: bound(2) }), &[node.first()?])
}

fn cumulative_sum(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    let along = node.list(1, "").ok_or("no axis")?[0];
    let options = CumulativeSumOptions {
        axis: axis(along, node.first()?.rank()),
        exclusive: node.number("exclusive", 0) == 1,
        reversed: node.number("reverse", 0) == 1,
    };
    run.apply(Operator::CumulativeSum(options), &[node.first()?])
}

fn constant(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    let attribute = node.proto.attribute.first().ok_or("no constant")?;
    let value = match attribute.name.as_str() {
        "value" => tensor(attribute.t.as_ref().ok_or("no tensor")?)?,
        "value_int" => Tensor::from_bytes(DType::Int64, &[], &attribute.i.to_le_bytes()).unwrap(),
        "value_ints" => integers(&attribute.ints),
        "value_float" => Tensor::from_bytes(DType::Float32, &[], &attribute.f.to_le_bytes()).unwrap(),
        other => return Err(format!("constant {other}")),
    };
    Ok(run.leaf(value))
}

/// What models compute of lengths, which we have without computing.
fn whole_numbers(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    let input = |index| node.list(index, "").filter(|list| list.len() == 1).map(|list| list[0]).ok_or("not one number");
    if node.first()?.tensor.dtype() != DType::Int64 {
        return Err(format!("operator {} of {}", node.kind(), node.first()?.tensor.dtype()));
    }
    let (first, second) = (input(0)?, input(1)?);
    if node.kind() == "Mod" {
        let (shape, rest) = (node.first()?.shape(), first.rem_euclid(second));
        let rest = Tensor::from_bytes(DType::Int64, shape, &rest.to_le_bytes()).unwrap();
        return Ok(run.leaf(rest));
    }
    let numbers: Vec<i64> = (first..second).step_by(input(2)? as usize).collect();
    Ok(run.leaf(integers(&numbers)))
}

fn shape_of(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    let (shape, rank) = (node.first()?.shape().to_vec(), node.first()?.rank() as i64);
    let held = |at: i64| (if at < 0 { at + rank } else { at }).clamp(0, rank) as usize;
    let (start, end) = (held(node.number("start", 0)), held(node.number("end", rank)));
    let part: Vec<i64> = shape.iter().take(end).skip(start).map(|&length| length as i64).collect();
    Ok(run.leaf(integers(&part)))
}

fn constant_of_shape(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    let shape: Vec<usize> = node.list(0, "").ok_or("no shape")?.into_iter().map(|x| x as usize).collect();
    let zero = || Ok(Tensor::from_bytes(DType::Float32, &[1], &[0; 4]).unwrap());
    let value = node.attribute("value").and_then(|attribute| attribute.t.as_ref()).map_or_else(zero, tensor)?;
    let bytes = value.as_bytes().unwrap().repeat(shape.iter().product());
    Ok(run.leaf(Tensor::from_bytes(value.dtype(), &shape, &bytes).unwrap()))
}

fn expand(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    let (shape, wanted) = (node.first()?.shape(), node.list(1, "").ok_or("no shape")?);
    let rank = shape.len().max(wanted.len());
    // The two shapes broadcast with each other, where ours takes the result.
    let at = |list: &[i64], index: usize| (index + list.len()).checked_sub(rank).map_or(1, |index| list[index]);
    let own: Vec<i64> = shape.iter().map(|&length| length as i64).collect();
    let both = (0..rank).map(|index| match (at(&own, index), at(&wanted, index)) {
        (length, 1) | (1, length) => length as u32,
        (length, _) => length as u32,
    });
    let both = both.collect();
    run.apply(Operator::Expand(both), &[node.first()?])
}

fn reshape(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    let (shape, rank) = (node.first()?.shape(), node.first()?.rank());
    let count: usize = shape.iter().product();
    let new: Vec<u32> = match node.kind() {
        "Flatten" => {
            let first = shape[..axis(node.number("axis", 1), rank) as usize].iter().product::<usize>();
            vec![first as u32, (count / first.max(1)) as u32]
        }
        "Squeeze" => {
            let ones = node.list(1, "axes").map(|list| axes(&list, rank));
            let goes = |at: &usize| ones.as_ref().map_or(shape[*at] == 1, |ones| ones.contains(&(*at as u32)));
            (0..rank).filter(|at| !goes(at)).map(|at| shape[at] as u32).collect()
        }
        "Unsqueeze" => {
            let list = node.list(1, "axes").ok_or("no axes")?;
            let (list, mut rest) = (axes(&list, rank + list.len()), shape.iter());
            let whole = 0..(rank + list.len()) as u32;
            whole.map(|at| if list.contains(&at) { 1 } else { *rest.next().unwrap() as u32 }).collect()
        }
        _ => {
            let wanted = node.list(1, "shape").ok_or("no shape")?;
            let copies = node.number("allowzero", 0) == 0;
            let kept = |(at, &length): (usize, &i64)| if length == 0 && copies { shape[at] as i64 } else { length };
            let known: Vec<i64> = wanted.iter().enumerate().map(kept).collect();
            let others: i64 = known.iter().filter(|&&length| length != -1).product();
            let free = |&length: &i64| if length == -1 { count as u32 / others.max(1) as u32 } else { length as u32 };
            known.iter().map(free).collect()
        }
    };
    run.apply(Operator::Reshape(new), &[node.first()?])
}

/// A part with steps; those that go backwards are turned first.
fn slice(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    let mut value = node.first()?.clone();
    let rank = value.rank();
    let (starts, ends) = (node.list(1, "starts").ok_or("no starts")?, node.list(2, "ends").ok_or("no ends")?);
    let along = node.list(3, "axes").unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = node.list(4, "").unwrap_or_else(|| vec![1; starts.len()]);
    let mut options = SliceOptions { starts: vec![0; rank], sizes: lengths(value.shape()), strides: vec![1; rank] };
    let mut turned = Vec::new();
    for (((start, end), along), step) in starts.into_iter().zip(ends).zip(along).zip(steps) {
        let at = axis(along, rank) as usize;
        let length = value.shape()[at] as i64;
        let from_start = |place: i64| if place < 0 { place.saturating_add(length) } else { place };
        let (first, last) = if step > 0 {
            (from_start(start).clamp(0, length), from_start(end).clamp(0, length))
        } else {
            turned.push(at as u32);
            let mirrored = |place: i64| (length - 1).saturating_sub(from_start(place)).clamp(0, length);
            (mirrored(start), mirrored(end))
        };
        options.starts[at] = first as u32;
        options.sizes[at] = (last - first).max(0) as u32;
        options.strides[at] = step.unsigned_abs() as u32;
    }
    if !turned.is_empty() {
        value = run.apply(Operator::Reverse(Some(turned)), &[&value])?;
    }
    run.apply(Operator::Slice(options), &[&value])
}

fn split(run: &mut Run, node: &Node<'_>) -> Result<Vec<Value>, Reason> {
    let value = node.first()?.clone();
    let at = axis(node.number("axis", 0), value.rank()) as usize;
    let (length, parts) = (value.shape()[at], node.proto.output.len());
    let even = || {
        let part = length.div_ceil(parts);
        (0..parts).map(|index| part.min(length - index * part) as i64).collect()
    };
    let mut start = 0;
    let sizes: Vec<i64> = node.list(1, "split").unwrap_or_else(even);
    let slices = sizes.into_iter().map(|size| {
        let mut options =
            SliceOptions { starts: vec![0; value.rank()], sizes: lengths(value.shape()), strides: vec![] };
        (options.starts[at], options.sizes[at]) = (start, size as u32);
        start += size as u32;
        run.apply(Operator::Slice(options), &[&value])
    });
    slices.collect()
}

fn pad(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    let input = node.first()?;
    let pads = node.list(1, "pads").ok_or("no pads")?;
    let along = node.list(3, "").unwrap_or_else(|| (0..input.rank() as i64).collect());
    let mut options = PadOptions {
        beginning_padding: vec![0; input.rank()],
        ending_padding: vec![0; input.rank()],
        mode: match node.word("mode", "constant").as_str() {
            "constant" => PaddingMode::Constant,
            "edge" => PaddingMode::Edge,
            "reflect" => PaddingMode::Reflection,
            _ => return Err("option mode".into()),
        },
        value: node.input(2).map_or(0.0, |value| values(&value.tensor)[0]),
    };
    for (index, &at) in along.iter().enumerate() {
        let at = axis(at, input.rank()) as usize;
        let length = |number: i64| u32::try_from(number).map_err(|_| "option pads below 0");
        (options.beginning_padding[at], options.ending_padding[at]) =
            (length(pads[index])?, length(pads[index + along.len()])?);
    }
    run.apply(Operator::Pad(options), &[input])
}

fn layers(run: &mut Run, node: &Node<'_>) -> Result<Value, Reason> {
    let epsilon = node.float("epsilon", 1e-5);
    let input = |index| node.input(index).ok_or("no input");
    match node.kind() {
        "Gemm" => {
            let options = GemmOptions {
                alpha: node.float("alpha", 1.0),
                beta: node.float("beta", 1.0),
                a_transpose: node.number("transA", 0) == 1,
                b_transpose: node.number("transB", 0) == 1,
            };
            let inputs: Vec<&Value> = node.inputs.iter().flatten().collect();
            run.apply(Operator::Gemm(options), &inputs)
        }
        "BatchNormalization" => {
            node.none_of(&[("training_mode", 0)])?;
            let options = BatchNormalizationOptions { axis: 1, epsilon, has_scale: true, has_bias: true };
            let inputs = [input(0)?, input(3)?, input(4)?, input(1)?, input(2)?];
            run.apply(Operator::BatchNormalization(options), &inputs)
        }
        "InstanceNormalization" => {
            let layout = InputOperandLayout::Nchw;
            let options = InstanceNormalizationOptions { epsilon, layout, has_scale: true, has_bias: true };
            run.apply(Operator::InstanceNormalization(options), &[input(0)?, input(1)?, input(2)?])
        }
        // Its other outputs are what training needs.
        _ => {
            let rank = input(0)?.rank();
            let axes = Some((axis(node.number("axis", -1), rank)..rank as u32).collect());
            let has_bias = node.input(2).is_some();
            let options = LayerNormalizationOptions { axes, epsilon, has_scale: true, has_bias };
            let inputs: Vec<&Value> = node.inputs.iter().flatten().collect();
            run.apply(Operator::LayerNormalization(options), &inputs)
        }
    }
}
