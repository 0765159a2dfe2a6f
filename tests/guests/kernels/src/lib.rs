//! Times kernels as a guest calls them: with the clock that guests have, around the host call alone. For the benchmark of
//! kernels, which asks with a [`Question`].

#[cfg(target_family = "wasm")]
mod guest_simd;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use spillway_sdk::{Conv2d, DType, Graph, HostError, Json, Result, Tensor, function};

/// What is timed, and for how long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Question {
    /// What.
    pub case: Case,
    /// For how long, after a run that is not counted; at least twice.
    pub milliseconds: u64,
}

/// What can be timed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Case {
    /// The product of two square matrices, by host call.
    Matmul {
        /// Rows and columns.
        size: usize,
    },
    /// The same by SIMD in the guest.
    MatmulInGuest {
        /// Rows and columns.
        size: usize,
    },
    /// A host call that does next to nothing: it reads the clock.
    HostCall,
    /// Two tensors of 16 elements are added; the results are dropped later.
    Add,
    /// The drop of such a result.
    Drop,
    /// [`CHAIN`] small kernels one after another, each a host call.
    ChainEager,
    /// The same as a graph.
    ChainCompiled,
    /// Elements of 4 MB.
    Wide(Wide),
    /// A convolution, as a graph with the filter as a constant.
    Conv2d(Convolution),
}

/// Kernels that are as fast as memory, if they are good: on `float32 [1024, 1024]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wide {
    /// `x + y`.
    Add,
    /// `relu(x)`.
    Relu,
    /// `sigmoid(x)`.
    Sigmoid,
    /// `gelu(x)`.
    Gelu,
    /// Over the last axis.
    Softmax,
    /// Over the last axis, with scale and bias.
    LayerNormalization,
}

impl Wide {
    /// Tensors of 4 MB that it reads and writes.
    pub fn moved(self) -> usize {
        if self == Self::Add { 3 } else { 2 }
    }
}

/// A convolution of one image of `float32`, channels first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Convolution {
    /// Channels, and height and width, of the image.
    pub input: (usize, usize),
    /// Filters.
    pub filters: usize,
    /// Height and width of a filter; the image is padded by half of it.
    pub window: usize,
    /// In both directions.
    pub stride: usize,
    /// Parts that the channels fall into.
    pub groups: usize,
}

impl Convolution {
    /// Lengths of the image's axes.
    pub fn input_shape(&self) -> [usize; 4] {
        let (channels, size) = self.input;
        [1, channels, size, size]
    }

    /// Lengths of the filter's axes.
    pub fn filter_shape(&self) -> [usize; 4] {
        [self.filters, self.input.0 / self.groups, self.window, self.window]
    }
}

/// Kernels of a chain: a linear layer of 16 and what follows it, over and over.
pub const CHAIN: usize = 50;

/// Calls between two looks at the clock, where one is shorter than the look.
const BLOCK: usize = 500;

/// Values below 1 that differ from their neighbours.
pub fn values(count: usize) -> Vec<f32> {
    (0..count).map(|index| (index * 7919 % 1013) as f32 / 1013.0 - 0.5).collect()
}

/// Answers with the nanoseconds that each run took.
#[function]
async fn handle(Json(question): Json<Question>) -> Result<Json<Vec<f64>>> {
    let patience = Patience(Duration::from_millis(question.milliseconds));
    Ok(Json(match question.case {
        Case::Matmul { size } => {
            let (a, b) = (tensor(&[size, size])?, tensor(&[size, size])?);
            timed(patience, async || a.matmul(&b).await).await?
        }
        Case::MatmulInGuest { size } => in_guest(size, patience).await,
        Case::HostCall => {
            let block = async || {
                for _ in 0..BLOCK {
                    std::hint::black_box(Instant::now());
                }
                Ok(())
            };
            each(BLOCK, timed(patience, block).await?)
        }
        Case::Add => each(BLOCK, additions(patience, false).await?),
        Case::Drop => each(BLOCK, additions(patience, true).await?),
        Case::ChainEager => {
            let chain = Chain::new()?;
            timed(patience, async || chain.eager().await).await?
        }
        Case::ChainCompiled => {
            let chain = Chain::new()?;
            let graph = chain.graph().await?;
            timed(patience, async || graph.dispatch(&[&chain.input]).await).await?
        }
        Case::Wide(wide) => {
            let (x, y, row) = (tensor(&[1024, 1024])?, tensor(&[1024, 1024])?, tensor(&[1024])?);
            timed(patience, async || match wide {
                Wide::Add => x.add(&y).await,
                Wide::Relu => x.relu().await,
                Wide::Sigmoid => x.sigmoid().await,
                Wide::Gelu => x.gelu().await,
                Wide::Softmax => x.softmax(1).await,
                Wide::LayerNormalization => x.layer_normalization(Some(&row), Some(&row), &[1], 1e-5).await,
            })
            .await?
        }
        Case::Conv2d(convolution) => {
            let (image, filter) = (tensor(&convolution.input_shape())?, tensor(&convolution.filter_shape())?);
            let options = Conv2d {
                padding: [convolution.window / 2; 4],
                strides: [convolution.stride; 2],
                groups: convolution.groups as u32,
                ..Conv2d::default()
            };
            let graph = Graph::trace([(DType::Float32, convolution.input_shape())], |builder, [image]| {
                vec![image.conv2d(&builder.constant(filter), None, options)]
            });
            let graph = graph.await?;
            timed(patience, async || graph.dispatch(&[&image]).await).await?
        }
    }))
}

