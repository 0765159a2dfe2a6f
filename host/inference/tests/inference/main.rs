//! Tests of the public face of `spillway-inference`; one binary, because each links tract.

mod backend;
mod cache;
mod fake;
mod graphs;
mod hostile;
mod indices;
mod jpeg;
mod kernels;
mod lifecycle;
mod nets;
mod onnx;
mod planning;
mod pressure;
mod rejections;
mod runs;
mod specializations;
mod tflite;
mod threads;
mod tolerance;
mod views;
