//! From token ids to vectors: BERT's encoder with the weights of all-MiniLM-L6-v2, the mean over the tokens, length 1.
//!
//! Texts of like length go through together. All rows of a batch are as long as its longest text, in whole steps of 16, and as
//! many as a power of two, so that there are few shapes, and a graph for each is soon there.

mod network;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use spillway_sdk::{Graph, Model, Result, Tensor};

use crate::DIMENSIONS;

/// Lengths are multiples of this.
const STEP: usize = 16;

/// The most tokens of a batch, which take some 30 KB of tensors each at the greatest length.
const TOKENS_AT_ONCE: usize = 2048;

/// Added to the scores of what fills a row up: its weight is 0 after the softmax, in single precision exactly.
const NEVER: f32 = -1e9;

thread_local! {
    /// The graphs that this sandbox has built, by rows and length. The host keeps them for other sandboxes, too.
    static GRAPHS: RefCell<HashMap<(usize, usize), Rc<Graph>>> = RefCell::default();
}

/// Texts that go through together.
#[derive(Debug, PartialEq, Eq)]
struct Bucket {
    /// Tokens of each row.
    length: usize,
    /// Which texts they are.
    members: Vec<usize>,
}

/// A vector for each text, in order.
pub async fn embed(batch: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
    let mut vectors = vec![Vec::new(); batch.len()];
    for bucket in layout(batch) {
        let means = encode(&bucket, batch).await?.to_vec::<f32>()?;
        for (member, mean) in bucket.members.iter().zip(means.chunks_exact(DIMENSIONS)) {
            vectors[*member] = normalized(mean);
        }
    }
    Ok(vectors)
}

/// Puts the texts into buckets, the shortest first.
fn layout(batch: &[Vec<u32>]) -> Vec<Bucket> {
    let length = |index: usize| batch[index].len().next_multiple_of(STEP);
    let mut order: Vec<_> = (0..batch.len()).collect();
    order.sort_by_key(|&index| length(index));
    let alike = order.chunk_by(|&one, &other| length(one) == length(other));
    let buckets = alike.flat_map(|alike| {
        let length = length(alike[0]);
        let most = 1 << (TOKENS_AT_ONCE / length).max(1).ilog2();
        alike.chunks(most).map(move |members| Bucket { length, members: members.to_vec() })
    });
    buckets.collect()
}

impl Bucket {
    /// Rows of the batch, with those that fill it up.
    fn rows(&self) -> usize {
        self.members.len().next_power_of_two()
    }

    /// Row by row one value per token, and another for what fills up rows and batch.
    fn fill<T: Copy>(&self, batch: &[Vec<u32>], token: impl Fn(&[u32], usize) -> T, filling: T) -> Vec<T> {
        let mut values = Vec::with_capacity(self.rows() * self.length);
        for &member in &self.members {
            let ids = &batch[member];
            values.extend((0..ids.len()).map(|index| token(ids, index)));
            values.resize(values.len() + self.length - ids.len(), filling);
        }
        values.resize(self.rows() * self.length, filling);
        values
    }
}

fn normalized(mean: &[f32]) -> Vec<f32> {
    let length = mean.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    mean.iter().map(|&value| (f64::from(value) / length) as f32).collect()
}

/// The mean over the tokens of each text, `[rows, 1, DIMENSIONS]`.
async fn encode(bucket: &Bucket, batch: &[Vec<u32>]) -> Result<Tensor> {
    let (rows, length) = (bucket.rows(), bucket.length);
    let graph = graph(rows, length).await?;
    let ids = Tensor::from_slice(&bucket.fill(batch, |ids, index| ids[index] as i32, 0), &[rows, length])?;
    let mask = Tensor::from_slice(&bucket.fill(batch, |_, _| 0.0, NEVER), &[rows, 1, 1, length])?;
    let shares = bucket.fill(batch, |ids, _| 1.0 / ids.len() as f32, 0.0);
    let shares = Tensor::from_slice(&shares, &[rows, 1, length])?;
    let mut outputs = graph.dispatch(&[&ids, &mask, &shares]).await?;
    Ok(outputs.remove(0))
}

async fn graph(rows: usize, length: usize) -> Result<Rc<Graph>> {
    if let Some(graph) = GRAPHS.with_borrow(|graphs| graphs.get(&(rows, length)).cloned()) {
        return Ok(graph);
    }
    let weights = network::Weights::open(&Model::open("minilm").await?).await?;
    let graph = Rc::new(network::build(weights, rows, length).await?);
    GRAPHS.with_borrow_mut(|graphs| graphs.insert((rows, length), graph.clone()));
    Ok(graph)
}

#[cfg(test)]
mod tests;
