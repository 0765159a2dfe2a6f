//! Reads WAV files: [RFC 2361] names the formats, "Multiple Channel Audio Data and WAVE Files" (Microsoft, 2007) the
//! extensible one.
//!
//! By hand, because the usual crate (`hound` 3.5) refuses what recorders write into a pipe, where they cannot know the
//! length, and chunks of odd length.
//!
//! [RFC 2361]: https://www.rfc-editor.org/rfc/rfc2361

use spillway_sdk::{Error, Result, StatusCode};

/// One channel of sound, from -1 to 1.
#[derive(Debug)]
pub(crate) struct Recording {
    /// Samples per second.
    pub(crate) rate: u32,
    pub(crate) samples: Vec<f32>,
}

/// What recordings have; the resampler's filters grow with unusual ones.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=192_000;
/// The longest recording, in seconds: at the model's rate it takes 115 MB.
const LONGEST: u64 = 30 * 60;

const ACCEPTED: &str = "post a WAV file of 8, 16, 24 or 32-bit PCM or 32 or 64-bit float, at 4 to 192 kHz";

/// Format tags (RFC 2361, and `WAVE_FORMAT_EXTENSIBLE`, whose own tag is in its sub-format).
const PCM: u16 = 1;
const FLOAT: u16 = 3;
const EXTENSIBLE: u16 = 0xfffe;

/// Reads `file` and averages its channels.
///
/// # Errors
/// 415 when it is no WAV file or of another encoding, 422 when it is empty or damaged, 413 when it is too long.
pub(crate) fn read(file: &[u8]) -> Result<Recording> {
    if file.is_empty() {
        return Err(damaged("the body is empty"));
    }
    let mut rest = match file {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', rest @ ..] => rest,
        _ => return Err(unsupported("the body is no WAV file")),
    };
    let mut format = None;
    while let [a, b, c, d, l0, l1, l2, l3, body @ ..] = rest {
        let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
        match (&[*a, *b, *c, *d], format) {
            (b"fmt ", _) => format = Some(Format::read(body.get(..length).ok_or_else(cut_short)?)?),
            (b"data", Some(format)) => return format.decode(data(body, length)?),
            (b"data", None) => return Err(damaged("the WAV file does not say its format before its data")),
            _ => {}
        }
        // Chunks begin at even offsets.
        rest = body.get(length.saturating_add(length % 2)..).ok_or_else(cut_short)?;
    }
    Err(cut_short())
}

/// The bytes of the chunk with the samples.
fn data(body: &[u8], length: usize) -> Result<&[u8]> {
    // Recorders that write into a pipe say the most that they can, and sound goes on to the end (ffmpeg 0xffffffff,
    // arecord and sox about 0x7fffffff).
    const UNKNOWN: usize = 0x7fff_f000;
    match body.get(..length) {
        Some(data) => Ok(data),
        None if length >= UNKNOWN => Ok(body),
        None => Err(damaged(format!(
            "the WAV file is cut short: it announces {length} bytes of sound, and {} are there",
            body.len()
        ))),
    }
}

#[derive(Debug, Clone, Copy)]
struct Format {
    encoding: Encoding,
    channels: u16,
    rate: u32,
}

#[derive(Debug, Clone, Copy)]
enum Encoding {
    Unsigned8,
    Signed16,
    Signed24,
    Signed32,
    Float32,
    Float64,
}

impl Format {
    fn read(chunk: &[u8]) -> Result<Self> {
        let u16_at = |at: usize| chunk.get(at..at + 2).map(|two| u16::from_le_bytes([two[0], two[1]]));
        let field = |at| u16_at(at).ok_or_else(cut_short);
        let (tag, channels, bits) = (field(0)?, field(2)?, field(14)?);
        let rate = u32::from(field(4)?) | u32::from(field(6)?) << 16;
        // The first two bytes of the sub-format's GUID are the tag that it extends.
        let tag = if tag == EXTENSIBLE { field(24)? } else { tag };
        let encoding = match (tag, bits) {
            (PCM, 8) => Encoding::Unsigned8,
            (PCM, 16) => Encoding::Signed16,
            (PCM, 24) => Encoding::Signed24,
            (PCM, 32) => Encoding::Signed32,
            (FLOAT, 32) => Encoding::Float32,
            (FLOAT, 64) => Encoding::Float64,
            _ => return Err(unsupported(format!("the WAV file has {bits}-bit samples of encoding {tag:#06x}"))),
        };
        if channels == 0 {
            return Err(damaged("the WAV file has no channels"));
        }
        if !RATES.contains(&rate) {
            return Err(unsupported(format!("the WAV file has {rate} samples per second")));
        }
        let format = Self { encoding, channels, rate };
        if field(12)? as usize != format.block() {
            return Err(damaged(format!(
                "the WAV file has {} bytes per sample of all channels, but {channels} of {bits} bits take {}",
                field(12)?,
                format.block()
            )));
        }
        Ok(format)
    }

    /// Bytes of one sample of all channels.
    fn block(self) -> usize {
        self.encoding.size() * usize::from(self.channels)
    }

    fn decode(self, data: &[u8]) -> Result<Recording> {
        let (rate, block) = (self.rate, self.block());
        let length = data.len() / block;
        if length as u64 > LONGEST * u64::from(rate) {
            return Err(Error::status(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the recording is longer than {LONGEST} seconds; send it in parts"),
            )
            .with_type("urn:spillway:problem:body-too-large"));
        }
        let size = self.encoding.size();
        let mix = |block: &[u8]| -> f32 {
            let sum: f32 = block.chunks_exact(size).map(|sample| self.encoding.decode(sample)).sum();
            sum / f32::from(self.channels)
        };
        let samples: Vec<f32> = data.chunks_exact(block).map(mix).collect();
        if samples.iter().any(|sample| !sample.is_finite()) {
            return Err(damaged("the WAV file has samples that are no numbers"));
        }
        Ok(Recording { rate, samples })
    }
}

impl Encoding {
    /// Bytes of one sample.
    fn size(self) -> usize {
        match self {
            Self::Unsigned8 => 1,
            Self::Signed16 => 2,
            Self::Signed24 => 3,
            Self::Signed32 | Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }

    /// One sample of `size` bytes, little-endian; integers from -1 to 1.
    fn decode(self, bytes: &[u8]) -> f32 {
        let integer = || bytes.iter().rev().fold(0i32, |high, low| high << 8 | i32::from(*low));
        match self {
            Self::Unsigned8 => (integer() - 128) as f32 / 128.0,
            Self::Signed16 => (integer() as i16) as f32 / 32_768.0,
            Self::Signed24 => (integer() << 8 >> 8) as f32 / 8_388_608.0,
            Self::Signed32 => integer() as f32 / 2_147_483_648.0,
            Self::Float32 => f32::from_bits(integer() as u32),
            Self::Float64 => bytes.try_into().map_or(0.0, f64::from_le_bytes) as f32,
        }
    }
}

fn unsupported(what: impl std::fmt::Display) -> Error {
    Error::status(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("{what}; {ACCEPTED}"))
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::status(StatusCode::UNPROCESSABLE_ENTITY, format!("{what}; {ACCEPTED}"))
}

fn cut_short() -> Error {
    damaged("the WAV file is cut short")
}
