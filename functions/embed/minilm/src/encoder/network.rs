//! The network as a graph.

use std::collections::HashMap;

use spillway_sdk::{DType, Graph, GraphBuilder, HostError, Model, Operand, Result, Tensor};

use crate::DIMENSIONS;

/// `num_hidden_layers`, `num_attention_heads` and `layer_norm_eps` in the model's `config.json`.
const LAYERS: usize = 6;
const HEADS: usize = 12;
const EPSILON: f64 = 1e-12;

/// The model's tensors, by their names.
pub(super) struct Weights(HashMap<String, Tensor>);

impl Weights {
    /// All of them: handles, while the elements stay in the host.
    pub(super) async fn open(model: &Model) -> Result<Self> {
        let mut weights = HashMap::new();
        for tensor in model.outputs().iter().filter(|tensor| tensor.dtype == DType::Float32) {
            weights.insert(tensor.name.clone(), model.weight(&tensor.name).await?);
        }
        Ok(Self(weights))
    }
}

/// Takes token ids `int32 [rows, length]`, what is added to the scores of each token `[rows, 1, 1, length]`, and its share in
/// the mean `[rows, 1, length]`; gives the means `[rows, 1, DIMENSIONS]`.
pub(super) async fn build(weights: Weights, rows: usize, length: usize) -> Result<Graph, HostError> {
    let builder = GraphBuilder::new();
    let ids = builder.input(DType::Int32, &[rows, length]);
    let mask = builder.input(DType::Float32, &[rows, 1, 1, length]);
    let shares = builder.input(DType::Float32, &[rows, 1, length]);
    let weights = weights.0.into_iter().map(|(name, tensor)| (name, builder.constant(tensor))).collect();
    let network = Network { weights, rows, length };
    let mut hidden = network.embeddings(&ids);
    for layer in 0..LAYERS {
        hidden = network.layer(&format!("encoder.layer.{layer}"), &hidden, &mask);
    }
    builder.build(&[&shares.matmul(&hidden)]).await
}

struct Network {
    weights: HashMap<String, Operand>,
    rows: usize,
    length: usize,
}

impl Network {
    /// What the tokens are plus where they stand. All are of the first of two types of token.
    fn embeddings(&self, ids: &Operand) -> Operand {
        let words = self.weight("embeddings.word_embeddings.weight").gather(ids, 0);
        let places = self.weight("embeddings.position_embeddings.weight").slice(&[0, 0], &[self.length, DIMENSIONS]);
        let kind = self.weight("embeddings.token_type_embeddings.weight").slice(&[0, 0], &[1, DIMENSIONS]);
        self.normalization("embeddings", &(&words + &(&places + &kind)))
    }

    fn layer(&self, name: &str, hidden: &Operand, mask: &Operand) -> Operand {
        let attended = self.attention(&format!("{name}.attention"), hidden, mask);
        let hidden = self.normalization(&format!("{name}.attention.output"), &(&attended + hidden));
        let wide = self.dense(&format!("{name}.intermediate.dense"), &hidden).gelu();
        let narrow = self.dense(&format!("{name}.output.dense"), &wide);
        self.normalization(&format!("{name}.output"), &(&narrow + &hidden))
    }

    fn attention(&self, name: &str, hidden: &Operand, mask: &Operand) -> Operand {
        let (rows, length, width) = (self.rows, self.length, DIMENSIONS / HEADS);
        let heads = |part: &str, order: [usize; 4]| {
            let all = self.dense(&format!("{name}.self.{part}"), hidden);
            all.reshape(&[rows, length, HEADS, width]).transpose(&order)
        };
        let query = heads("query", [0, 2, 1, 3]);
        let key = heads("key", [0, 2, 3, 1]);
        let value = heads("value", [0, 2, 1, 3]);
        let scores = &(&query.matmul(&key) * (1.0 / (width as f64).sqrt())) + mask;
        let context = scores.softmax(3).matmul(&value).transpose(&[0, 2, 1, 3]);
        self.dense(&format!("{name}.output.dense"), &context.reshape(&[rows, length, DIMENSIONS]))
    }

    fn dense(&self, name: &str, input: &Operand) -> Operand {
        let weight = self.weight(&format!("{name}.weight")).transpose(&[]);
        &input.matmul(&weight) + self.weight(&format!("{name}.bias"))
    }

    fn normalization(&self, name: &str, input: &Operand) -> Operand {
        let scale = self.weight(&format!("{name}.LayerNorm.weight"));
        let bias = self.weight(&format!("{name}.LayerNorm.bias"));
        input.layer_normalization(Some(scale), Some(bias), &[2], EPSILON)
    }

    /// # Panics
    /// Where the file, whose digest the manifest fixes, has none of this name.
    fn weight(&self, name: &str) -> &Operand {
        self.weights.get(name).unwrap_or_else(|| panic!("the model has no tensor {name}"))
    }
}
