//! Measures what the constants of the kernels' cost model say: `cargo run --release -p spillway-inference --example
//! kernel_costs`. Prints nanoseconds per element of the result (for reductions, of the input), the best of many runs,
//! beside what the kernel predicted; and what handing work to a thread and back takes.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use spillway_inference::{DType, Kernel, KernelThreads, Tensor};
use spillway_types::operator::*;

use DType::*;
use Operator::*;

fn tensor(dtype: DType, shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    let bytes: Vec<u8> = match dtype {
        Float32 => (0..count).flat_map(|x| ((x % 251) as f32 * 0.01).to_le_bytes()).collect(),
        _ => (0..count * dtype.size_bytes()).map(|x| (x % 251) as u8).collect(),
    };
    Tensor::from_bytes(dtype, shape, &bytes).expect("the length is right")
}

/// How long one case is tried. On a machine with others a run of milliseconds is always interrupted; one in many is not.
const PATIENCE: Duration = Duration::from_millis(300);

/// The shortest of some runs, in nanoseconds, and how many the kernel predicted.
fn measure(operator: &Operator, inputs: &[Tensor]) -> (f64, f64) {
    let predicted = Kernel::new(operator.clone(), inputs.to_vec()).expect("it is valid").predicted_nanoseconds();
    let run = || {
        let kernel = Kernel::new(operator.clone(), inputs.to_vec()).expect("it is valid");
        let started = Instant::now();
        black_box(kernel.compute().expect("it computes"));
        started.elapsed().as_nanos() as f64
    };
    let started = Instant::now();
    let runs = (0..).take_while(|index| *index < 15 || started.elapsed() < PATIENCE).map(|_| run());
    (runs.fold(f64::INFINITY, f64::min), predicted)
}

fn view(operator: Operator, input: &Tensor) -> Tensor {
    Kernel::new(operator, vec![input.clone()]).and_then(Kernel::compute).expect("it is a view")
}

