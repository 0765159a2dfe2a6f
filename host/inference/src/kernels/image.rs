//! decode-image: a JPEG or PNG file as pixels.

use std::io::Cursor;

use spillway_types::operator::{ColorMode, DecodeImageOptions};

use super::jpeg::JpegHeader;
use super::orientation::Orientation;
use super::{Check, Plan};
use crate::{DType, RunError, Tensor};

/// One pixel of a file, decompressed and converted.
const NANOSECONDS_PER_PIXEL: f64 = 10.0;
/// Longest edge, as JPEG can say it. PNG can say more, but nobody photographs that, and libraries refuse it too.
const LONGEST_EDGE: usize = 65_535;
/// What the PNG decoder may set aside for anything but pixels: colour profiles, texts.
const PNG_EXTRAS_BYTES: usize = 1 << 20;

pub(super) fn decode_image(options: DecodeImageOptions, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("decode-image");
    let [input] = check.inputs(inputs)?;
    check.dtype(&input, &[DType::Uint8])?;
    check.that(input.shape().len() == 1, || {
        format!("the input must be the bytes of a file, of one axis, is {:?}", input.shape())
    })?;
    // A view may say to be gigabytes long and rest on one byte, and nothing is charged yet: it is not laid out here.
    let Some(bytes) = input.as_bytes() else {
        return check.refuse("the input's bytes do not lie in one piece; make them a tensor of their own");
    };
    let header = if bytes.starts_with(&[0xFF, 0xD8]) {
        jpeg_header(bytes)
    } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        png_header(bytes)
    } else {
        Err("it begins as neither JPEG nor PNG does".into())
    };
    let header = header.or_else(|cause| check.refuse(format!("the input is no image that it reads: {cause}")))?;
    let Header { width, height, .. } = header;
    check.that(width.min(height) >= 1 && width.max(height) <= LONGEST_EDGE, || {
        format!("the image is {width} by {height}; edges are 1 to {LONGEST_EDGE} long")
    })?;
    let orientation = if options.orient { header.orientation } else { Orientation::UPRIGHT };
    let channels = channels_of(options.color);
    let (out_height, out_width) = if orientation.swaps_axes() { (width, height) } else { (height, width) };
    let shape = vec![out_height, out_width, channels];
    let nanoseconds = NANOSECONDS_PER_PIXEL / channels as f64;
    let scratch = header.scratch_bytes;
    let plan = Plan::compute(check.0, DType::Uint8, shape.clone(), nanoseconds, move |_| {
        let bytes = input.as_bytes().unwrap_or_default();
        let pixels = match header.format {
            Format::Jpeg(header) => header.decode(bytes).map(|pixels| (3, pixels)),
            Format::Png => decode_png(bytes),
        };
        let (source, pixels) = pixels.or_else(|cause| check.refuse(format!("the image is damaged: {cause}")))?;
        // The file may say otherwise in its body than in its header, by which everything was planned.
        check.that(pixels.len() == width * height * source, || "the image is damaged: pixels are missing".into())?;
        Ok(Tensor::filled::<u8>(&shape, |target| {
            convert(&pixels, source, (height, width), orientation, options.color, target);
        }))
    });
    Ok(plan.with_scratch(scratch))
}

enum Format {
    Jpeg(JpegHeader),
    Png,
}

/// What a file says before its pixels.
struct Header {
    format: Format,
    width: usize,
    height: usize,
    orientation: Orientation,
    /// What decoding needs beside the result.
    scratch_bytes: usize,
}

fn channels_of(color: ColorMode) -> usize {
    match color {
        ColorMode::Grayscale => 1,
        ColorMode::Rgb | ColorMode::Bgr => 3,
        ColorMode::Rgba => 4,
    }
}

fn jpeg_header(bytes: &[u8]) -> Result<Header, String> {
    let jpeg = JpegHeader::read(bytes)?;
    let JpegHeader { width, height, orientation, .. } = jpeg;
    Ok(Header { format: Format::Jpeg(jpeg), width, height, orientation, scratch_bytes: jpeg.scratch_bytes(bytes) })
}

fn png(bytes: &[u8]) -> Result<png::Reader<Cursor<&[u8]>>, String> {
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: PNG_EXTRAS_BYTES });
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.read_info().map_err(|cause| cause.to_string())
}

fn png_header(bytes: &[u8]) -> Result<Header, String> {
    let reader = png(bytes)?;
    let info = reader.info();
    let orientation = info.exif_metadata.as_deref().map_or(Orientation::UPRIGHT, Orientation::from_exif);
    let scratch_bytes = reader.output_buffer_size().ok_or("it is larger than any memory")?;
    let (width, height) = (info.width as usize, info.height as usize);
    Ok(Header { format: Format::Png, width, height, orientation, scratch_bytes })
}

fn decode_png(bytes: &[u8]) -> Result<(usize, Vec<u8>), String> {
    let mut reader = png(bytes)?;
    let channels = reader.output_color_type().0.samples();
    let mut pixels = vec![0; reader.output_buffer_size().ok_or("it is larger than any memory")?];
    reader.next_frame(&mut pixels).map_err(|cause| cause.to_string())?;
    Ok((channels, pixels))
}

/// From 1 to 4 channels (gray, gray and opacity, RGB, RGBA) to those wanted, turned upright.
fn convert(
    pixels: &[u8],
    channels: usize,
    (height, width): (usize, usize),
    orientation: Orientation,
    color: ColorMode,
    target: &mut [u8],
) {
    let write = |from: &[u8], to: &mut [u8]| {
        let (r, g, b, a) = match *from {
            [y] => (y, y, y, 255),
            [y, a] => (y, y, y, a),
            [r, g, b] => (r, g, b, 255),
            [r, g, b, a] => (r, g, b, a),
            _ => (0, 0, 0, 255),
        };
        match color {
            ColorMode::Grayscale => to[0] = if channels < 3 { r } else { luma(r, g, b) },
            ColorMode::Rgb => to.copy_from_slice(&[r, g, b]),
            ColorMode::Bgr => to.copy_from_slice(&[b, g, r]),
            ColorMode::Rgba => to.copy_from_slice(&[r, g, b, a]),
        }
    };
    let to_channels = channels_of(color);
    if orientation == Orientation::UPRIGHT {
        for (from, to) in pixels.chunks_exact(channels).zip(target.chunks_exact_mut(to_channels)) {
            write(from, to);
        }
        return;
    }
    let out_width = if orientation.swaps_axes() { height } else { width };
    for (index, to) in target.chunks_exact_mut(to_channels).enumerate() {
        let (row, column) = orientation.source(index / out_width, index % out_width, height, width);
        write(&pixels[(row * width + column) * channels..][..channels], to);
    }
}

/// ITU-R BT.601 luma, in 16-bit fixed point as Pillow has it.
fn luma(r: u8, g: u8, b: u8) -> u8 {
    ((u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471 + 0x8000) >> 16) as u8
}
