//! Pictures of one bit and of one byte per pixel, as a guest reads them.

use super::geometry::{Point, Quad, convex_hull, edges};
use super::runs::{Connectivity, Run, components};
use crate::{HostError, Tensor};

/// Pixels that are set or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitmap {
    width: usize,
    pixels: Vec<bool>,
}

impl Bitmap {
    /// Rows of `width` pixels; what is over after the last whole row is dropped.
    pub fn new(width: usize, mut pixels: Vec<bool>) -> Self {
        pixels.truncate(pixels.len() / width.max(1) * width);
        Self { width, pixels }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &[bool]> {
        self.pixels.chunks_exact(self.width.max(1))
    }

    /// Sets the right, the lower and the lower right neighbour of each pixel that is set, which closes gaps of one pixel
    /// (a dilation by 2 by 2 pixels).
    pub fn dilate(&mut self) {
        let width = self.width.max(1);
        // From the end on, so that what is set here is not taken for set before.
        for row in (0..self.pixels.len() / width).rev() {
            let (before, rest) = self.pixels.split_at_mut(row * width);
            let above = before.rchunks_exact(width).next();
            for x in (0..width).rev() {
                let is_set_above = |x: usize| above.is_some_and(|above| above[x]);
                rest[x] = rest[x] || is_set_above(x) || x > 0 && (rest[x - 1] || is_set_above(x - 1));
            }
        }
    }

    /// The convex hull of each shape (pixels that touch, by an edge or a corner) and of the rim of each hole in one, those
    /// that begin further down first.
    ///
    /// The same hulls in the same order as those of the contours of OpenCV's `findContours` with `RETR_LIST`.
    pub fn outlines(&self) -> Vec<Vec<Point>> {
        let height = self.pixels.len() / self.width.max(1);
        let is_inside = |run: &Run| run.row > 0 && run.row + 1 < height && run.start > 0 && run.end < self.width;
        let shapes = components(self, true, Connectivity::Eight).into_iter().map(|runs| {
            let ends = runs.iter().flat_map(|run| [(run.start, run.row), (run.end - 1, run.row)]);
            ((runs[0].row, runs[0].start), hull(ends))
        });
        let holes = components(self, false, Connectivity::Four).into_iter();
        let rims = holes.filter(|runs| runs.iter().all(is_inside)).map(|runs| {
            // The hull of all neighbours of the hole is that of its rim, as the hole lies within.
            let neighbours = runs.iter().flat_map(|&Run { row, start, end }| {
                let beside = [(start - 1, row), (end, row)];
                beside
                    .into_iter()
                    .chain([row - 1, row + 1].into_iter().flat_map(move |row| [(start, row), (end - 1, row)]))
            });
            ((runs[0].row, runs[0].start - 1), hull(neighbours))
        });
        let mut outlines: Vec<_> = shapes.chain(rims).collect();
        outlines.sort_by_key(|(begin, _)| *begin);
        outlines.into_iter().rev().map(|(_, hull)| hull).collect()
    }
}

fn hull(pixels: impl Iterator<Item = (usize, usize)>) -> Vec<Point> {
    convex_hull(&pixels.map(|(x, y)| Point::new(x as f64, y as f64)).collect::<Vec<_>>())
}

/// A probability for each pixel, in steps of 1/255.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbabilityMap {
    width: usize,
    height: usize,
    levels: Vec<u8>,
}

impl ProbabilityMap {
    /// Rows of `width` levels, 255 for certainty; what is over after the last whole row is dropped.
    pub fn new(width: usize, mut levels: Vec<u8>) -> Self {
        let height = levels.len() / width.max(1);
        levels.truncate(height * width);
        Self { width, height, levels }
    }

    /// Reads a model's `float32 [1, 1, height, width]`. It is brought to one byte per pixel in the host.
    ///
    /// # Errors
    /// The tensor has no two last axes, or the host fails.
    pub async fn read(probabilities: &Tensor) -> Result<Self, HostError> {
        let &[.., height, width] = probabilities.shape() else {
            return Err(HostError::invalid(format!("{probabilities:?} is no map; it needs a height and a width")));
        };
        // A cast cuts off, so that half a level up makes it round.
        let levels = probabilities.linear(255.0, 0.5).await?.cast(crate::DType::Uint8).await?.to_vec()?;
        let map = Self::new(width, levels);
        if map.height != height {
            return Err(HostError::invalid(format!(
                "{probabilities:?} is no map; all but the last two axes must be 1"
            )));
        }
        Ok(map)
    }

