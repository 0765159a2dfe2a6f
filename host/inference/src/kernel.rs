//! Native operators: checked first, computed where they belong.

use std::time::{Duration, Instant};

use spillway_types::operator::Operator;

use crate::job::contain;
use crate::kernels::{Plan, Stop, Work, plan};
use crate::{JobError, KernelThreads, Meter, RunError, Tensor, Turn, byte_length};

/// Work predicted to take less runs where it is asked for. Handing it to a thread and back cost 3 µs on idle cores and 44
/// on shared ones (medians of `cargo run --release -p spillway-inference --example kernel_costs`), and then there is the
/// queue.
pub(crate) const SHORT_NANOSECONDS: f64 = 20_000.0;

/// Memory that can be got and written in that time.
const SHORT_BYTES: usize = 1 << 20;

/// Work predicted to take less runs where it is asked for while a kernel thread has nothing to do, so that nobody's turn is
/// passed over: a fraction of what a guest may compute there without a pause (2 ms), and several times what handing it over
/// costs on shared cores.
const BRIEF_NANOSECONDS: f64 = 250_000.0;
/// Memory for that.
const BRIEF_BYTES: usize = 8 << 20;

/// What work is predicted to take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) nanoseconds: f64,
    /// Memory that it gets.
    pub(crate) bytes: usize,
}

impl Extent {
    fn is_short(self) -> bool {
        self.nanoseconds < SHORT_NANOSECONDS && self.bytes <= SHORT_BYTES
    }

    fn is_brief(self) -> bool {
        self.nanoseconds < BRIEF_NANOSECONDS && self.bytes <= BRIEF_BYTES
    }
}

/// One operator on its inputs, checked.
pub struct Kernel {
    plan: Plan,
    result_bytes: usize,
}

impl Kernel {
    /// Checks `operator` against `inputs`; nothing is allocated for the result yet.
    ///
    /// # Errors
    /// [`RunError::InvalidArgument`], naming the operator, the argument and the rule.
    pub fn new(operator: Operator, inputs: Vec<Tensor>) -> Result<Self, RunError> {
        let plan = plan(operator, inputs)?;
        // The product of its axes is checked for views too, though they hold no memory: everything else relies on it.
        let bytes = byte_length(plan.dtype, &plan.shape)
            .map_err(|cause| RunError::InvalidArgument(format!("{}: the result is too large: {cause}", plan.name)))?;
        let result_bytes = if matches!(plan.work, Work::View(_)) { 0 } else { bytes };
        Ok(Self { plan, result_bytes })
    }

    /// Bytes that the result will hold and its inputs do not share; 0 for a view, which keeps its input's storage.
    pub fn result_bytes(&self) -> usize {
        self.result_bytes
    }

    /// Bytes that are needed beside the result while computing; an upper bound, but for what no input makes grow: tables of
    /// the decoders of images, and the blocks in which a matrix product packs its inputs.
    pub fn scratch_bytes(&self) -> usize {
        self.plan.scratch_bytes
    }

    /// How long computing is predicted to take, in nanoseconds; 0 for a view. A constant per element and family, measured
    /// on one machine: good to tell what is short, not to plan with.
    pub fn predicted_nanoseconds(&self) -> f64 {
        if matches!(self.plan.work, Work::View(_)) { 0.0 } else { self.plan.nanoseconds }
    }

    /// Whether computing is predicted to take under 20 µs, and memory that this leaves time for, so that it is not worth a
    /// thread's attention.
    pub fn is_short(&self) -> bool {
        self.extent().is_short()
    }

    fn extent(&self) -> Extent {
        let bytes = self.result_bytes.saturating_add(self.plan.scratch_bytes);
        Extent { nanoseconds: self.predicted_nanoseconds(), bytes }
    }

    /// As [`compute`](Self::compute), telling `meter` how long it took: nobody waits for what [is short](Self::is_short).
    ///
    /// # Errors
    /// [`RunError`].
    pub fn compute_short(self, meter: Option<&dyn Meter>) -> Result<Tensor, RunError> {
        if meter.is_some_and(Meter::is_over) {
            return Err(RunError::DeadlineExceeded);
        }
        let started = Instant::now();
        // It is done sooner than a deadline is noticed elsewhere.
        let result = self.compute();
        if let Some(meter) = meter {
            meter.note(Duration::ZERO, started.elapsed());
        }
        result
    }