fn main() {
    let image = tensor(Uint8, &[480, 640, 3]);
    let planes = view(Transpose(vec![2, 0, 1]), &image);
    let float = tensor(Float32, &[3, 480, 640]);
    // For what takes nanoseconds an element: short enough to be done before somebody else has the core.
    let few = tensor(Float32, &[3, 48, 64]);
    let pixels = view(Transpose(vec![1, 2, 0]), &float);
    let matrix = tensor(Float32, &[512, 512]);
    let logits = tensor(Float32, &[80, 6625]);
    let row = tensor(Float32, &[1, 640]);
    let resample = |mode, axes| Resample2d(Resample2dOptions { mode, sizes: (320, 736), axes });
    let warp = |mode| {
        let matrix = vec![0.9, -0.2, 100.0, 0.2, 0.9, 20.0, 0.0, 0.0, 1.0];
        Warp(WarpOptions { matrix, sizes: (48, 320), mode, border: PaddingMode::Edge, value: 0.0 })
    };
    let arg = ArgMax(ArgOptions { axis: 1, keep_dimensions: false, output_data_type: Int64 });
    let reduce = |reduction, axis| Reduce(ReduceOptions { reduction, axes: Some(vec![axis]), keep_dimensions: false });
    let pad = PadOptions {
        beginning_padding: vec![16, 16, 0],
        ending_padding: vec![16, 16, 0],
        mode: PaddingMode::Edge,
        value: 0.0,
    };
    let linear = Linear(LinearOptions { alpha: 0.5, beta: 1.0 });
    let (square, scale) = (tensor(Float32, &[1024, 1024]), tensor(Float32, &[1024]));
    let normalization =
        LayerNormalizationOptions { axes: Some(vec![1]), epsilon: 1e-5, has_scale: true, has_bias: true };
    let (nearest, bilinear, cubic) =
        (InterpolationMode::NearestNeighbor, InterpolationMode::Linear, InterpolationMode::Cubic);
    let cases: Vec<(&str, Operator, Vec<Tensor>)> = vec![
        ("cast u8 to f32", Cast(Float32), vec![image.clone()]),
        ("cast u8 to f32, HWC to CHW", Cast(Float32), vec![planes]),
        ("cast f32 to u8", Cast(Uint8), vec![float.clone()]),
        ("linear f32", linear.clone(), vec![float.clone()]),
        ("linear f32, CHW to HWC", linear, vec![pixels]),
        ("reshape of a transposed matrix", Reshape(vec![512 * 512]), vec![view(Transpose(vec![]), &matrix)]),
        ("concat", Concat(0), vec![float.clone(), float.clone()]),
        ("pad u8", Pad(pad), vec![image.clone()]),
        ("abs", Unary(UnaryOperator::Abs), vec![float.clone()]),
        ("round-even", Unary(UnaryOperator::RoundEven), vec![float.clone()]),
        ("exp", Unary(UnaryOperator::Exp), vec![few.clone()]),
        ("log", Unary(UnaryOperator::Log), vec![few.clone()]),
        ("softplus", Unary(UnaryOperator::Softplus), vec![few.clone()]),
        ("elu", Elu(1.0), vec![few.clone()]),
        ("sigmoid", Unary(UnaryOperator::Sigmoid), vec![few.clone()]),
        ("sin", Unary(UnaryOperator::Sin), vec![few.clone()]),
        ("cos", Unary(UnaryOperator::Cos), vec![few.clone()]),
        ("tan", Unary(UnaryOperator::Tan), vec![few.clone()]),
        ("tanh", Unary(UnaryOperator::Tanh), vec![few.clone()]),
        ("erf", Unary(UnaryOperator::Erf), vec![few.clone()]),
        ("gelu", Unary(UnaryOperator::Gelu), vec![few.clone()]),
        ("add", Binary(BinaryOperator::Add), vec![float.clone(), float.clone()]),
        ("add a row", Binary(BinaryOperator::Add), vec![float.clone(), row]),
        ("pow", Binary(BinaryOperator::Pow), vec![few.clone(), few]),
        ("clamp", Clamp(ClampOptions { min_value: Some(0.1), max_value: Some(1.0) }), vec![float.clone()]),
        ("softmax", Softmax(1), vec![logits.clone()]),
        ("exp of 4 MB", Unary(UnaryOperator::Exp), vec![square.clone()]),
        ("gelu of 4 MB", Unary(UnaryOperator::Gelu), vec![square.clone()]),
        ("relu of 4 MB", Unary(UnaryOperator::Relu), vec![square.clone()]),
        ("sigmoid of 4 MB", Unary(UnaryOperator::Sigmoid), vec![square.clone()]),
        ("softmax, rows of 1024", Softmax(1), vec![square.clone()]),
        ("layer normalisation, rows of 1024", LayerNormalization(normalization), vec![square, scale.clone(), scale]),
        ("matmul 512", Matmul, vec![matrix.clone(), matrix]),
        ("argMax, last axis", arg, vec![logits.clone()]),
        ("reduceMax, last axis", reduce(Reduction::Max, 1), vec![logits.clone()]),
        ("reduceSum, last axis", reduce(Reduction::Sum, 1), vec![logits.clone()]),
        ("reduceSum, first axis", reduce(Reduction::Sum, 0), vec![logits]),
        ("resample2d nearest u8 HWC", resample(nearest, (0, 1)), vec![image.clone()]),
        ("resample2d linear u8 HWC", resample(bilinear, (0, 1)), vec![image.clone()]),
        ("resample2d linear f32 CHW", resample(bilinear, (1, 2)), vec![float]),
        ("resample2d cubic u8 HWC", resample(cubic, (0, 1)), vec![image.clone()]),
        ("warp linear u8 HWC", warp(bilinear), vec![image.clone()]),
        ("warp cubic u8 HWC", warp(cubic), vec![image]),
    ];
    println!("{:34} {:>12} {:>10} {:>10}", "", "µs", "ns each", "predicted");
    for (name, operator, inputs) in cases {
        let (took, predicted) = measure(&operator, &inputs);
        let result = Kernel::new(operator.clone(), inputs.clone()).and_then(Kernel::compute).expect("it computes");
        let from_input = matches!(operator, ArgMax(_) | Reduce(_));
        let shape = if from_input { inputs[0].shape() } else { result.shape() };
        let count = shape.iter().product::<usize>() as f64;
        println!("{name:34} {:12.1} {:10.2} {:10.2}", took / 1e3, took / count, predicted / count);
    }
    let threads = KernelThreads::new(NonZeroUsize::MIN).expect("the system gives a thread");
    let hand_over = || {
        let started = Instant::now();
        futures::executor::block_on(threads.spawn(|_| ())).expect("it does nothing");
        started.elapsed().as_nanos() as f64
    };
    let mut times: Vec<f64> = (0..2000).map(|_| hand_over()).collect();
    times.sort_by(f64::total_cmp);
    println!("to a thread and back: median {:.1} µs, best {:.1} µs", times[1000] / 1e3, times[0] / 1e3);
    for bytes in [1 << 20, 16 << 20] {
        let x = tensor(Uint8, &[bytes]);
        let took = measure(&Cast(Int8), &[x]).0;
        println!("cast u8 to i8 of {} MiB: {:.0} µs", bytes >> 20, took / 1e3);
    }
}
