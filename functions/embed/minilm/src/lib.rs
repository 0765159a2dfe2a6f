//! The sentence encoder all-MiniLM-L6-v2, for functions that grant its weights to themselves as the model `minilm`: what
//! `embed` and `similar` have in common.
//!
//! The model's file holds weights and no graph. The guest cuts texts into tokens ([`tokenizer`]) and says of what operators
//! the network is made ([`encoder`]); it runs in the host, where the weights stay.

pub mod encoder;
pub mod tokenizer;
mod vocabulary;

/// Numbers of a vector.
pub const DIMENSIONS: usize = 384;

#[cfg(test)]
mod tests;
