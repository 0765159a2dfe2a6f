//! Tests of the public face of `spillway-inference`; one binary, because each links tract.

mod cache;
mod fake;
mod kernels;
mod onnx;
mod rejections;
mod runs;
mod threads;
mod views;
