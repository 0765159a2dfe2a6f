//! The operators: each family checks its arguments, says what the result will be and cost, and computes it.
//!
//! | module | operators |
//! | --- | --- |
//! | `views` | reshape, expand, transpose, slice |
//! | `elementwise` | cast, linear |
//! | `unary`, `binary` | WebNN's elementwise operators of one and two inputs, clamp |
//! | `arrange` | concat, pad |
//! | `resample` | resample2d |
//! | `warp` | warp |
//! | `image`, `jpeg` | decode-image |
//! | `softmax`, `matmul` | softmax, matmul |
//! | `extremes`, `reduce` | argMax, argMin, reduceMax and its kin |
//! | `gather`, `scatter` | gather, gatherElements, gatherND, scatterElements, scatterND |
//! | `select`, `order` | where, triangular; cumulativeSum, reverse, tile |
//! | `activate` | elu, hardSigmoid, leakyRelu, prelu |
//! | `normalise` | batchNormalization, instanceNormalization, layerNormalization |
//! | `gemm`, `conv`, `conv_transpose`, `pool` | gemm, conv2d, convTranspose2d, averagePool2d and its kin |
//!
//! `math` has functions that vector instructions compute, `moments` sums of rows; `crate::vectors` the loops over them.
//!
//! Checks come before anything is allocated, and are [`Check`]'s where two families share them. Names in messages are
//! WebNN's for operators (`argMax`, `reduceSum`) and the WIT's for arguments.

mod activate;
mod arrange;
mod batch;
mod binary;
mod check;
mod conv;
mod conv_transpose;
mod elementwise;
mod extremes;
mod folds;
mod gather;
mod gemm;
mod halves;
mod image;
mod jpeg;
mod lines;
mod math;
mod matmul;
mod moments;
mod normalise;
mod order;
mod orientation;
mod pool;
mod product;
mod reduce;
mod resample;
mod rows;
mod sample;
mod scatter;
mod select;
mod softmax;
mod strips;
mod unary;
mod views;
mod warp;
mod wide;
mod windows;

use std::cell::Cell;

use spillway_types::operator::Operator;
use tract_onnx::prelude::TVec;

use crate::blocks::BLOCK;
use crate::{DType, RunError, Tensor};
pub(crate) use binary::{ApplyTwo, Arithmetic};
use check::Check;
pub(crate) use unary::{between, in_place};

/// Copying one element of a view to where it lies row by row.
const GATHER_NANOSECONDS: f64 = 0.4;

/// Writing one element of a result.
const WRITE_NANOSECONDS: f64 = 0.05;

/// What an operator will do, its arguments checked.
pub(crate) struct Plan {
    /// WebNN's name of the operator.
    pub(crate) name: &'static str,
    /// The result's element type.
    pub(crate) dtype: DType,
    /// The result's shape; not checked against the size of memory yet.
    pub(crate) shape: TVec<usize>,
    /// Bytes needed beside the result.
    pub(crate) scratch_bytes: usize,
    /// How long it will take, by constants that `examples/kernel_costs.rs` measured.
    pub(crate) nanoseconds: f64,
    pub(crate) work: Work,
}

