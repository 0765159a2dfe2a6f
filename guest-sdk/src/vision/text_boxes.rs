//! Boxes of text from a probability map.

use super::bitmap::ProbabilityMap;
use super::geometry::{Point, Quad, area, perimeter};
use super::offset::offset_polygon;
use super::rectangle::RotatedRect;

/// Finds boxes in the probability map of a detector with differentiable binarization (M. Liao and others, "Real-time
/// scene text detection with differentiable binarization", 2020), as PP-OCR does.
///
/// ```
/// use spillway_sdk::vision::{ProbabilityMap, TextBoxes};
///
/// let mut levels = vec![0; 60 * 30];
/// for y in 10..16 {
///     levels[y * 60..][12..40].fill(250);
/// }
/// let boxes = TextBoxes::default().find(&ProbabilityMap::new(60, levels), 120.0, 60.0);
/// assert_eq!(boxes.len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TextBoxes {
    /// The probability from which a pixel is text.
    pub threshold: f64,
    /// Whether gaps of one pixel are closed first.
    pub dilate: bool,
    /// The mean probability below which a box is dropped.
    pub box_threshold: f64,
    /// How far a box grows: by area times this over perimeter. The detector is trained on shrunken boxes.
    pub unclip_ratio: f64,
    /// How many shapes are looked at.
    pub max_candidates: usize,
    /// The least length of a box's shorter side before it grows, in pixels of the map; it has to have grown by 2.
    pub min_size: f64,
}

impl Default for TextBoxes {
    /// What the Python package rapidocr-onnxruntime 1.4.4 has in its `config.yaml`.
    fn default() -> Self {
        Self {
            threshold: 0.3,
            dilate: true,
            box_threshold: 0.5,
            unclip_ratio: 1.6,
            max_candidates: 1000,
            min_size: 3.0,
        }
    }
}

impl TextBoxes {
    /// The boxes, those further down first, on whole pixels of a picture of `width` by `height` that the map covers.
    pub fn find(&self, map: &ProbabilityMap, width: f64, height: f64) -> Vec<Quad> {
        let mut bitmap = map.above(self.threshold);
        if self.dilate {
            bitmap.dilate();
        }
        let (scale_x, scale_y) = (width / map.width() as f64, height / map.height() as f64);
        let to_picture = |point: Point| {
            let x = (point.x * scale_x).round_ties_even().clamp(0.0, width);
            let y = (point.y * scale_y).round_ties_even().clamp(0.0, height);
            Point::new(x, y)
        };
        let outlines = bitmap.outlines().into_iter().take(self.max_candidates);
        outlines.filter_map(|outline| Some(self.fit(&outline, map)?.map(to_picture))).collect()
    }

    /// The box of one shape on the map, if it is one.
    fn fit(&self, outline: &[Point], map: &ProbabilityMap) -> Option<Quad> {
        let shrunken = RotatedRect::around(outline).filter(|rect| rect.shorter_side() >= self.min_size)?.quad();
        if map.mean_within(&shrunken) < self.box_threshold {
            return None;
        }
        let distance = area(&shrunken.0).abs() * self.unclip_ratio / perimeter(&shrunken.0);
        let grown = RotatedRect::around(&offset_polygon(&shrunken.0, distance))?;
        (grown.shorter_side() >= self.min_size + 2.0).then(|| grown.quad())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::references::References;

    #[test]
    fn boxes_are_those_of_the_python_package() {
        let (mut found, mut same) = (0, 0);
        for case in References::read().text_boxes {
            let map = ProbabilityMap::new(case.width, case.levels.clone());
            let boxes = TextBoxes::default().find(&map, case.picture[0], case.picture[1]);
            assert_eq!(boxes.len(), case.boxes.len(), "{boxes:?} {:?}", case.boxes);
            for (ours, theirs) in boxes.iter().zip(&case.boxes) {
                let apart = ours.0.into_iter().zip(theirs.quad.0).map(|(a, b)| (a - b).length()).fold(0.0, f64::max);
                // Rounding takes one of two rectangles of one area, or cuts a corner off to the pixel before. A pixel of
                // the map is 1.7 by 1.3 of the picture.
                assert!(apart <= 4.0, "{ours:?} {theirs:?}");
                same += usize::from(apart < 1e-9);
            }
            found += boxes.len();
        }
        assert!(found >= 24, "{found} boxes are too few to tell");
        assert!(same * 10 >= found * 9, "{same} of {found} boxes are the same");
    }

    #[test]
    fn map_without_text_has_no_boxes() {
        assert_eq!(TextBoxes::default().find(&ProbabilityMap::new(40, vec![70; 1600]), 80.0, 80.0), []);
        assert_eq!(TextBoxes::default().find(&ProbabilityMap::new(0, vec![]), 80.0, 80.0), []);
    }
}
