//! Reads the text in a picture, as the Python package rapidocr-onnxruntime 1.4.4 does.
//!
//! ```text
//! $ curl --data-binary @receipt.jpg localhost:3000/ocr
//! {"lines":[{"text":"Corner cafe","score":0.9921,"box":[[119.0,32.0],[297.0,32.0],[297.0,60.0],[119.0,60.0]]},…]}
//! ```
//!
//! Three models run in the host, on pixels that stay there: one finds lines, one tells which of them stand on their
//! heads, and one reads. The guest finds boxes in the first one's answer and characters in the last one's.

mod frame;
mod reader;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use spillway_sdk::vision::{Image, Quad};
use spillway_sdk::{Bytes, Error, HostErrorCode, Json, Result, StatusCode, function, log};

use frame::Frame;

/// The score below which a line is dropped; this and all other settings are those of the package's `config.yaml`.
const LEAST_SCORE: f64 = 0.5;

/// How many lines are worked on at once. Each host call of theirs runs on one core of the node, and a line's tensors, some
/// MiB, count until it is read: enough for the cores of a small node, and few enough for a page of a thousand lines.
const LINES_AT_ONCE: usize = 4;

/// The answer: lines as they are read, from top to bottom and from left to right.
#[derive(Debug, Serialize)]
pub struct Page {
    lines: Vec<Line>,
}

/// One line, or a part of one that stands apart.
#[derive(Debug, Serialize)]
pub struct Line {
    text: String,
    /// From 0 to 1: the mean over the characters.
    score: f64,
    /// The corners, clockwise from the top left, in pixels of the upright picture.
    #[serde(rename = "box")]
    corners: [[f64; 2]; 4],
}

/// Answers with the lines of text in a picture.
#[function]
pub async fn handle(file: Bytes) -> Result<Json<Page>> {
    let frame = Frame::of(decode(&file).await?).await?;
    let boxes = frame.find_lines().await?;
    let crops = stream::iter(&boxes).map(async |quad| reader::upright(frame.crop(quad).await?).await);
    let crops: Vec<_> = crops.buffered(LINES_AT_ONCE).try_collect().await?;
    let texts = reader::read_all(&crops).await?;
    let legible = boxes.iter().zip(texts).filter(|(_, (_, score))| *score >= LEAST_SCORE);
    let lines: Vec<_> = legible.map(|(quad, (text, score))| Line::new(text, score, frame.to_picture(*quad))).collect();
    log::debug!("{} of {} boxes have text", lines.len(), boxes.len());
    Ok(Json(Page { lines }))
}

impl Line {
    fn new(text: String, score: f64, quad: Quad) -> Self {
        let rounded = |value: f64, digits| (value * 10f64.powi(digits)).round() / 10f64.powi(digits);
        let corners = quad.0.map(|corner| [rounded(corner.x, 2), rounded(corner.y, 2)]);
        Self { text, score: rounded(score, 4), corners }
    }
}

async fn decode(file: &[u8]) -> Result<Image> {
    if file.is_empty() {
        return Err(Error::bad_request("the body is empty; send a JPEG or PNG file"));
    }
    if !file.starts_with(b"\xff\xd8\xff") && !file.starts_with(b"\x89PNG") {
        let words = "the body is neither a JPEG nor a PNG file; send one as it is, without form or JSON around it";
        return Err(Error::status(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
    }
    Image::decode_bgr(file).await.map_err(|error| match error.code() {
        HostErrorCode::InvalidArgument => {
            let words = "the body begins like a JPEG or PNG file but cannot be decoded; it may be cut off";
            Error::status(StatusCode::UNPROCESSABLE_ENTITY, words).with_cause(error)
        }
        HostErrorCode::OutOfMemory => {
            let words = "the picture has too many pixels; send one that takes less than 64 MiB at 4 bytes per pixel";
            Error::status(StatusCode::PAYLOAD_TOO_LARGE, words).with_cause(error)
        }
        _ => error.into(),
    })
}

#[cfg(test)]
mod tests;
