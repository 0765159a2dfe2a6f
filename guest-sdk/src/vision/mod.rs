//! Pictures: from a file to what a model takes, and from what it answers to boxes and text.
//!
//! Pixels stay in the host. A guest reads what it has to decide on, such as a detector's probability map in one byte per
//! pixel, and computes with points and labels.
//!
//! | stage | look at |
//! | --- | --- |
//! | file to upright pixels | [`Image::decode_bgr`] |
//! | another size, edges, normalisation, `[1, channels, height, width]` | [`Image::resize`], [`Image::letterbox`], [`Image::to_nchw`] |
//! | boxes from a probability map | [`TextBoxes`] over a [`ProbabilityMap`] |
//! | a region turned upright | [`Image::crop`] |
//! | characters from a recogniser's steps | [`ctc_greedy`] |
//! | the geometry beneath | [`Point`], [`Quad`], [`RotatedRect`], [`convex_hull`], [`offset_polygon`], [`Homography`], [`Bitmap`] |
//!
//! The cookbook, `docs/vision.md`, goes through them with the function `ocr` as the example.

mod bitmap;
mod ctc;
mod geometry;
mod homography;
mod image;
mod offset;
mod rectangle;
mod runs;
mod text_boxes;

pub use bitmap::{Bitmap, ProbabilityMap};
pub use ctc::{Decoded, ctc_greedy};
pub use geometry::{Point, Quad, convex_hull};
pub use homography::Homography;
pub use image::Image;
pub use offset::offset_polygon;
pub use rectangle::RotatedRect;
pub use text_boxes::TextBoxes;

#[cfg(test)]
mod references;

/// The cookbook's blocks, so that they compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/vision.md")]
struct Cookbook;
