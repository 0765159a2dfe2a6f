//! How long a kernel holds its thread after its deadline.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use spillway_inference::{DType, Kernel, KernelThreads, Tensor};
use spillway_types::operator::*;

/// Enough that no kernel is done by then.
const DEADLINE: Duration = Duration::from_millis(5);

/// Kernels that take long, by name.
fn all() -> anyhow::Result<Vec<(&'static str, Kernel)>> {
    let tensor = |dtype: DType, shape: &[usize]| {
        let bytes = shape.iter().product::<usize>() * dtype.size_bytes();
        Tensor::from_bytes(dtype, shape, &vec![1; bytes])
    };
    let floats = |shape: &[usize]| tensor(DType::Float32, shape);
    let (wide, square) = (floats(&[64, 1 << 20])?, floats(&[3072, 3072])?);
    let turned = Kernel::new(Operator::Transpose(vec![]), vec![wide.clone()])?.compute()?;
    let image = floats(&[1, 256, 224, 224])?;
    let filter = floats(&[256, 256, 3, 3])?;
    let indices = tensor(DType::Int32, &[1 << 16])?;
    let unary = |operator| Operator::Unary(operator);
    let convolution = Conv2dOptions {
        padding: (1, 1, 1, 1),
        strides: (1, 1),
        dilations: (1, 1),
        groups: 1,
        input_layout: InputOperandLayout::Nchw,
        filter_layout: FilterOperandLayout::Oihw,
    };
    let resample = Resample2dOptions { mode: InterpolationMode::Linear, sizes: (1024, 1024), axes: (2, 3) };
    let reduce = ReduceOptions { reduction: Reduction::Sum, axes: None, keep_dimensions: false };
    let pad =
        PadOptions { beginning_padding: vec![8, 8], ending_padding: vec![8, 8], mode: PaddingMode::Edge, value: 0.0 };
    let kernels = vec![
        ("matmul", Operator::Matmul, vec![square.clone(), square]),
        ("conv2d", Operator::Conv2d(convolution), vec![image.clone(), filter]),
        ("gelu", unary(UnaryOperator::Gelu), vec![wide.clone()]),
        ("tan", unary(UnaryOperator::Tan), vec![wide.clone()]),
        ("add of a transposed matrix", Operator::Binary(BinaryOperator::Add), vec![turned.clone(), turned.clone()]),
        ("softmax", Operator::Softmax(1), vec![wide.clone()]),
        ("softmax of a transposed matrix", Operator::Softmax(1), vec![turned]),
        ("reduce", Operator::Reduce(reduce), vec![wide.clone()]),
        ("pad", Operator::Pad(pad), vec![wide.clone()]),
        ("concat", Operator::Concat(0), vec![wide.clone(), wide.clone()]),
        ("gather", Operator::Gather(1), vec![wide, indices]),
        ("resample2d", Operator::Resample2d(resample), vec![image]),
    ];
    kernels.into_iter().map(|(name, operator, inputs)| Ok((name, Kernel::new(operator, inputs)?))).collect()
}

/// For each kernel, nanoseconds from its deadline until its thread took the next job.
pub(super) async fn held() -> anyhow::Result<Vec<(&'static str, f64)>> {
    let threads = KernelThreads::new(NonZeroUsize::MIN)?;
    let mut held = Vec::new();
    for (name, kernel) in all()? {
        let deadline = Instant::now() + DEADLINE;
        let finished = kernel.run(&threads, Some(deadline)).await;
        anyhow::ensure!(finished.is_err(), "{name} was done before its deadline; have it do more");
        let free = threads.spawn(|_| Instant::now()).await?;
        held.push((name, free.saturating_duration_since(deadline).as_nanos() as f64));
    }
    Ok(held)
}
