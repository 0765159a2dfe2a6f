//! The rectangle of least area around points.

use super::geometry::{Point, Quad, convex_hull, edges};

/// A rectangle at any angle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RotatedRect {
    corners: [Point; 4],
    sides: [f64; 2],
}

impl RotatedRect {
    /// The rectangle of least area around `points`, or `None` without points. One side of it lies on an edge of their
    /// hull (H. Freeman and R. Shapira, "Determining the minimum-area encasing rectangle for an arbitrary closed curve",
    /// 1975). Points on a line give a rectangle without height.
    pub fn around(points: &[Point]) -> Option<Self> {
        let hull = convex_hull(points);
        let &first = hull.first()?;
        // The first of equals, so that a shape gives the same rectangle wherever it stands.
        let along_edges = edges(&hull).filter(|(from, to)| from != to);
        let rectangles = along_edges.map(|(from, to)| Self::along(to - from, &hull));
        let least = rectangles.min_by(|a, b| a.area().total_cmp(&b.area()));
        Some(least.unwrap_or(Self { corners: [first; 4], sides: [0.0; 2] }))
    }

    /// The rectangle around `hull` with one side along `direction`.
    fn along(direction: Point, hull: &[Point]) -> Self {
        let u = direction * direction.length().recip();
        let v = Point::new(-u.y, u.x);
        let extent = |axis: Point| {
            let places = hull.iter().map(|point| point.dot(axis));
            places.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), place| (min.min(place), max.max(place)))
        };
        let ((left, right), (top, bottom)) = (extent(u), extent(v));
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        Self { corners: corners.map(|(along, across)| u * along + v * across), sides: [right - left, bottom - top] }
    }

    /// Its area.
    pub fn area(&self) -> f64 {
        self.sides[0] * self.sides[1]
    }

    /// The length of its shorter side.
    pub fn shorter_side(&self) -> f64 {
        self.sides[0].min(self.sides[1])
    }

    /// Its corners in order.
    pub fn quad(&self) -> Quad {
        Quad::from_corners(self.corners)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::references::{References, close};

    #[test]
    fn least_rectangle_is_that_of_opencv() {
        for case in References::read().rectangles {
            let rectangle = RotatedRect::around(&case.points).unwrap();
            // OpenCV computes in single precision.
            assert!((rectangle.area() - case.area).abs() <= 1e-4 * case.area.max(1.0), "{rectangle:?} {case:?}");
            assert!((rectangle.shorter_side() - case.shorter_side).abs() < 1e-3, "{rectangle:?} {case:?}");
            assert!(close(rectangle.quad(), case.quad, 2e-3), "{rectangle:?} {case:?}");
        }
    }

    #[test]
    fn one_point_is_a_rectangle_without_sides_and_none_is_no_rectangle() {
        let point = Point::new(3.0, 4.0);
        assert_eq!(RotatedRect::around(&[point, point]).unwrap().quad(), Quad([point; 4]));
        assert_eq!(RotatedRect::around(&[]), None);
    }
}