    /// Its width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Its height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixels with more than `probability`.
    pub fn above(&self, probability: f64) -> Bitmap {
        let least = (probability * 255.0).ceil();
        Bitmap::new(self.width, self.levels.iter().map(|&level| f64::from(level) >= least).collect())
    }

    /// The mean probability within a convex quadrilateral and on its edges; 0 outside the map.
    pub fn mean_within(&self, quad: &Quad) -> f64 {
        let corners = quad.map(|point| Point::new(point.x.trunc(), point.y.trunc())).0;
        let extremes = |place: fn(Point) -> f64| {
            corners
                .into_iter()
                .map(place)
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), at| (min.min(at), max.max(at)))
        };
        let (top, bottom) = extremes(|point| point.y);
        let (mut sum, mut count) = (0u64, 0u64);
        for row in (top.max(0.0) as usize)..=(bottom.max(-1.0) as usize).min(self.height.saturating_sub(1)) {
            let Some((left, right)) = span(&corners, row as f64) else { continue };
            let start = (left.max(0.0) as usize).min(self.width);
            let end = ((right + 1.0).max(0.0) as usize).min(self.width);
            let levels = &self.levels[row * self.width..][start..end.max(start)];
            sum += levels.iter().map(|&level| u64::from(level)).sum::<u64>();
            count += levels.len() as u64;
        }
        if count == 0 { 0.0 } else { sum as f64 / count as f64 / 255.0 }
    }
}

/// The first and the last pixel of a row that a convex polygon with corners on whole pixels covers: from edge to edge, where
/// an edge is the nearest pixel to it in each row if it is steep, and in each column if it is flat (J. E. Bresenham's lines,
/// as OpenCV's `fillPoly` draws them).
fn span(polygon: &[Point], row: f64) -> Option<(f64, f64)> {
    let pixels = edges(polygon).filter_map(|(from, to)| {
        let run = to - from;
        if run.y.abs() > run.x.abs() {
            let along = (row - from.y) / run.y;
            let x = (from.x + run.x * along).round();
            return (0.0..=1.0).contains(&along).then_some((x, x));
        }
        let (left, right) = if from.x <= to.x { (from, to) } else { (to, from) };
        if run.y == 0.0 {
            return (left.y == row).then_some((left.x, right.x));
        }
        let x_at = |y: f64| left.x + (y - left.y) * run.x / run.y;
        let (a, b) = (x_at(row - 0.5), x_at(row + 0.5));
        let (first, last) = (a.min(b).max(left.x).ceil(), a.max(b).min(right.x).floor());
        (first <= last).then_some((first, last))
    });
    pixels.reduce(|(left, right), (first, last)| (left.min(first), right.max(last)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::references::References;

    #[test]
    fn outlines_are_the_contours_of_opencv() {
        for case in References::read().outlines {
            let pixels = case.rows.iter().flat_map(|row| row.bytes()).map(|byte| byte == b'#').collect();
            let mut bitmap = Bitmap::new(case.rows[0].len(), pixels);
            if case.dilated {
                bitmap.dilate();
            }
            let expected: Vec<_> = case.hulls.iter().map(|hull| convex_hull(hull)).collect();
            assert_eq!(bitmap.outlines(), expected, "{:#?}", case.rows);
        }
    }

    #[test]
    fn bitmap_without_pixels_has_no_outlines() {
        for (width, pixels) in [(0, 0), (0, 3), (5, 0), (5, 3)] {
            let mut bitmap = Bitmap::new(width, vec![true; pixels]);
            bitmap.dilate();
            assert_eq!(bitmap.outlines(), Vec::<Vec<Point>>::new());
        }
    }

    #[test]
    fn mean_within_a_box_leaves_out_what_is_beyond_the_map() {
        let map = ProbabilityMap::new(4, vec![0, 0, 0, 0, 0, 255, 255, 0, 0, 255, 255, 0]);
        let quad = |left, top, right, bottom| {
            Quad([(left, top), (right, top), (right, bottom), (left, bottom)].map(|(x, y)| Point::new(x, y)))
        };
        assert_eq!(map.mean_within(&quad(1.0, 1.0, 2.0, 2.0)), 1.0);
        assert_eq!(map.mean_within(&quad(1.0, 1.0, 2.0, 90.0)), 1.0);
        assert_eq!(map.mean_within(&quad(0.0, 0.0, 3.0, 2.0)), 4.0 / 12.0);
        assert_eq!(map.mean_within(&quad(-9.0, -9.0, -5.0, -5.0)), 0.0);
        assert_eq!(map.mean_within(&quad(50.0, 50.0, 60.0, 60.0)), 0.0);
    }
}
