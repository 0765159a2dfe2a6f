//! Graphs: operators that the host compiles together.

use std::cell::RefCell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use crate::host::graphs::{Definition, OperandDescriptor, Operation};
use crate::host::operators::Operator;
use crate::host::{self, HostError};
use crate::{DType, Tensor};

/// Operators that the host has compiled together, for inputs of fixed types. Built once, and dispatched any number of times:
/// a dispatch is one call of the host, keeps no result that nothing needs any more, and goes through memory once for
/// elementwise operators that follow each other. Two graphs of the same operators and constants are one in the host, also
/// across sandboxes.
///
/// ```no_run
/// # async fn example() -> spillway_sdk::Result<()> {
/// use spillway_sdk::{DType, Graph, Model, Tensor};
///
/// let weights = Model::open("weights").await?;
/// let (matrix, bias) = (weights.weight("fc.weight").await?, weights.weight("fc.bias").await?);
/// let graph = Graph::trace([(DType::Float32, &[1, 64])], |builder, [x]| {
///     let (matrix, bias) = (builder.constant(matrix), builder.constant(bias));
///     vec![(&x.matmul(&matrix.transpose(&[1, 0])) + &bias).relu()]
/// })
/// .await?;
/// let image = Tensor::from_slice(&[0.0f32; 64], &[1, 64])?;
/// let outputs = graph.dispatch(&[&image]).await?;
/// # Ok(())
/// # }
/// ```
pub struct Graph {
    handle: host::Graph,
}

impl Graph {
    /// The graph of what `function` does with operands of the types `inputs`.
    ///
    /// # Errors
    /// An operator does not fit its inputs: the message names it, the rule, and the line that calls it.
    pub async fn trace<const N: usize, S: AsRef<[usize]>>(
        inputs: [(DType, S); N],
        function: impl FnOnce(&GraphBuilder, [Operand; N]) -> Vec<Operand>,
    ) -> Result<Self, HostError> {
        let builder = GraphBuilder::new();
        let inputs = inputs.map(|(dtype, shape)| builder.input(dtype, shape.as_ref()));
        let outputs = function(&builder, inputs);
        builder.build(&outputs.iter().collect::<Vec<_>>()).await
    }

    /// Computes the outputs from as many inputs as the graph has. While it computes, the sandbox serves other requests.
    ///
    /// # Errors
    /// An input is not of the type that the graph was built for; the sandbox's tensor bytes do not suffice; the deadline passed.
    ///
    /// # Cancel safety
    /// Dropping the future gives the result up.
    pub async fn dispatch(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, HostError> {
        let inputs: Vec<_> = inputs.iter().map(|tensor| &tensor.handle).collect();
        Ok(self.handle.dispatch(&inputs).await?.into_iter().map(Tensor::from_handle).collect())
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Graph")
    }
}

/// Makes a [`Graph`], as WebNN's `MLGraphBuilder` does.
#[derive(Clone, Default)]
pub struct GraphBuilder(Rc<RefCell<Draft>>);

#[derive(Default)]
struct Draft {
    inputs: Vec<OperandDescriptor>,
    constants: Vec<Rc<Tensor>>,
    operations: Vec<Drawn>,
    /// The first thing that was wrong.
    error: Option<HostError>,
}

struct Drawn {
    operator: Operator,
    inputs: Vec<Source>,
}

/// Where an operand comes from.
#[derive(Clone, Copy)]
enum Source {
    Input(usize),
    Constant(usize),
    Operation(usize),
}

/// A tensor that will be there when the graph runs. Clones are the same.
#[derive(Clone)]
pub struct Operand {
    draft: Rc<RefCell<Draft>>,
    source: Source,
    /// None where it follows from something that is wrong.
    descriptor: Option<Rc<OperandDescriptor>>,
}

impl GraphBuilder {
    /// One without anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// A tensor that each dispatch is given, in the order of these calls.
    pub fn input(&self, dtype: DType, shape: &[usize]) -> Operand {
        let mut draft = self.0.borrow_mut();
        let source = Source::Input(draft.inputs.len());
        let descriptor = draft.describe(dtype, shape);
        draft.inputs.extend(descriptor.as_deref().cloned());
        Operand { draft: self.0.clone(), source, descriptor }
    }

    /// A tensor that is the same in each dispatch. The builder keeps it until the graph is built; what depends on constants
    /// alone is computed then.
    pub fn constant(&self, tensor: impl Into<Rc<Tensor>>) -> Operand {
        let tensor = tensor.into();
        let mut draft = self.0.borrow_mut();
        let source = Source::Constant(draft.constants.len());
        let descriptor = draft.describe(tensor.dtype(), tensor.shape());
        draft.constants.push(tensor);
        Operand { draft: self.0.clone(), source, descriptor }
    }

