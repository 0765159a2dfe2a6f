//! `decode-image` on any bytes, in every colour and either way up.

use spillway_inference::{DType, Kernel, RunError, Tensor};
use spillway_types::operator::{ColorMode, DecodeImageOptions, Operator};

use crate::budget::measure;
use crate::containment::contain;

/// What a sandbox would be charged at most: larger pictures are refused here as there.
const LEDGER_BYTES: usize = 16 << 20;
/// What reading a header may take beside a copy of the file: chunks and tables.
const HEADER_BYTES: usize = 4 << 20;
/// The decoders' tables, which [`Kernel::scratch_bytes`] leaves out.
pub(crate) const TABLES_BYTES: usize = 4 << 20;

pub(crate) fn run(file: &[u8]) {
    // From the length, so that files stay files: seeds are pictures, and findings open in a viewer.
    let color = [ColorMode::Grayscale, ColorMode::Rgb, ColorMode::Bgr, ColorMode::Rgba][file.len() % 4];
    let options = DecodeImageOptions { color, orient: (file.len() / 4).is_multiple_of(2) };
    let bytes = Tensor::from_bytes(DType::Uint8, &[file.len()], file).expect("bytes of any number are a tensor");
    let (checked, peak) = measure(|| Kernel::new(Operator::DecodeImage(options), vec![bytes]));
    assert!(peak <= HEADER_BYTES + 2 * file.len(), "the header of {} bytes took {peak}", file.len());
    let Ok(kernel) = checked else { return };
    let charged = kernel.result_bytes().saturating_add(kernel.scratch_bytes());
    if charged > LEDGER_BYTES {
        return;
    }
    let promised = format!("{kernel:?}");
    // A decoder's panic is its own, and becomes an error of the file; its trace takes memory.
    let (decoded, peak) = measure(|| contain(|| kernel.compute()));
    let decoded = decoded.expect("production turns panics of decoders into errors");
    let panicked = matches!(&decoded, Err(RunError::InvalidArgument(cause)) if cause.contains("gave it up"));
    let peak = if panicked { 0 } else { peak };
    assert!(peak <= charged + TABLES_BYTES + 2 * file.len(), "{promised} is charged {charged} bytes and took {peak}");
    match decoded {
        Ok(pixels) => assert_eq!(promised, format!("decode-image to {pixels:?}")),
        Err(RunError::InvalidArgument(_)) => {}
        Err(other) => panic!("{promised}: {other}"),
    }
}
