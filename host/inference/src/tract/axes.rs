//! The free axes of a model's inputs. Each has a symbol, and axes with one symbol have one length.

use std::collections::HashMap;

use tract_onnx::prelude::{InferenceFact, InferenceModel, Symbol, SymbolScope, SymbolValues, TDim};
use tract_onnx::tract_hir::infer::{DimFact, Factoid, ShapeFactoid};

use super::explain;
use crate::tensor::dtype_of;
use crate::{LoadError, RunError, Tensor, TensorType};

/// Which symbol stands for which free axis.
pub(super) struct Axes {
    /// In the order of [`lengths`](Self::lengths).
    symbols: Vec<Symbol>,
    /// Per input and axis, an index into `symbols`; `None` where the model fixes the length.
    inputs: Vec<Vec<Option<usize>>>,
}

impl Axes {
    /// Gives every free axis of the inputs of `model` a symbol, and says what the inputs are.
    pub(super) fn name(
        model: &mut InferenceModel,
        input_names: Vec<String>,
    ) -> Result<(Self, Vec<TensorType>), LoadError> {
        let mut axes = Self { symbols: Vec::new(), inputs: Vec::new() };
        let mut types = Vec::new();
        for (index, name) in input_names.into_iter().enumerate() {
            types.push(axes.name_input(model, index, name)?);
        }
        Ok((axes, types))
    }

    /// Gives every free axis of `inputs` a symbol of its own.
    pub(super) fn of(inputs: &[TensorType]) -> Self {
        let scope = SymbolScope::default();
        let mut axes = Self { symbols: Vec::new(), inputs: Vec::new() };
        for input in inputs {
            let slots = input.shape.iter().map(|length| match length {
                Some(_) => None,
                None => Some(axes.slot(&scope.new_with_prefix("free"))),
            });
            let slots = slots.collect();
            axes.inputs.push(slots);
        }
        axes
    }

    fn name_input(&mut self, model: &mut InferenceModel, index: usize, name: String) -> Result<TensorType, LoadError> {
        let fact = model.input_fact(index).map_err(|cause| LoadError::NotAModel(explain(&cause)))?.clone();
        let datum_type = fact.datum_type.concretize();
        let Some((datum_type, dtype)) = datum_type.and_then(|datum_type| Some((datum_type, dtype_of(datum_type)?)))
        else {
            return Err(LoadError::Unsupported(format!("input `{name}` is of a type that tensors do not have")));
        };
        if fact.shape.is_open() {
            return Err(LoadError::Unsupported(format!(
                "input `{name}` declares no shape; export the model with the number of its axes"
            )));
        }
        let (mut dims, mut shape, mut slots) = (Vec::new(), Vec::new(), Vec::new());
        for declared in fact.shape.dims() {
            let dim = match declared.concretize() {
                Some(dim) if dim.as_i64().is_some() || matches!(dim, TDim::Sym(_)) => dim,
                // Nameless, or computed from other axes: its length stands on its own.
                Some(_) | None => model.symbols.new_with_prefix("free").into(),
            };
            let length = dim.as_i64().and_then(|length| usize::try_from(length).ok());
            slots.push(if let TDim::Sym(symbol) = &dim { Some(self.slot(symbol)) } else { None });
            shape.push(length);
            dims.push(DimFact::from(dim));
        }
        self.inputs.push(slots);
        let fact = InferenceFact::dt_shape(datum_type, ShapeFactoid::closed(dims.into_iter().collect()));
        model.set_input_fact(index, fact).map_err(|cause| LoadError::NotAModel(explain(&cause)))?;
        Ok(TensorType { name, dtype, shape })
    }

    fn slot(&mut self, symbol: &Symbol) -> usize {
        self.symbols.iter().position(|known| known == symbol).unwrap_or_else(|| {
            self.symbols.push(symbol.clone());
            self.symbols.len() - 1
        })
    }

    /// Whether the model fixes every axis.
    pub(super) fn are_fixed(&self) -> bool {
        self.symbols.is_empty()
    }

    /// The length that `inputs` give each symbol.
    pub(super) fn lengths(&self, types: &[TensorType], inputs: &[Tensor]) -> Result<Vec<usize>, RunError> {
        // Per symbol: its length, and the input and axis that gave it.
        let mut found: Vec<Option<(usize, usize, usize)>> = vec![None; self.symbols.len()];
        for (input, (slots, tensor)) in self.inputs.iter().zip(inputs).enumerate() {
            for (axis, (slot, &length)) in slots.iter().zip(tensor.shape()).enumerate() {
                let Some(slot) = *slot else { continue };
                let (expected, by, by_axis) = *found[slot].get_or_insert((length, input, axis));
                if length != expected {
                    return Err(RunError::InvalidArgument(format!(
                        "axis {axis} of input `{}` is {length}, but the model wants it as long as axis {by_axis} of \
                         input `{}`, given {expected}",
                        types[input].name, types[by].name
                    )));
                }
            }
        }
        Ok(found.into_iter().map(|found| found.expect("every symbol is an axis of some input").0).collect())
    }

    /// Lengths to try a model on before any input is known: `batch` for first axes, `other` for the rest.
    pub(super) fn guess(&self, batch: usize, other: usize) -> Vec<usize> {
        let is_first = |slot| self.inputs.iter().any(|slots| slots.first() == Some(&Some(slot)));
        (0..self.symbols.len()).map(|slot| if is_first(slot) { batch } else { other }).collect()
    }

    /// The shapes of inputs whose free axes have `lengths`.
    pub(super) fn shapes(&self, types: &[TensorType], lengths: &[usize]) -> Vec<Vec<usize>> {
        let shape = |(of, slots): (&TensorType, &Vec<Option<usize>>)| {
            let axes = of.shape.iter().zip(slots);
            axes.map(|(fixed, slot)| fixed.or_else(|| lengths.get((*slot)?).copied()).unwrap_or(1)).collect()
        };
        types.iter().zip(&self.inputs).map(shape).collect()
    }

    /// As [`substitutions`](Self::substitutions), for looking lengths up.
    pub(super) fn values(&self, lengths: &[usize]) -> SymbolValues {
        let known = self.symbols.iter().zip(lengths);
        known.fold(SymbolValues::default(), |values, (symbol, length)| values.with(symbol, *length as i64))
    }

    /// The symbols with their `lengths`, as tract substitutes them.
    #[allow(
        clippy::mutable_key_type,
        reason = "tract's own signature; a symbol hashes by its number, which is constant"
    )]
    pub(super) fn substitutions(&self, lengths: &[usize]) -> HashMap<Symbol, TDim> {
        self.symbols.iter().cloned().zip(lengths.iter().map(|&length| TDim::from(length))).collect()
    }
}
