//! That computing takes no more memory than it is charged for, where the fuzz targets or those who wrote them found that
//! it did.

use spillway_fuzz::budget::{Allocator, measure};
use spillway_inference::{DType, Kernel, Tensor};
use spillway_types::operator::Operator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Lists of shapes, odometers, and the blocks in which a product packs its inputs.
const SMALL_BYTES: usize = 256 << 10;

fn expanded(tensor: &Tensor, shape: &[u32]) -> Tensor {
    Kernel::new(Operator::Expand(shape.into()), vec![tensor.clone()]).unwrap().compute().unwrap()
}

#[test]
fn a_matrix_that_repeats_its_rows_is_written_out_once_whatever_the_batch() {
    for dtype in [DType::Float16, DType::Float32, DType::Float64] {
        let row = Tensor::from_bytes(dtype, &[1, 1, 4096], &vec![0; 4096 * dtype.size_bytes()]).unwrap();
        let column = Tensor::from_bytes(dtype, &[1, 4096, 1], &vec![0; 4096 * dtype.size_bytes()]).unwrap();
        let inputs = vec![expanded(&row, &[1, 2, 4096]), expanded(&column, &[64, 4096, 1])];
        let kernel = Kernel::new(Operator::Matmul, inputs).unwrap();
        let charged = kernel.result_bytes() + kernel.scratch_bytes();
        let (product, peak) = measure(|| kernel.compute().unwrap());
        assert_eq!(product.shape(), [64, 2, 1]);
        assert!(peak <= charged + SMALL_BYTES, "{dtype}: {charged} bytes are charged, and {peak} were taken");
    }
}
