//! That computing takes no more memory than it is charged for, where the fuzz targets or those who wrote them found that
//! it did.

use spillway_fuzz::budget::{Allocator, measure};
use spillway_inference::{DType, Graph, Kernel, Tensor};
use spillway_types::graph::{Definition, OperandDescriptor, Operation};
use spillway_types::operator::{Operator, PadOptions, PaddingMode};

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

#[test]
fn results_that_are_gone_are_not_kept_beside_those_that_come() {
    // Each result is a little larger than the one before, so that none can take its memory.
    let pad = |number: u32| {
        let options =
            PadOptions { beginning_padding: vec![1], ending_padding: vec![0], mode: PaddingMode::Constant, value: 0.0 };
        Operation { operator: Operator::Pad(options), inputs: vec![number] }
    };
    let (length, count) = (1 << 20, 40);
    let definition = Definition {
        inputs: vec![OperandDescriptor { data_type: DType::Float32, shape: vec![length] }],
        operations: (0..count).map(pad).collect(),
        outputs: vec![count],
    };
    let graph = Graph::build(definition, Vec::new(), &|_| Ok(()), &|| false).unwrap();
    let input = Tensor::from_bytes(DType::Float32, &[length as usize], &vec![0; 4 << 20]).unwrap();
    let charged = graph.working_bytes() + graph.output_bytes()[0];
    let (outputs, peak) = measure(|| graph.compute(vec![input], &|| false).unwrap());
    assert_eq!(outputs[0].shape(), [(length + count) as usize]);
    assert!(peak <= charged + SMALL_BYTES, "{charged} bytes are charged, and {peak} were taken");
}
