//! What kernels are held against, natively on threads of this process.

use std::hint::black_box;
use std::time::{Duration, Instant};

use faer::{Accum, MatMut, MatRef, Par};
use gemm::Parallelism;
use kernels::values;

use crate::spread::Spread;

/// A product of square matrices, row by row, as `faer` makes it; nanoseconds.
pub(super) fn faer(size: usize, threads: usize, milliseconds: u64) -> f64 {
    let (a, b) = (values(size * size), values(size * size));
    let (a, b) = (MatRef::from_row_major_slice(&a, size, size), MatRef::from_row_major_slice(&b, size, size));
    median(threads, milliseconds, || {
        let mut product = vec![0.0_f32; size * size];
        move || {
            let product = MatMut::from_row_major_slice_mut(&mut product, size, size);
            faer::linalg::matmul::matmul(product, Accum::Replace, a, b, 1.0, Par::Seq);
        }
    })
}

/// The same as `gemm` makes it.
pub(super) fn gemm(size: usize, threads: usize, milliseconds: u64) -> f64 {
    let (a, b) = (values(size * size), values(size * size));
    let (a, b) = (&*a, &*b);
    median(threads, milliseconds, || {
        let mut product = vec![0.0_f32; size * size];
        move || {
            let (rows, row) = (1, size as isize);
            #[expect(unsafe_code, reason = "gemm's only function takes pointers")]
            // SAFETY: the three matrices have `size` rows, `size` elements apart, of `size` elements each.
            unsafe {
                gemm::gemm(
                    size,
                    size,
                    size,
                    product.as_mut_ptr(),
                    rows,
                    row,
                    false,
                    a.as_ptr(),
                    rows,
                    row,
                    b.as_ptr(),
                    rows,
                    row,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    Parallelism::None,
                );
            }
        }
    })
}

/// A copy of so many bytes into memory that is there.
pub(super) fn copy(bytes: usize, threads: usize, milliseconds: u64) -> f64 {
    let from = vec![1_u8; bytes];
    let from = &*from;
    median(threads, milliseconds, || {
        let mut to = vec![0_u8; bytes];
        move || black_box(&mut to).copy_from_slice(black_box(from))
    })
}

/// The median of the runs on so many threads, each of which makes its own work; nanoseconds.
pub(super) fn median<W: FnMut()>(threads: usize, milliseconds: u64, work: impl Fn() -> W + Sync) -> f64 {
    let patience = Duration::from_millis(milliseconds);
    let one = || {
        let mut run = work();
        run();
        let (started, mut took) = (Instant::now(), Vec::new());
        while took.len() < 2 || started.elapsed() < patience {
            let begun = Instant::now();
            run();
            took.push(begun.elapsed().as_nanos() as f64);
        }
        took
    };
    let took = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect()
    });
    Spread::of(took).median
}
