//! Prints what the constants of the kernels' cost model stand for: nanoseconds for each element of a result, the median of
//! many runs, and what it costs to hand work to a kernel thread and wait for it.
//!
//! `cargo run --release -p spillway-inference --example kernel_costs`

use std::num::NonZeroUsize;
use std::time::Instant;

use spillway_inference::{DType, Kernel, KernelThreads, Tensor};
use spillway_types::operator::{
    BinaryOperator, ClampOptions, InterpolationMode, LinearOptions, Operator, PaddingMode, ReduceOptions, Reduction,
    Resample2dOptions, UnaryOperator, WarpOptions,
};

const RUNS: usize = 101;

fn tensor(dtype: DType, shape: &[usize]) -> Tensor {
    let bytes = vec![0; shape.iter().product::<usize>() * dtype.size_bytes()];
    Tensor::from_bytes(dtype, shape, &bytes).expect("the bytes are as many as the shape says")
}

/// The median of the times of `work`, in nanoseconds.
fn median(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<u128> = (0..RUNS)
        .map(|_| {
            let started = Instant::now();
            work();
            started.elapsed().as_nanos()
        })
        .collect();
    times.sort_unstable();
    times[RUNS / 2] as f64
}

fn cost(name: &str, operator: &Operator, inputs: &[Tensor]) {
    let compute = || Kernel::new(operator.clone(), inputs.to_vec()).and_then(Kernel::compute).expect("it fits");
    let elements = compute().shape().iter().product::<usize>();
    let took = median(|| drop(compute()));
    println!("{name:<28} {:>9.3} ns an element, {elements} elements", took / elements as f64);
}

fn main() -> std::io::Result<()> {
    let (floats, bytes) = (tensor(DType::Float32, &[512, 512]), tensor(DType::Uint8, &[512, 512, 3]));
    let pair = [floats.clone(), floats.clone()];
    cost("cast uint8 to float32", &Operator::Cast(DType::Float32), &[bytes.clone()]);
    cost("linear", &Operator::Linear(LinearOptions { alpha: 2.0, beta: 1.0 }), &pair[..1]);
    cost("clamp", &Operator::Clamp(ClampOptions { min_value: Some(0.0), max_value: None }), &pair[..1]);
    cost("add", &Operator::Binary(BinaryOperator::Add), &pair);
    cost("pow", &Operator::Binary(BinaryOperator::Pow), &pair);
    cost("exp", &Operator::Unary(UnaryOperator::Exp), &pair[..1]);
    cost("softmax", &Operator::Softmax(1), &pair[..1]);
    cost("concat", &Operator::Concat(0), &pair);
    let options = ReduceOptions { reduction: Reduction::Sum, axes: Some(vec![1]), keep_dimensions: false };
    cost("reduce, 512 to 1", &Operator::Reduce(options), &pair[..1]);
    cost("matmul, 512 to 1", &Operator::Matmul, &pair);
    for mode in [InterpolationMode::NearestNeighbor, InterpolationMode::Linear, InterpolationMode::Cubic] {
        let options = Resample2dOptions { mode, sizes: (480, 480), axes: (0, 1) };
        cost(&format!("resample2d {mode:?}"), &Operator::Resample2d(options), &[bytes.clone()]);
        let matrix = vec![0.9, 0.1, 3.0, -0.1, 0.9, 40.0, 0.0, 0.0, 1.0];
        let options = WarpOptions { matrix, sizes: (480, 480), mode, border: PaddingMode::Edge, value: 0.0 };
        cost(&format!("warp {mode:?}"), &Operator::Warp(options), &[bytes.clone()]);
    }
    let threads = KernelThreads::new(NonZeroUsize::MIN)?;
    let handed = median(|| futures::executor::block_on(threads.spawn(|_| ())).expect("the threads run"));
    println!("{:<28} {:>9.3} µs", "a kernel thread and back", handed / 1e3);
    Ok(())
}
