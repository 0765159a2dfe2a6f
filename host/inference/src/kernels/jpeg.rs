//! JPEG files: what they say of themselves, and their pixels, level by level those of libjpeg-turbo.

use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat};

use super::orientation::Orientation;
use crate::job::contain;

/// Scans of a progressive file that are read: each passes over all of the picture, so that a file of many empty ones would
/// take long. Encoders write about ten.
const MOST_SCANS: usize = 100;
/// Tables of the decoder, and the rows that it works on; 44 KB was the most that it took in 3,384 damaged files.
const TABLES_BYTES: usize = 1 << 17;
/// The marker that ends a file.
const END: [u8; 2] = [0xFF, 0xD9];

/// What stands before the first scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JpegHeader {
    pub(super) width: usize,
    pub(super) height: usize,
    components: usize,
    pub(super) orientation: Orientation,
}

impl JpegHeader {
    /// Reads the segments up to the frame's (ITU-T T.81, B.1.1 and B.2.2). The decoder's own reader goes through all scans
    /// of a progressive file to find where they begin, which is too long for a check.
    pub(super) fn read(file: &[u8]) -> Result<Self, String> {
        let cut_short = "its header is cut short";
        let mut orientation = Orientation::UPRIGHT;
        let mut rest = file.get(2..).ok_or(cut_short)?;
        loop {
            // A marker may be filled up with any number of 0xFF before it; what else stands between segments is skipped.
            let [mark, code, after @ ..] = rest else { return Err(cut_short.into()) };
            if *mark != 0xFF || matches!(code, 0x00 | 0xFF) {
                rest = &rest[1..];
                continue;
            }
            rest = after;
            if matches!(code, 0x01 | 0xD0..=0xD8) {
                continue;
            }
            let length = rest.first_chunk().map_or(0, |&length| usize::from(u16::from_be_bytes(length)));
            let segment = rest.get(2..length).ok_or(cut_short)?;
            match code {
                0xC0..=0xCF if !matches!(code, 0xC4 | 0xC8 | 0xCC) => {
                    let [_, h1, h0, w1, w0, components, ..] = *segment else { return Err(cut_short.into()) };
                    let [height, width] = [[h1, h0], [w1, w0]].map(|edge| usize::from(u16::from_be_bytes(edge)));
                    return Ok(Self { width, height, components: usize::from(components), orientation });
                }
                0xE1 if segment.starts_with(b"Exif\0\0") => orientation = Orientation::from_exif(&segment[6..]),
                0xD9 | 0xDA => return Err("it has no frame before its pixels".into()),
                _ => {}
            }
            rest = &rest[length..];
        }
    }

    /// What decoding needs beside the result: the components as planes, in whole blocks of up to 32 pixels, and with them
    /// either RGB or, for progressive files, 16-bit coefficients and a byte for each block. A file that is cut short is
    /// copied to be ended.
    pub(super) fn scratch_bytes(&self, file: &[u8]) -> usize {
        let padded = self.width.next_multiple_of(32).saturating_mul(self.height.next_multiple_of(32));
        let per_pixel = (self.components + 3).max(3 * self.components + 1);
        padded.saturating_mul(per_pixel).saturating_add(file.len() + TABLES_BYTES)
    }

    /// The pixels in three channels, which the decoder makes of gray, and of the four of CMYK, too. Of a file that is cut
    /// short, those that it has.
    pub(super) fn decode(&self, file: &[u8]) -> Result<Vec<u8>, String> {
        let pixels = match self.pixels(file) {
            // Looking for the next scan the decoder came to the end: in a scan's data, or in the segments before it.
            Err(JpegError::UnexpectedEof) => self.pixels(&[file, &END].concat()).or_else(|_| {
                let whole_segments = &file[..last_marker(file)];
                self.pixels(&[whole_segments, &END].concat())
            }),
            pixels => pixels,
        };
        pixels.map_err(|cause| cause.to_string())
    }

    fn pixels(&self, file: &[u8]) -> Result<Vec<u8>, JpegError> {
        // The decoder trusts tables of damaged files here and there, and panics when it finds out.
        contain(|| self.pixels_or_panic(file))
            .unwrap_or_else(|panic| Err(JpegError::CorruptData(format!("the decoder gave it up: {panic}"))))
    }

    fn pixels_or_panic(&self, file: &[u8]) -> Result<Vec<u8>, JpegError> {
        // Memory was charged by the first frame; a file with another one does not get past these.
        let limits = DecodeLimits {
            max_width: self.width,
            max_height: self.height,
            max_scans: MOST_SCANS,
            ..DecodeLimits::default()
        };
        let decoder = Decoder::new_with_limits(file, limits)?;
        if decoder.header().components.len() != self.components {
            return Err(JpegError::CorruptData("it has two frames".into()));
        }
        let image = decoder.with_lenient(true).with_output_format(PixelFormat::Rgb).decode_image()?;
        Ok(image.data)
    }
}

/// Where the last marker stands that begins a segment; those within a scan's data do not.
fn last_marker(file: &[u8]) -> usize {
    let begins_segment = |bytes: &[u8]| bytes[0] == 0xFF && !matches!(bytes[1], 0x00 | 0xD0..=0xD7 | 0xFF);
    file.windows(2).rposition(begins_segment).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment of this marker.
    fn segment(code: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(bytes.len() + 2).expect("it is short").to_be_bytes();
        [&[0xFF, code], &length[..], bytes].concat()
    }

    #[test]
    fn the_header_is_read_past_fill_bytes_and_other_segments() {
        let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let frame = segment(0xC2, &[8, 1, 2, 3, 4, 3, 1, 0x22, 0]);
        let file = [&[0xFF, 0xD8, 0xFF, 0xFF], &segment(0xE1, exif)[..], &segment(0xC4, &[0; 9]), &frame].concat();
        let header = JpegHeader::read(&file).expect("it has a frame");
        let orientation = Orientation::from_exif(&exif[6..]);
        assert_ne!(orientation, Orientation::UPRIGHT);
        assert_eq!(header, JpegHeader { width: 0x0304, height: 0x0102, components: 3, orientation });
        for length in 2..file.len() {
            let cut = JpegHeader::read(&file[..length]);
            assert_eq!(cut, Err("its header is cut short".into()), "at {length}");
        }
    }

    #[test]
    fn a_segment_shorter_than_its_own_length_is_refused() {
        for length in [0, 1] {
            assert_eq!(
                JpegHeader::read(&[0xFF, 0xD8, 0xFF, 0xE0, 0, length, 0, 0]),
                Err("its header is cut short".into())
            );
        }
    }

    #[test]
    fn pixels_before_a_frame_are_refused() {
        let file = [&[0xFF, 0xD8][..], &segment(0xDA, &[1, 1, 0, 0, 63, 0])].concat();
        assert_eq!(JpegHeader::read(&file), Err("it has no frame before its pixels".into()));
    }
}
