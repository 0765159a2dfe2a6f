//! From a crate to a bundle.
//!
//! | stage | module |
//! | --- | --- |
//! | read `spillway.toml` and find the crate | `source` |
//! | hash the models, check their digests | `model_files` |
//! | find a compiler for `wasm32-wasip2` | `toolchain` |
//! | compile all crates of a workspace at once | `compile` |
//! | put component, manifest and models together | `command::build` |

mod compile;
mod model_files;
mod source;
mod toolchain;

pub(crate) use compile::compile;
pub(crate) use model_files::{ModelFiles, hash_file, resolve};
pub(crate) use source::{Source, manifest_in};
