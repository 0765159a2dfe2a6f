//! The words of Spillway: what every layer agrees on, and nothing that runs.

mod digest;

pub use digest::{Digest, DigestHasher, ParseDigestError};