/// For how long something is timed.
#[derive(Clone, Copy)]
pub struct Patience(pub Duration);

impl Patience {
    /// What each run took that `run` says, but the first one's: as many as there is time for, and two.
    ///
    /// # Errors
    /// That of a run.
    pub async fn spend<E>(self, mut run: impl AsyncFnMut() -> Result<f64, E>) -> Result<Vec<f64>, E> {
        run().await?;
        let (started, mut took) = (Instant::now(), Vec::new());
        while took.len() < 2 || started.elapsed() < self.0 {
            took.push(run().await?);
        }
        Ok(took)
    }
}

fn tensor(shape: &[usize]) -> Result<Tensor, HostError> {
    Tensor::from_slice(&values(shape.iter().product()), shape)
}

/// Nanoseconds of each run. A result is dropped after the clock was looked at.
async fn timed<T>(
    patience: Patience,
    mut run: impl AsyncFnMut() -> Result<T, HostError>,
) -> Result<Vec<f64>, HostError> {
    let one = async || {
        let started = Instant::now();
        let _result = run().await?;
        Ok(started.elapsed().as_nanos() as f64)
    };
    patience.spend(one).await
}

fn each(count: usize, took: Vec<f64>) -> Vec<f64> {
    took.into_iter().map(|took| took / count as f64).collect()
}

/// Nanoseconds of blocks of additions, or of the drops of their results.
async fn additions(patience: Patience, of_drops: bool) -> Result<Vec<f64>, HostError> {
    let (x, y) = (tensor(&[16])?, tensor(&[16])?);
    let block = async || {
        let mut results = Vec::with_capacity(BLOCK);
        let started = Instant::now();
        for _ in 0..BLOCK {
            results.push(x.add(&y).await?);
        }
        let added = started.elapsed().as_nanos() as f64;
        let started = Instant::now();
        drop(results);
        Ok(if of_drops { started.elapsed().as_nanos() as f64 } else { added })
    };
    patience.spend(block).await
}

#[cfg(target_family = "wasm")]
async fn in_guest(size: usize, patience: Patience) -> Vec<f64> {
    guest_simd::products(size, patience).await
}

/// Natively there is no guest.
#[cfg(not(target_family = "wasm"))]
async fn in_guest(_: usize, _: Patience) -> Vec<f64> {
    Vec::new()
}

/// A linear layer of 16 units, its activation, and an update of both parts, again and again.
struct Chain {
    input: Tensor,
    weights: Tensor,
    bias: Tensor,
}

impl Chain {
    fn new() -> Result<Self, HostError> {
        Ok(Self { input: tensor(&[1, 16])?, weights: tensor(&[16, 16])?, bias: tensor(&[16])? })
    }

    async fn eager(&self) -> Result<Tensor, HostError> {
        let mut x = self.input.add(&self.bias).await?;
        for _ in 1..CHAIN / 5 {
            x = x.matmul(&self.weights).await?;
            x = x.add(&self.bias).await?;
            x = x.relu().await?;
            x = x.mul(&self.bias).await?;
            x = x.sub(&self.input).await?;
        }
        x = x.matmul(&self.weights).await?;
        x = x.add(&self.bias).await?;
        x = x.relu().await?;
        x.mul(&self.bias).await
    }

    async fn graph(&self) -> Result<Graph, HostError> {
        let shape = [1, 16];
        let (weights, bias, input) = (tensor(&[16, 16])?, tensor(&[16])?, tensor(&shape)?);
        Graph::trace([(DType::Float32, shape)], |builder, [x]| {
            let (weights, bias, input) = (builder.constant(weights), builder.constant(bias), builder.constant(input));
            let mut x = &x + &bias;
            for _ in 1..CHAIN / 5 {
                x = &(&(&x.matmul(&weights) + &bias).relu() * &bias) - &input;
            }
            vec![&(&x.matmul(&weights) + &bias).relu() * &bias]
        })
        .await
    }
}
