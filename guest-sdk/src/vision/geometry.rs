//! Points, polygons and quadrilaterals, in pixels: x to the right, y downwards.

use std::ops::{Add, Mul, Sub};

/// A point or a vector in the plane.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    /// To the right.
    pub x: f64,
    /// Downwards.
    pub y: f64,
}

impl Point {
    /// The point at `x`, `y`.
    pub const fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    /// The scalar product.
    pub fn dot(self, other: Self) -> f64 {
        self.x * other.x + self.y * other.y
    }

    /// The z component of the vector product: positive where `other` is clockwise of `self`, as y points downwards.
    pub fn cross(self, other: Self) -> f64 {
        self.x * other.y - self.y * other.x
    }

    /// The distance from the origin.
    pub fn length(self) -> f64 {
        self.x.hypot(self.y)
    }
}

impl Add for Point {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::new(self.x + other.x, self.y + other.y)
    }
}

impl Sub for Point {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }
}

impl Mul<f64> for Point {
    type Output = Self;

    fn mul(self, factor: f64) -> Self {
        Self::new(self.x * factor, self.y * factor)
    }
}

/// A quadrilateral: its corners clockwise from the top left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quad(pub [Point; 4]);

impl Quad {
    /// Four corners put in order: of the two further left the upper one is the first, the lower one the last.
    pub fn from_corners(mut corners: [Point; 4]) -> Self {
        corners.sort_by(|a, b| a.x.total_cmp(&b.x));
        let [a, b, c, d] = corners;
        let upper_first = |a: Point, b: Point| if a.y <= b.y { (a, b) } else { (b, a) };
        let ((top_left, bottom_left), (top_right, bottom_right)) = (upper_first(a, b), upper_first(c, d));
        Self([top_left, top_right, bottom_right, bottom_left])
    }

    /// The length of the longer one of the upper and the lower edge.
    pub fn width(&self) -> f64 {
        let [top_left, top_right, bottom_right, bottom_left] = self.0;
        (top_right - top_left).length().max((bottom_right - bottom_left).length())
    }

    /// The length of the longer one of the left and the right edge.
    pub fn height(&self) -> f64 {
        let [top_left, top_right, bottom_right, bottom_left] = self.0;
        (bottom_left - top_left).length().max((bottom_right - top_right).length())
    }

    /// The quadrilateral with each corner changed.
    pub fn map(self, change: impl FnMut(Point) -> Point) -> Self {
        Self(self.0.map(change))
    }

    /// Sorts quadrilaterals as they are read: from top to bottom, and those whose first corners are less than `tolerance`
    /// apart in height from left to right.
    pub fn sort_for_reading(quads: &mut [Self], tolerance: f64) {
        quads.sort_by(|Self([a, ..]), Self([b, ..])| a.y.total_cmp(&b.y).then(a.x.total_cmp(&b.x)));
        // One pass of insertion rather than a sort: "on one line" is not transitive, so no order of all would do.
        for end in 1..quads.len() {
            for at in (1..=end).rev() {
                let (Self([before, ..]), Self([after, ..])) = (quads[at - 1], quads[at]);
                if (after.y - before.y).abs() >= tolerance || after.x >= before.x {
                    break;
                }
                quads.swap(at - 1, at);
            }
        }
    }
}

/// The edges of a closed polygon, each as its two ends.
pub(super) fn edges(polygon: &[Point]) -> impl Iterator<Item = (Point, Point)> {
    polygon.iter().copied().zip(polygon.iter().copied().cycle().skip(1))
}

/// The area of a closed polygon: positive if its points go clockwise.
pub(super) fn area(polygon: &[Point]) -> f64 {
    edges(polygon).map(|(from, to)| from.cross(to)).sum::<f64>() / 2.0
}

/// The length of a closed polygon's edges.
pub(super) fn perimeter(polygon: &[Point]) -> f64 {
    edges(polygon).map(|(from, to)| (to - from).length()).sum()
}

/// The convex hull, clockwise from the leftmost point, without points in the middle of an edge.
///
/// The monotone chain of A. M. Andrew, "Another efficient algorithm for convex hulls in two dimensions", 1979.
pub fn convex_hull(points: &[Point]) -> Vec<Point> {
    let mut points = points.to_vec();
    points.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    points.dedup();
    if points.len() < 3 {
        return points;
    }
    let mut hull = chain(points.iter());
    hull.extend(chain(points.iter().rev()));
    hull
}

/// One side of the hull without its last point, which begins the other side.
fn chain<'a>(points: impl Iterator<Item = &'a Point>) -> Vec<Point> {
    let mut side: Vec<Point> = Vec::new();
    for &point in points {
        while let [.., a, b] = side[..]
            && (b - a).cross(point - b) <= 0.0
        {
            side.pop();
        }
        side.push(point);
    }
    side.pop();
    side
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points<const N: usize>(coordinates: [(f64, f64); N]) -> [Point; N] {
        coordinates.map(|(x, y)| Point::new(x, y))
    }

    #[test]
    fn hull_of_a_square_is_its_corners_clockwise() {
        let square = points([(0.0, 0.0), (2.0, 2.0), (1.0, 1.0), (0.0, 2.0), (1.0, 0.0), (2.0, 0.0), (0.0, 2.0)]);
        assert_eq!(convex_hull(&square), points([(0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0)]));
        assert_eq!((area(&convex_hull(&square)), perimeter(&convex_hull(&square))), (4.0, 8.0));
    }

    #[test]
    fn hull_of_a_line_is_its_ends() {
        assert_eq!(convex_hull(&points([(1.0, 1.0), (3.0, 3.0), (2.0, 2.0)])), points([(1.0, 1.0), (3.0, 3.0)]));
        assert_eq!(convex_hull(&points([(1.0, 1.0), (1.0, 1.0)])), points([(1.0, 1.0)]));
        assert_eq!(convex_hull(&[]), []);
    }

    #[test]
    fn corners_in_any_order_become_clockwise_from_the_top_left() {
        let [a, b, c, d] = points([(10.0, 5.0), (50.0, 9.0), (49.0, 19.0), (9.0, 15.0)]);
        for corners in [[a, b, c, d], [c, a, d, b], [d, c, b, a]] {
            assert_eq!(Quad::from_corners(corners), Quad([a, b, c, d]));
        }
    }

    #[test]
    fn boxes_on_one_line_are_read_from_left_to_right() {
        let at = |x, y| Quad(points([(x, y), (x + 5.0, y), (x + 5.0, y + 3.0), (x, y + 3.0)]));
        let mut quads = [at(50.0, 8.0), at(0.0, 40.0), at(0.0, 12.0), at(90.0, 15.0)];
        Quad::sort_for_reading(&mut quads, 10.0);
        assert_eq!(quads, [at(0.0, 12.0), at(50.0, 8.0), at(90.0, 15.0), at(0.0, 40.0)]);
    }
}