    /// Compiles the graph whose dispatches return `outputs`, in their order.
    ///
    /// # Errors
    /// The first operator that did not fit its inputs: the message names it, the rule, and the line that calls it.
    pub async fn build(self, outputs: &[&Operand]) -> Result<Graph, HostError> {
        if let Some(index) = outputs.iter().position(|output| !Rc::ptr_eq(&output.draft, &self.0)) {
            return Err(HostError::invalid(format!("output {index} belongs to another graph")));
        }
        let (definition, constants) = self.0.borrow_mut().finish(outputs)?;
        let handles: Vec<_> = constants.iter().map(|tensor| &tensor.handle).collect();
        Ok(Graph { handle: host::Graph::build(definition, &handles).await? })
    }
}

impl fmt::Debug for GraphBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GraphBuilder of {} operations", self.0.borrow().operations.len())
    }
}

impl Draft {
    fn describe(&mut self, dtype: DType, shape: &[usize]) -> Option<Rc<OperandDescriptor>> {
        let lengths = shape.iter().map(|&length| u32::try_from(length)).collect::<Result<_, _>>();
        match lengths {
            Ok(shape) => Some(Rc::new(OperandDescriptor { data_type: dtype.into(), shape })),
            Err(_) => {
                let reason = format!("an operand of shape {shape:?} is larger than any memory");
                self.error.get_or_insert(HostError::invalid(reason));
                None
            }
        }
    }

    fn number(&self, source: Source) -> u32 {
        let number = match source {
            Source::Input(index) => index,
            Source::Constant(index) => self.inputs.len() + index,
            Source::Operation(index) => self.inputs.len() + self.constants.len() + index,
        };
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    fn finish(&mut self, outputs: &[&Operand]) -> Result<(Definition, Vec<Rc<Tensor>>), HostError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let outputs = outputs.iter().map(|output| self.number(output.source)).collect();
        let operations = std::mem::take(&mut self.operations);
        let operations = operations.into_iter().map(|Drawn { operator, inputs }| Operation {
            operator,
            inputs: inputs.into_iter().map(|source| self.number(source)).collect(),
        });
        let definition = Definition { inputs: self.inputs.clone(), operations: operations.collect(), outputs };
        Ok((definition, std::mem::take(&mut self.constants)))
    }
}

impl Operand {
    /// The length of each axis.
    ///
    /// # Panics
    /// When it follows from an operator that does not fit its inputs; the panic says what [`GraphBuilder::build`] would.
    #[track_caller]
    pub fn shape(&self) -> Vec<usize> {
        self.shape_if_known().unwrap_or_else(|| {
            panic!("{}", self.draft.borrow().error.as_ref().map(ToString::to_string).unwrap_or_default())
        })
    }

    /// None where it follows from something that is wrong.
    pub(crate) fn shape_if_known(&self) -> Option<Vec<usize>> {
        let descriptor = self.descriptor.as_ref()?;
        Some(descriptor.shape.iter().map(|&length| length as usize).collect())
    }

    /// The element type.
    ///
    /// # Panics
    /// As [`shape`](Self::shape).
    #[track_caller]
    pub fn dtype(&self) -> DType {
        // Which panics where there is none.
        self.dtype_if_known().unwrap_or_else(|| unreachable!("{:?}", self.shape()))
    }

    pub(crate) fn dtype_if_known(&self) -> Option<DType> {
        self.descriptor.as_ref().map(|descriptor| descriptor.data_type.into())
    }

    /// A constant of the same graph.
    pub(crate) fn constant_beside(&self, tensor: Rc<Tensor>) -> Self {
        GraphBuilder(self.draft.clone()).constant(tensor)
    }

    /// The result of `operator` on `inputs`.
    #[track_caller]
    pub(crate) fn record(operator: Result<Operator, HostError>, inputs: &[&Self]) -> Self {
        let place = Location::caller();
        let first = inputs.first().expect("an operator on operands has one at least");
        let recorded = operator.and_then(|operator| {
            let strange = inputs.iter().any(|input| !Rc::ptr_eq(&input.draft, &first.draft));
            if strange {
                return Err(HostError::invalid("an operand belongs to another graph"));
            }
            let Some(descriptors) = inputs.iter().map(|input| input.descriptor.as_deref().cloned()).collect() else {
                // What is wrong has been noted.
                return Ok(None);
            };
            let result = host::infer(operator.clone(), descriptors)?;
            Ok(Some((operator, result)))
        });
        let mut draft = first.draft.borrow_mut();
        let source = Source::Operation(draft.operations.len());
        let descriptor = match recorded {
            Ok(Some((operator, result))) => {
                draft.operations.push(Drawn { operator, inputs: inputs.iter().map(|input| input.source).collect() });
                Some(Rc::new(result))
            }
            Ok(None) => None,
            Err(error) => {
                let code = error.code();
                draft.error.get_or_insert_with(|| HostError::new(code, format!("{place}: {error}")));
                None
            }
        };
        Self { draft: first.draft.clone(), source, descriptor }
    }
}

impl fmt::Debug for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.descriptor {
            Some(descriptor) => write!(f, "Operand({} {:?})", DType::from(descriptor.data_type), descriptor.shape),
            None => f.write_str("Operand(of something that is wrong)"),
        }
    }
}

/// The examples of the page, which `cargo test --doc` compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/kernels.md")]
struct Page;