    /// Computes on the calling thread.
    ///
    /// # Errors
    /// [`RunError::EngineFailed`]; [`RunError::InvalidArgument`] where only the work itself shows that the input is
    /// damaged, as in an image.
    pub fn compute(self) -> Result<Tensor, RunError> {
        self.compute_until(&|| false)
    }

    /// Computes: at once if it [is short](Self::is_short), or little longer while a thread is idle; else on `threads`.
    ///
    /// # Errors
    /// [`RunError`].
    ///
    /// # Cancel safety
    /// As [`Model::run`](crate::Model::run): dropping the future takes waiting work out of the queue, and ends work that
    /// computes after some rows.
    pub async fn run(self, threads: &KernelThreads, turn: impl Into<Turn>) -> Result<Tensor, RunError> {
        self.run_holding(threads, turn, ()).await
    }

    /// As [`run`](Self::run); drops `held`, such as charges for its memory, when the work has ended, which may be after its
    /// caller has gone.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn run_holding(
        self,
        threads: &KernelThreads,
        turn: impl Into<Turn>,
        held: impl Send + 'static,
    ) -> Result<Tensor, RunError> {
        let extent = self.extent();
        let work = move |stop: &dyn Fn() -> bool| {
            let result = self.compute_until(stop);
            drop(held);
            result
        };
        in_turn(threads, turn.into(), extent, work).await
    }

    fn compute_until(self, should_stop: &dyn Fn() -> bool) -> Result<Tensor, RunError> {
        let work = match self.plan.work {
            Work::View(tensor) => return Ok(tensor),
            Work::Compute(work) => work,
        };
        let stop = Stop::new(should_stop);
        stop.check()?;
        contain(|| work(&stop))
            .unwrap_or_else(|panic| Err(RunError::EngineFailed(JobError::Panicked(panic).to_string())))
    }
}

fn at_once<T>(turn: &Turn, work: impl FnOnce(&dyn Fn() -> bool) -> Result<T, RunError>) -> Result<T, RunError> {
    let started = Instant::now();
    let result = work(&|| turn.has_passed());
    turn.note(Duration::ZERO, started.elapsed());
    result
}

