//! ONNX's own tests of its operators, its "backend node tests": those that our operators mean the same as.
//!
//! A test is a model, mostly of one node, with its inputs and outputs. Each node is computed by our operators ([`node`]), one by
//! one and compiled, and the result may be as far from ONNX's as WebNN allows.

mod file;
mod node;
mod run;
mod windows;

use std::collections::BTreeMap;

use spillway_inference::{DType, Tensor};

use crate::kernels::{bits, values};
use crate::tolerance::{self, Tolerance};

use file::Case;
use run::{Reason, Run, Value};

/// The kind of tests of more than one node: functions that ONNX makes of its operators.
const SEVERAL: &str = "several";

/// What a test gave, or why it is none of ours.
fn check(case: &Case) -> Result<Vec<String>, Reason> {
    let mut run = Run::default();
    for (name, tensor) in &case.given {
        let value = run.leaf(tensor.clone()?);
        run.names.insert(name.clone(), value);
    }
    for proto in &case.nodes {
        for (name, value) in proto.output.iter().zip(node::compute(&mut run, proto)?) {
            run.names.insert(name.clone(), value);
        }
    }
    let mut wrong = Vec::new();
    let mut computed: Vec<Value> = Vec::new();
    for (name, expected) in &case.outputs {
        // What only training needs is not computed.
        let Some(value) = run.names.get(name) else { continue };
        wrong.extend(difference(case, &run, value, expected.as_ref().map_err(Clone::clone)?));
        computed.extend(Run::is_computed(value).then(|| value.clone()));
    }
    if computed.is_empty() {
        return Err("nothing to compute".into());
    }
    let compiled = run.compiled(&computed.iter().collect::<Vec<_>>());
    for (compiled, alone) in compiled.iter().zip(&computed) {
        if bits(compiled) != bits(&alone.tensor) {
            wrong.push("compiled it gives something else".into());
        }
    }
    Ok(wrong)
}

/// What is wrong with an output.
fn difference(case: &Case, run: &Run, value: &Value, expected: &Tensor) -> Option<String> {
    let result = &value.tensor;
    if (result.dtype(), result.shape()) != (expected.dtype(), expected.shape()) {
        return Some(format!("{result:?}, expected {expected:?}"));
    }
    let (operator, inputs) = run.steps.last()?;
    let inputs: Vec<Tensor> = inputs.iter().map(|input| input.tensor.clone()).collect();
    let is_one = case.nodes.len() == 1;
    // What ONNX computes as one function and we by several operators, each of which may be off, is a hundredth of what ONNX's
    // own runner allows for it.
    let greatest = values(expected).into_iter().map(f64::abs).filter(|x| x.is_finite()).fold(1.0, f64::max);
    let share = if result.dtype() == DType::Float16 { 1e-3 } else { 1e-5 };
    let allowed = tolerance::of(operator, &inputs, result.dtype()).filter(|_| is_one);
    let allowed = allowed.unwrap_or(Tolerance::Absolute(share * greatest));
    tolerance::beyond(allowed, operator, &inputs, result, expected)
}

/// How many tests of each operator there are, and how many of them are not for ours: what these need is beyond WebNN, or is
/// meant otherwise there.
#[rustfmt::skip]
const TESTS: &[(&str, usize, usize)] = &[
    ("Abs", 1, 0), ("Add", 8, 0), ("And", 8, 0), ("ArgMax", 16, 8), ("ArgMin", 16, 8), ("AveragePool", 20, 10),
    ("BatchNormalization", 4, 2), ("Cast", 96, 84), ("CastLike", 46, 40), ("Ceil", 2, 0), ("Clip", 12, 1),
    ("Concat", 12, 0), ("Conv", 6, 0), ("ConvTranspose", 11, 2), ("Cos", 2, 0), ("CumSum", 9, 0), ("Div", 9, 0),
    ("Elu", 3, 0), ("Equal", 10, 2), ("Erf", 1, 0), ("Exp", 2, 0), ("Expand", 2, 0), ("Flatten", 9, 0), ("Floor", 2, 0),
    ("Gather", 4, 0), ("GatherElements", 3, 0), ("GatherND", 3, 1), ("Gelu", 4, 2), ("Gemm", 11, 0),
    ("GlobalAveragePool", 2, 0), ("GlobalMaxPool", 2, 0), ("Greater", 8, 0), ("GreaterOrEqual", 8, 0),
    ("HardSigmoid", 3, 0), ("HardSwish", 1, 0), ("Identity", 5, 2), ("InstanceNormalization", 2, 0), ("IsInf", 4, 2),
    ("IsNaN", 2, 0), ("LayerNormalization", 19, 0), ("LeakyRelu", 3, 0), ("Less", 8, 0), ("LessOrEqual", 8, 0),
    ("Log", 2, 0), ("LpPool", 8, 5), ("MatMul", 3, 0), ("Max", 14, 0), ("MaxPool", 19, 6), ("Min", 14, 0),
    ("Mul", 9, 0), ("Neg", 2, 0), ("Not", 3, 0), ("Or", 8, 0), ("PRelu", 2, 0), ("Pad", 6, 1), ("Pow", 12, 6),
    ("Reciprocal", 2, 0), ("ReduceL1", 9, 0), ("ReduceL2", 9, 0), ("ReduceLogSum", 5, 0), ("ReduceLogSumExp", 9, 0),
    ("ReduceMax", 10, 2), ("ReduceMean", 8, 0), ("ReduceMin", 10, 2), ("ReduceProd", 9, 0), ("ReduceSum", 12, 0),
    ("ReduceSumSquare", 9, 0), ("Relu", 1, 0), ("Reshape", 10, 0), ("Resize", 39, 28), ("Round", 1, 0),
    ("Scatter", 2, 0), ("ScatterElements", 6, 3), ("ScatterND", 5, 4), ("Sigmoid", 2, 0), ("Sign", 1, 0), ("Sin", 2, 0),
    ("Slice", 8, 1), ("Softmax", 7, 0), ("Softplus", 2, 0), ("Softsign", 2, 0), ("Split", 16, 2), ("Sqrt", 2, 0),
    ("Squeeze", 2, 0), ("Sub", 9, 0), ("Sum", 3, 0), ("Tan", 2, 0), ("Tanh", 2, 0), ("Tile", 2, 0), ("Transpose", 7, 0),
    ("Trilu", 18, 0), ("Unsqueeze", 7, 0), ("Where", 2, 0), ("Xor", 8, 0), ("several", 340, 75),
];

#[test]
fn operators_compute_what_onnx_tests_its_own_for() {
    let (mut counts, mut left, mut wrong) = (BTreeMap::new(), Vec::new(), Vec::new());
    for case in file::cases() {
        let kind = if case.nodes.len() == 1 { case.nodes[0].op_type.clone() } else { SEVERAL.into() };
        let (all, others): &mut (usize, usize) = counts.entry(kind.clone()).or_default();
        *all += 1;
        match check(&case) {
            Ok(differences) => {
                wrong.extend(differences.into_iter().map(|difference| format!("{}: {difference}", case.name)));
            }
            Err(reason) => {
                *others += 1;
                left.push(format!("{kind}: {}: {reason}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let computed = counts.iter().filter(|(_, (all, others))| others < all);
    let computed: Vec<_> = computed.map(|(kind, (all, others))| (kind.as_str(), *all, *others)).collect();
    // Said of those that are not computed, for whoever changes that.
    assert_eq!(computed, TESTS, "{}", left.join("\n"));
}