type Computation = Box<dyn FnOnce(&Stop<'_>) -> Result<Tensor, RunError> + Send>;

/// How the result comes about.
pub(crate) enum Work {
    /// It is there: a view of an input.
    View(Tensor),
    /// By computing. Allocates what the plan said.
    Compute(Computation),
}

impl Plan {
    /// A view.
    fn view(name: &'static str, tensor: Tensor) -> Self {
        let (dtype, shape) = (tensor.dtype(), tensor.shape().into());
        Self { name, dtype, shape, scratch_bytes: 0, nanoseconds: 0.0, work: Work::View(tensor) }
    }

    /// Work that gives `dtype` and `shape`, taking `nanoseconds` for each element of the result.
    fn compute(
        name: &'static str,
        dtype: DType,
        shape: impl Into<TVec<usize>>,
        nanoseconds: f64,
        work: impl FnOnce(&Stop<'_>) -> Result<Tensor, RunError> + Send + 'static,
    ) -> Self {
        let shape = shape.into();
        let elements: f64 = shape.iter().map(|&length| length as f64).product();
        // Sums of nothing are written, too.
        let nanoseconds = elements * nanoseconds.max(WRITE_NANOSECONDS);
        Self { name, dtype, shape, scratch_bytes: 0, nanoseconds, work: Work::Compute(Box::new(work)) }
    }

    /// The same, after laying `input` out row by row where it does not lie so: a view may show far more than the result
    /// has.
    fn after_gathering(self, input: &Tensor) -> Self {
        if input.layout().is_row_major() {
            return self;
        }
        let nanoseconds = self.nanoseconds + GATHER_NANOSECONDS * input.layout().len() as f64;
        Self { nanoseconds, ..self.with_scratch(input.byte_length()) }
    }

    /// The same, needing this much memory beside the result.
    fn with_scratch(self, scratch_bytes: usize) -> Self {
        Self { scratch_bytes: self.scratch_bytes.saturating_add(scratch_bytes), ..self }
    }
}

/// Checks `operator` against `inputs`.
pub(crate) fn plan(operator: Operator, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    match operator {
        Operator::Cast(dtype) => elementwise::cast(dtype, inputs),
        Operator::Reshape(shape) => views::reshape(&shape, inputs),
        Operator::Expand(shape) => views::expand(&shape, inputs),
        Operator::Transpose(permutation) => views::transpose(&permutation, inputs),
        Operator::Slice(options) => views::slice(&options, inputs),
        Operator::Concat(axis) => arrange::concat(axis, inputs),
        Operator::Pad(options) => arrange::pad(&options, inputs),
        Operator::Resample2d(options) => resample::resample2d(options, inputs),
        Operator::Warp(options) => warp::warp(options, inputs),
        Operator::DecodeImage(options) => image::decode_image(options, inputs),
        Operator::Linear(options) => elementwise::linear(options, inputs),
        Operator::ArgMax(options) => extremes::arg("argMax", options, inputs),
        Operator::ArgMin(options) => extremes::arg("argMin", options, inputs),
        Operator::Reduce(options) => reduce::reduce(&options, inputs),
        Operator::Unary(operator) => unary::unary(operator, inputs),
        Operator::Binary(operator) => binary::binary(operator, inputs),
        Operator::Clamp(options) => unary::clamp(options, inputs),
        Operator::Softmax(axis) => softmax::softmax(axis, inputs),
        Operator::Matmul => matmul::matmul(inputs),
        Operator::Where => select::select(inputs),
        Operator::Gather(axis) => gather::gather(axis, inputs),
        Operator::GatherElements(axis) => gather::gather_elements(axis, inputs),
        Operator::GatherNd => gather::gather_nd(inputs),
        Operator::ScatterElements(axis) => scatter::scatter_elements(axis, inputs),
        Operator::ScatterNd => scatter::scatter_nd(inputs),
        Operator::Triangular(options) => select::triangular(options, inputs),
        Operator::Gemm(options) => gemm::gemm(options, &inputs),
        Operator::Conv2d(options) => conv::conv2d(options, &inputs),
        Operator::ConvTranspose2d(options) => conv_transpose::conv_transpose2d(options, &inputs),
        Operator::Pool2d(options) => pool::pool2d(options, inputs),
        Operator::BatchNormalization(options) => batch::batch(options, &inputs),
        Operator::InstanceNormalization(options) => normalise::instance(options, &inputs),
        Operator::LayerNormalization(options) => normalise::layer(&options, &inputs),
        Operator::Elu(alpha) => activate::elu(alpha, inputs),
        Operator::HardSigmoid(options) => activate::hard_sigmoid(options, inputs),
        Operator::LeakyRelu(alpha) => activate::leaky_relu(alpha, inputs),
        Operator::Prelu => activate::prelu(inputs),
        Operator::CumulativeSum(options) => order::cumulative_sum(options, inputs),
        Operator::Reverse(axes) => order::reverse(axes.as_deref(), inputs),
        Operator::Tile(repetitions) => order::tile(&repetitions, inputs),
    }
}

/// Asked by long work now and then whether to go on.
pub(crate) struct Stop<'a> {
    should_stop: &'a dyn Fn() -> bool,
    /// Elements worked on since it was last asked.
    elements: Cell<usize>,
}

impl<'a> Stop<'a> {
    pub(crate) fn new(should_stop: &'a dyn Fn() -> bool) -> Self {
        Self { should_stop, elements: Cell::new(0) }
    }

    /// As [`check`](Self::check), but asks only once a block of elements has been worked on since the last time.
    pub(crate) fn worked(&self, elements: usize) -> Result<(), RunError> {
        self.elements.set(self.elements.get().saturating_add(elements));
        if self.elements.get() < BLOCK { Ok(()) } else { self.check() }
    }

    /// # Errors
    /// [`RunError::DeadlineExceeded`] when the work should end.
    pub(crate) fn check(&self) -> Result<(), RunError> {
        self.elements.set(0);
        if (self.should_stop)() { Err(RunError::DeadlineExceeded) } else { Ok(()) }
    }
}
