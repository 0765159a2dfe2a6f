//! What OpenCV, Clipper and the Python package make of random shapes: `tests/data/vision/reference.py`.

use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::geometry::{Point, Quad};

#[derive(Debug, Deserialize)]
pub(super) struct References {
    pub(super) rectangles: Vec<Rectangle>,
    pub(super) offsets: Vec<Offset>,
    pub(super) homographies: Vec<Map>,
    pub(super) outlines: Vec<Outlines>,
    pub(super) text_boxes: Vec<Boxes>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Rectangle {
    pub(super) points: Vec<Point>,
    pub(super) area: f64,
    pub(super) shorter_side: f64,
    pub(super) quad: Quad,
}

#[derive(Debug, Deserialize)]
pub(super) struct Offset {
    pub(super) polygon: Vec<Point>,
    pub(super) distance: f64,
    pub(super) grown: Vec<Point>,
    pub(super) quad: Quad,
}

#[derive(Debug, Deserialize)]
pub(super) struct Map {
    pub(super) from: Quad,
    pub(super) to: Quad,
    pub(super) matrix: [f64; 9],
}

#[derive(Debug, Deserialize)]
pub(super) struct Outlines {
    /// `#` where a pixel is set.
    pub(super) rows: Vec<String>,
    pub(super) dilated: bool,
    pub(super) hulls: Vec<Vec<Point>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Boxes {
    pub(super) width: usize,
    #[serde(deserialize_with = "from_hex")]
    pub(super) levels: Vec<u8>,
    pub(super) picture: [f64; 2],
    pub(super) boxes: Vec<Scored>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Scored {
    pub(super) quad: Quad,
}

impl References {
    pub(super) fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/vision/references.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }
}

/// Whether all corners are where they should be, whichever is first: at equal x either of two may be.
pub(super) fn close(ours: Quad, theirs: Quad, tolerance: f64) -> bool {
    (0..4).any(|turn| (0..4).all(|at| (ours.0[at] - theirs.0[(at + turn) % 4]).length() <= tolerance))
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let [x, y] = Deserialize::deserialize(deserializer)?;
        Ok(Self { x, y })
    }
}

impl<'de> Deserialize<'de> for Quad {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Deserialize::deserialize(deserializer).map(Self)
    }
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = text.as_bytes().chunks_exact(2).map(|pair| std::str::from_utf8(pair).expect("the file is ASCII"));
    digits.map(|pair| u8::from_str_radix(pair, 16).map_err(serde::de::Error::custom)).collect()
}
