//! Tests of the public face of `spillway-inference`; one binary, because each links tract.

mod cache;
mod fake;
mod onnx;
mod runs;
mod specializations;
mod threads;
