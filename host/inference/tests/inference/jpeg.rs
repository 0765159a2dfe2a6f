//! JPEG files, held to the levels that libjpeg-turbo decodes (`tests/data/jpeg/make.py`), and to their limits.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use spillway_inference::{DType, Kernel, RunError, Tensor};
use spillway_types::Digest;
use spillway_types::operator::{ColorMode, DecodeImageOptions, Operator};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/jpeg")
}

fn file(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

fn kernel(file: &[u8]) -> Result<Kernel, RunError> {
    let decode = Operator::DecodeImage(DecodeImageOptions { color: ColorMode::Rgb, orient: true });
    Kernel::new(decode, vec![Tensor::from_bytes(DType::Uint8, &[file.len()], file).unwrap()])
}

fn pixels(file: &[u8]) -> Result<Vec<u8>, RunError> {
    Ok(kernel(file)?.compute()?.as_bytes().unwrap().to_vec())
}

/// Where the segment with this marker begins.
fn position(file: &[u8], marker: u8) -> usize {
    file.windows(2).position(|bytes| bytes == [0xFF, marker]).unwrap()
}

#[test]
fn every_kind_of_file_has_the_levels_that_libjpeg_turbo_decodes() {
    let expected: BTreeMap<String, String> = serde_json::from_slice(&file("pixels.json")).unwrap();
    assert_eq!(expected.len(), 23);
    let other: Vec<_> = expected
        .iter()
        .filter(|(name, digest)| Digest::of(&pixels(&file(name)).unwrap()).hex() != **digest)
        .map(|(name, _)| name)
        .collect();
    assert!(other.is_empty(), "other levels than libjpeg-turbo's: {other:?}");
}

#[test]
fn what_there_is_of_a_file_cut_short_is_decoded() {
    for name in ["420_baseline.jpg", "420_progressive.jpg", "gray_progressive.jpg", "restarts.jpg", "cmyk.jpg"] {
        let file = file(name);
        let whole = pixels(&file).unwrap();
        // Behind the first scan's header, at most 12 bytes.
        let first_scan = position(&file, 0xDA) + 14;
        for length in (first_scan..file.len() - 2).step_by(7) {
            let cut = pixels(&file[..length]).unwrap_or_else(|error| panic!("{name} at {length}: {error}"));
            assert_eq!(cut.len(), whole.len(), "{name} at {length}");
        }
        // The first rows come first, or a coarse picture of all that gets finer.
        let (most, some) = (file.len() * 19 / 20, file.len() / 3);
        let off = |length: usize| {
            let cut = pixels(&file[..length.max(first_scan)]).unwrap();
            cut.iter().zip(&whole).map(|(cut, whole)| u64::from(cut.abs_diff(*whole))).sum::<u64>()
        };
        assert!(off(most) < off(some), "{name}: {} and {}", off(most), off(some));
    }
}

#[test]
fn a_file_whose_scans_speak_of_another_frame_is_refused() {
    let small = file("420_16x16.jpg");
    let large = file("420_baseline.jpg");
    // Charged by the small frame; the large one comes after it.
    let frames = [&small[..position(&small, 0xDA)], &large[2..]].concat();
    match kernel(&frames).and_then(Kernel::compute) {
        Err(RunError::InvalidArgument(message)) => {
            assert!(message.starts_with("decode-image: the image is damaged: "), "{message}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_of_very_many_scans_is_refused_before_they_are_decoded() {
    let file = file("gray_progressive.jpg");
    let (frame, scan) = (position(&file, 0xC2), position(&file, 0xDA));
    assert!(frame < scan);
    let end = scan + 2 + file[scan + 2..].windows(2).position(|bytes| bytes[0] == 0xFF && bytes[1] != 0).unwrap();
    let many = [&file[..scan], &file[scan..end].repeat(101), &[0xFF, 0xD9]].concat();
    match pixels(&many) {
        Err(RunError::InvalidArgument(message)) => assert!(message.contains("scan"), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_claims_to_be_enormous_is_priced_before_anything_is_allocated() {
    let mut file = file("420_progressive.jpg");
    let frame = position(&file, 0xC2);
    // Length, precision, height, width.
    file[frame + 5..frame + 9].copy_from_slice(&[0xFF, 0xDC, 0xFF, 0xDC]);
    let kernel = kernel(&file).unwrap();
    let side = 0xFFDC;
    assert_eq!(kernel.result_bytes(), side * side * 3);
    assert!(kernel.scratch_bytes() >= side * side * 9 && !kernel.is_short());
}
