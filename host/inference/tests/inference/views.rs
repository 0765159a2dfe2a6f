//! Views: what they show, what they cost, and how engines get them.

use std::time::{Duration, Instant};

use futures::executor::block_on;
use spillway_inference::{DType, Kernel, KernelThreads, RunError, Tensor};
use spillway_types::operator::*;

use DType::*;
use Operator::*;

use crate::fake::pool;
use crate::kernels::{compute, tensor_of, values};

fn counting(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    tensor_of(Int32, shape, &(0..count).map(|x| x as f64).collect::<Vec<_>>())
}

/// Numbers that look random and are the same every time (Knuth's multiplicative generator, MMIX).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// Some view that `tensor` admits.
fn some_view(tensor: &Tensor, dice: &mut Dice) -> Operator {
    let shape = tensor.shape();
    match dice.below(4) {
        0 => {
            let mut order: Vec<u32> = (0..shape.len() as u32).collect();
            (1..order.len()).for_each(|last| order.swap(last, dice.below(last + 1)));
            Transpose(order)
        }
        1 => {
            let starts: Vec<u32> = shape.iter().map(|&length| dice.below(length) as u32).collect();
            let sizes =
                shape.iter().zip(&starts).map(|(&length, &start)| 1 + dice.below(length - start as usize) as u32);
            let (sizes, strides) = (sizes.collect(), shape.iter().map(|_| 1 + dice.below(3) as u32).collect());
            Slice(SliceOptions { starts, sizes, strides })
        }
        2 => {
            let added = usize::from(shape.len() < 5);
            let lengths =
                shape.iter().map(|&length| if length == 1 { 1 + dice.below(3) as u32 } else { length as u32 });
            Expand(std::iter::repeat_n(2, added).chain(lengths.collect::<Vec<_>>()).collect())
        }
        _ => {
            let count: usize = shape.iter().product();
            let divisors: Vec<usize> = (1..=count).filter(|divisor| count.is_multiple_of(*divisor)).collect();
            let first = divisors[dice.below(divisors.len())];
            Reshape(vec![first as u32, 1, (count / first) as u32])
        }
    }
}

#[test]
fn views_of_views_show_what_the_same_on_copies_gives() {
    let mut dice = Dice(3);
    for _ in 0..300 {
        let mut tensor = counting(&[3, 4, 5]);
        for _ in 0..4 {
            let operator = some_view(&tensor, &mut dice);
            let copy = tensor.to_row_major();
            let expected = compute(operator.clone(), &[&copy]);
            let result = compute(operator.clone(), &[&tensor]);
            assert_eq!(result.shape(), expected.shape());
            assert_eq!(values(&result), values(&expected), "{operator:?} of {tensor:?}");
            if result.byte_length() > 20_000 {
                break;
            }
            tensor = result;
        }
    }
}

#[test]
fn views_share_the_storage_and_only_those_in_order_give_their_bytes_away() {
    let image = counting(&[4, 6, 3]);
    let planes = compute(Transpose(vec![2, 0, 1]), &[&image]);
    let rows = compute(Slice(SliceOptions { starts: vec![1, 0, 0], sizes: vec![2, 6, 3], strides: vec![] }), &[&image]);
    let flat = compute(Reshape(vec![72]), &[&image]);
    for view in [&planes, &rows, &flat] {
        assert!(view.shares_storage_with(&image));
    }
    assert_eq!((planes.as_bytes(), planes.bytes_to_copy()), (None, 288));
    assert_eq!((rows.as_bytes().unwrap().len(), rows.bytes_to_copy()), (144, 144));
    assert_eq!(rows.as_bytes().unwrap(), &image.as_bytes().unwrap()[72..216]);
    assert_eq!((flat.as_bytes(), flat.bytes_to_copy()), (image.as_bytes(), 0));
    let copy = planes.to_row_major();
    assert!(!copy.shares_storage_with(&image) && flat.to_row_major().shares_storage_with(&image));
    assert_eq!(values(&copy)[..4], [0.0, 3.0, 6.0, 9.0]);
}

#[test]
fn a_cast_to_the_same_type_and_a_padding_by_nothing_are_views() {
    let x = counting(&[2, 2]);
    assert!(compute(Cast(Int32), &[&x]).shares_storage_with(&x));
    let (beginning_padding, ending_padding) = (vec![0, 0], vec![0, 0]);
    let nothing = PadOptions { beginning_padding, ending_padding, mode: PaddingMode::Edge, value: 0.0 };
    assert!(compute(Pad(nothing), &[&x]).shares_storage_with(&x));
}

fn long() -> Kernel {
    let a = compute(Expand(vec![2000, 2000]), &[&tensor_of(Float32, &[], &[1.0])]);
    Kernel::new(Matmul, vec![a.clone(), a]).unwrap()
}

#[test]
fn short_work_needs_no_thread_and_long_work_takes_one() {
    let threads = pool(1);
    let x = counting(&[4, 4]);
    let short = Kernel::new(Cast(Float32), vec![x]).unwrap();
    assert!(short.is_short() && !long().is_short());
    threads.shutdown();
    assert_eq!(block_on(short.run(&threads, None)).unwrap().shape(), [4, 4]);
    let error = block_on(long().run(&threads, None)).unwrap_err();
    assert_eq!(error, RunError::EngineFailed("the node is shutting down".into()));
}

#[tokio::test]
async fn long_work_ends_at_its_deadline() {
    let threads: &KernelThreads = &pool(1);
    let deadline = Instant::now() + Duration::from_millis(1);
    assert_eq!(long().run(threads, Some(deadline)).await.unwrap_err(), RunError::DeadlineExceeded);
    // The thread is free again long before all blocks of the product are done, or this waits for them.
    let x = counting(&[300, 300]);
    let next = Kernel::new(Cast(Float32), vec![x]).unwrap();
    assert!(!next.is_short());
    assert_eq!(next.run(threads, None).await.unwrap().dtype(), Float32);
}

/// Short work runs where others wait for it. Laying a view out is work, however small the result.
#[test]
fn work_that_first_copies_millions_of_elements_is_not_short() {
    let side = 2048;
    let bytes = Tensor::from_bytes(Uint8, &[side, side], &vec![0; side * side]).unwrap();
    let turned = compute(Transpose(vec![]), &[&bytes]);
    let row = Tensor::from_bytes(Float32, &[1, 1], &[0; 4]).unwrap();
    let repeated = compute(Expand(vec![side as u32, side as u32]), &[&row]);
    let halves = Tensor::from_bytes(Float16, &[side, side], &vec![0; 2 * side * side]).unwrap();
    let (mode, sizes) = (InterpolationMode::Linear, (1, 1));
    let (matrix, border) = (vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], PaddingMode::Edge);
    let none = |dtype| Tensor::from_bytes(dtype, &[0, side], &[]).unwrap();
    for (operator, inputs) in [
        (Resample2d(Resample2dOptions { mode, sizes, axes: (0, 1) }), vec![turned.clone()]),
        (Warp(WarpOptions { matrix, sizes, mode, border, value: 0.0 }), vec![turned]),
        (Matmul, vec![none(Float32), repeated]),
        (Matmul, vec![none(Float16), halves]),
    ] {
        let kernel = Kernel::new(operator, inputs).unwrap();
        assert!(kernel.scratch_bytes() >= side * side && !kernel.is_short(), "{kernel:?}");
    }
}
