//! Graphs as data: what `spillway:tensor/graphs` says, in Rust.
//!
//! Field names and types are the ones that `wit-bindgen` derives from the WIT, as for [`operator`](crate::operator).

use crate::DType;
use crate::operator::Operator;

/// The type of an input or output of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OperandDescriptor {
    /// Of the elements.
    pub data_type: DType,
    /// The length of each axis; empty for a scalar.
    pub shape: Vec<u32>,
}

/// One operator on operands, by their numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Which, with its attributes.
    pub operator: Operator,
    /// Its inputs, in its order.
    pub inputs: Vec<u32>,
}

/// A graph of operators. Its operands are numbered: the inputs first, then the constants, which are given beside it, then the
/// result of each operation, which may use those before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// What a dispatch takes.
    pub inputs: Vec<OperandDescriptor>,
    /// In an order in which they can be computed.
    pub operations: Vec<Operation>,
    /// The operands that a dispatch returns; at least one, and results of operations only.
    pub outputs: Vec<u32>,
}
