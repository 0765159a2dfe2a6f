//! Products of matrices by 128-bit vectors in the guest, by the crate `gemm`.

use std::convert::Infallible;
use std::time::Instant;

use gemm::Parallelism;

use crate::{Patience, values};

/// Nanoseconds of each run.
pub(crate) async fn products(size: usize, patience: Patience) -> Vec<f64> {
    gemm::set_wasm_simd128(true);
    let (a, b) = (values(size * size), values(size * size));
    let mut product = vec![0.0_f32; size * size];
    let run = async || {
        let started = Instant::now();
        let (rows, row) = (size as isize, 1);
        #[expect(unsafe_code, reason = "gemm's only function takes pointers")]
        // SAFETY: the three matrices have `size` rows, `size` elements apart, of `size` elements each.
        unsafe {
            gemm::gemm(
                size,
                size,
                size,
                product.as_mut_ptr(),
                row,
                rows,
                false,
                a.as_ptr(),
                row,
                rows,
                b.as_ptr(),
                row,
                rows,
                0.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
        Ok::<_, Infallible>(started.elapsed().as_nanos() as f64)
    };
    let Ok(took) = patience.spend(run).await;
    took
}
