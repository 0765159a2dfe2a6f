//! A model of ONNX, computed node by node, and all that was computed as one graph.

use std::collections::BTreeMap;

use spillway_inference::{Graph, Kernel, RunError, Tensor};
use spillway_types::graph::{Definition, OperandDescriptor, Operation};
use spillway_types::operator::Operator;

/// Why a test is none of ours: what it needs has no operator of WebNN, or none that means the same.
pub(super) type Reason = String;

/// A tensor that a node has given, or that was there.
#[derive(Clone)]
pub(super) struct Value {
    pub(super) tensor: Tensor,
    from: From,
}

#[derive(Clone, Copy)]
enum From {
    Leaf(usize),
    Step(usize),
}

impl Value {
    pub(super) fn shape(&self) -> &[usize] {
        self.tensor.shape()
    }

    pub(super) fn rank(&self) -> usize {
        self.tensor.shape().len()
    }
}

/// What has been computed so far.
#[derive(Default)]
pub(super) struct Run {
    leaves: Vec<Tensor>,
    pub(super) steps: Vec<(Operator, Vec<Value>)>,
    pub(super) names: BTreeMap<String, Value>,
}

impl Run {
    /// What is there without being computed.
    pub(super) fn leaf(&mut self, tensor: Tensor) -> Value {
        self.leaves.push(tensor.clone());
        Value { tensor, from: From::Leaf(self.leaves.len() - 1) }
    }

    /// Computes, where our operator takes what ONNX's does.
    pub(super) fn apply(&mut self, operator: Operator, inputs: &[&Value]) -> Result<Value, Reason> {
        let tensors = inputs.iter().map(|input| input.tensor.clone()).collect();
        let result = Kernel::new(operator.clone(), tensors).and_then(Kernel::compute);
        let tensor = result.map_err(|error: RunError| format!("refused: {error}"))?;
        self.steps.push((operator, inputs.iter().map(|&input| input.clone()).collect()));
        Ok(Value { tensor, from: From::Step(self.steps.len() - 1) })
    }

    /// The same in one graph, whose inputs are all leaves.
    pub(super) fn compiled(&self, outputs: &[&Value]) -> Vec<Tensor> {
        let number = |value: &Value| match value.from {
            From::Leaf(leaf) => leaf as u32,
            From::Step(step) => (self.leaves.len() + step) as u32,
        };
        let described = |leaf: &Tensor| OperandDescriptor {
            data_type: leaf.dtype(),
            shape: leaf.shape().iter().map(|&length| length as u32).collect(),
        };
        let operations = self.steps.iter().map(|(operator, inputs)| Operation {
            operator: operator.clone(),
            inputs: inputs.iter().map(number).collect(),
        });
        let definition = Definition {
            inputs: self.leaves.iter().map(described).collect(),
            operations: operations.collect(),
            outputs: outputs.iter().map(|&value| number(value)).collect(),
        };
        let graph = Graph::build(definition, Vec::new(), &|_| Ok(()), &|| false).unwrap();
        graph.compute(self.leaves.clone(), &|| false).unwrap()
    }

    /// Whether it was computed, not there from the start: only such a value can be the output of a graph.
    pub(super) fn is_computed(value: &Value) -> bool {
        matches!(value.from, From::Step(_))
    }
}