/// Does `work` where it belongs: at once if that is short, or brief while a thread is idle; else on `threads` in its turn.
pub(crate) async fn in_turn<T: Send + 'static>(
    threads: &KernelThreads,
    turn: Turn,
    extent: Extent,
    work: impl FnOnce(&dyn Fn() -> bool) -> Result<T, RunError> + Send + 'static,
) -> Result<T, RunError> {
    if extent.is_short() || (extent.is_brief() && threads.has_idle()) {
        return at_once(&turn, work);
    }
    let (deadline, watched) = (turn.deadline, turn.clone());
    let job = threads.spawn_in(turn, move |caller| work(&|| caller.is_gone() || watched.has_passed()));
    let finished = match deadline {
        None => job.await,
        Some(deadline) => {
            tokio::time::timeout_at(deadline.into(), job).await.map_err(|_| RunError::DeadlineExceeded)?
        }
    };
    finished.unwrap_or_else(|error| Err(RunError::EngineFailed(error.to_string())))
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {} {:?}", self.plan.name, self.plan.dtype, self.plan.shape)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use spillway_types::operator::{
        ArgOptions, BinaryOperator, ClampOptions, Conv2dOptions, CumulativeSumOptions, FilterOperandLayout,
        InputOperandLayout, InterpolationMode, LayerNormalizationOptions, LinearOptions, PaddingMode, Pool2dOptions,
        Pooling, ReduceOptions, Reduction, Resample2dOptions, RoundingType, UnaryOperator, WarpOptions,
    };

    use super::*;
    use crate::DType;

    /// Of one row or column, which a thread must not be lost to either.
    #[test]
    fn work_on_one_long_row_ends_within_it() {
        let row = Tensor::from_bytes(DType::Float32, &[1, 1_000_000], &vec![0; 4_000_000]).unwrap();
        let column = Tensor::from_bytes(DType::Float32, &[1_000_000, 1], &vec![0; 4_000_000]).unwrap();
        let reduce = |reduction| Operator::Reduce(ReduceOptions { reduction, axes: None, keep_dimensions: false });
        let arg = |axis| Operator::ArgMax(ArgOptions { axis, keep_dimensions: false, output_data_type: DType::Int32 });
        let warp = WarpOptions {
            matrix: vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            sizes: (1, 1_000_000),
            mode: InterpolationMode::Cubic,
            border: PaddingMode::Edge,
            value: 0.0,
        };
        for (operator, inputs) in [
            (reduce(Reduction::Sum), vec![row.clone()]),
            (reduce(Reduction::Product), vec![row.clone()]),
            (reduce(Reduction::Max), vec![row.clone()]),
            (reduce(Reduction::LogSumExp), vec![column.clone()]),
            (arg(1), vec![row.clone()]),
            (arg(0), vec![column.clone()]),
            (Operator::Warp(warp), vec![row.clone()]),
            (Operator::Concat(1), vec![row.clone(), row.clone()]),
        ] {
            let asked = Cell::new(0);
            let third_time = || asked.replace(asked.get() + 1) == 2;
            let kernel = Kernel::new(operator.clone(), inputs).unwrap();
            assert_eq!(kernel.compute_until(&third_time).unwrap_err(), RunError::DeadlineExceeded, "{operator:?}");
        }
    }

    /// Images of one long row or column, and pixels of many channels.
    #[test]
    fn work_on_images_ends_within_one_row_and_one_pixel() {
        let of = |shape: &[usize]| {
            let bytes = vec![0; shape.iter().product::<usize>() * 4];
            Tensor::from_bytes(DType::Float32, shape, &bytes).unwrap()
        };
        let turned = |x: &Tensor| x.view(x.layout().transpose(&[0, 1, 3, 2]));
        let (row, column) = (of(&[1, 1, 1, 1_000_000]), of(&[1, 1, 1_000_000, 1]));
        let two = of(&[1, 2, 1, 1_000_000]);
        let resample = |mode, sizes, axes| Operator::Resample2d(Resample2dOptions { mode, sizes, axes });
        let pool = |pooling, layout| {
            Operator::Pool2d(Pool2dOptions {
                pooling,
                window_dimensions: Some((1, 1)),
                padding: (0, 0, 0, 0),
                strides: (1, 1),
                dilations: (1, 1),
                layout,
                output_shape_rounding: RoundingType::Floor,
                output_sizes: None,
            })
        };
        let conv = |groups, input_layout| {
            Operator::Conv2d(Conv2dOptions {
                padding: (0, 0, 0, 0),
                strides: (1, 1),
                dilations: (1, 1),
                groups,
                input_layout,
                filter_layout: FilterOperandLayout::Oihw,
            })
        };
        let (rows, pixels) = (InputOperandLayout::Nchw, InputOperandLayout::Nhwc);
        // How often each asks at least: work with more for each element asks more often.
        for (least, operator, inputs) in [
            (10, resample(InterpolationMode::NearestNeighbor, (1, 1_000_000), (2, 3)), vec![row.clone()]),
            (20, resample(InterpolationMode::Linear, (1, 1_000_000), (2, 3)), vec![row.clone()]),
            (20, resample(InterpolationMode::Cubic, (1, 1_000_000), (2, 3)), vec![column.clone()]),
            (10, resample(InterpolationMode::NearestNeighbor, (1, 1), (1, 2)), vec![row.clone()]),
            (20, resample(InterpolationMode::Linear, (1, 1), (1, 2)), vec![row.clone()]),
            (4, pool(Pooling::Max, rows), vec![row.clone()]),
            (20, pool(Pooling::Average, rows), vec![column.clone()]),
            (10, pool(Pooling::L2, pixels), vec![row.clone()]),
            (6, conv(2, rows), vec![two.clone(), of(&[2, 1, 1, 1])]),
            (20, conv(2, rows), vec![turned(&two), of(&[2, 1, 1, 1]), of(&[2])]),
            (2, conv(1_000_000, pixels), vec![row.clone(), of(&[1_000_000, 1, 1, 1])]),
            (4, conv(1, rows), vec![row.clone(), of(&[1, 1, 1, 1]), of(&[1])]),
        ] {
            let what = format!("{operator:?} of {:?}", inputs[0].shape());
            let all = Cell::new(0);
            let never = || {
                all.set(all.get() + 1);
                false
            };
            assert!(Kernel::new(operator.clone(), inputs.clone()).unwrap().compute_until(&never).is_ok());
            assert!(all.get() >= least, "{what} asks {} times", all.get());
            let asked = Cell::new(0);
            let late = || asked.replace(asked.get() + 1) == all.get() - 1;
            let kernel = Kernel::new(operator, inputs).unwrap();
            assert_eq!(kernel.compute_until(&late).unwrap_err(), RunError::DeadlineExceeded, "{what}");
        }
    }

    #[test]
    fn what_elementwise_work_brings_together_is_charged() {
        let tensor = |shape: &[usize]| {
            let bytes = vec![0; shape.iter().product::<usize>() * 4];
            Tensor::from_bytes(DType::Float32, shape, &bytes).unwrap()
        };
        let turned = |x: &Tensor| x.view(x.layout().transpose(&[1, 0]));
        let (small, large, row) = (tensor(&[100, 50]), tensor(&[1000, 500]), tensor(&[50]));
        let tanh = Operator::Unary(UnaryOperator::Tanh);
        for (operator, inputs, bytes) in [
            (tanh.clone(), vec![small.clone()], 0),
            (tanh, vec![turned(&small)], 20_000),
            (Operator::Elu(1.0), vec![turned(&small)], 20_000),
            (Operator::Cast(DType::Float16), vec![turned(&large)], 4 << 16),
            (Operator::Binary(BinaryOperator::Add), vec![small.clone(), row], 20_000),
            (Operator::Binary(BinaryOperator::Add), vec![turned(&large), turned(&large)], 8 << 16),
        ] {
            let kernel = Kernel::new(operator.clone(), inputs).unwrap();
            assert_eq!(kernel.scratch_bytes(), bytes, "{operator:?}");
        }
    }

    #[test]
    fn long_elementwise_work_ends_between_two_blocks() {
        let x = Tensor::from_bytes(DType::Float32, &[1000, 1000], &vec![0; 4_000_000]).unwrap();
        let column = Tensor::from_bytes(DType::Float32, &[1000, 1], &vec![0; 4_000]).unwrap();
        let rows = Tensor::from_bytes(DType::Int32, &[1000], &vec![0; 4_000]).unwrap();
        let normalization = LayerNormalizationOptions { axes: None, epsilon: 1e-5, has_scale: false, has_bias: false };
        let sums = CumulativeSumOptions { axis: 1, exclusive: false, reversed: true };
        for (operator, inputs) in [
            (Operator::Cast(DType::Float16), vec![x.clone()]),
            (Operator::Linear(LinearOptions { alpha: 2.0, beta: 1.0 }), vec![x.clone()]),
            (Operator::Clamp(ClampOptions { min_value: Some(0.0), max_value: None }), vec![x.clone()]),
            (Operator::Unary(UnaryOperator::Tanh), vec![x.clone()]),
            (Operator::Binary(BinaryOperator::Pow), vec![x.clone(), column]),
            (Operator::Binary(BinaryOperator::Equal), vec![x.clone(), x.clone()]),
            (Operator::Softmax(0), vec![x.clone()]),
            (Operator::Concat(1), vec![x.clone(), x.clone()]),
            (Operator::LayerNormalization(normalization), vec![x.clone()]),
            (Operator::Reverse(None), vec![x.clone()]),
            (Operator::CumulativeSum(sums), vec![x.clone()]),
            (Operator::Gather(0), vec![x.clone(), rows.clone()]),
            (Operator::Reshape(vec![1_000_000]), vec![x.view(x.layout().transpose(&[1, 0]))]),
        ] {
            let asked = Cell::new(0);
            let third_time = || asked.replace(asked.get() + 1) == 2;
            let kernel = Kernel::new(operator.clone(), inputs.clone()).unwrap();
            assert_eq!(kernel.compute_until(&third_time).unwrap_err(), RunError::DeadlineExceeded, "{operator:?}");
            assert_eq!(asked.get(), 3, "{operator:?}");
            let all = Cell::new(0);
            let never = || {
                all.set(all.get() + 1);
                false
            };
            assert!(Kernel::new(operator.clone(), inputs).unwrap().compute_until(&never).is_ok());
            assert!((10..100).contains(&all.get()), "{operator:?} asks {} times", all.get());
        }
    }
}
