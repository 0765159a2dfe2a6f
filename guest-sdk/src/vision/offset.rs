//! Growing polygons.

use std::f64::consts::{PI, TAU};

use super::geometry::{Point, area, edges};

/// How far the points of a round corner may lie off its circle, as in Clipper 6 (`ClipperOffset.ArcTolerance`).
const ARC_TOLERANCE: f64 = 0.25;

/// A convex polygon moved outwards by `distance`, with round corners, on whole pixels: as Clipper 6 does it with round
/// joins (B. R. Vatti's clipping; A. Johnson, "Clipper", 2014) on corners that are cut off to whole numbers first.
///
/// ```
/// use spillway_sdk::vision::{Point, RotatedRect, offset_polygon};
///
/// let square = [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)].map(|(x, y)| Point::new(x, y));
/// let grown = RotatedRect::around(&offset_polygon(&square, 3.0)).unwrap();
/// assert_eq!(grown.area(), 16.0 * 16.0);
/// ```
pub fn offset_polygon(polygon: &[Point], distance: f64) -> Vec<Point> {
    let mut corners: Vec<_> = polygon.iter().map(|point| Point::new(point.x.trunc(), point.y.trunc())).collect();
    corners.dedup();
    if corners.len() > 1 && corners.first() == corners.last() {
        corners.pop();
    }
    if corners.len() < 3 || distance <= 0.0 {
        return corners;
    }
    if area(&corners) < 0.0 {
        corners.reverse();
    }
    let steps_per_turn = steps_per_turn(distance);
    let normals: Vec<_> = edges(&corners).map(|(from, to)| normal(to - from)).collect();
    let mut grown = Vec::new();
    for (index, &corner) in corners.iter().enumerate() {
        let before = normals[(index + normals.len() - 1) % normals.len()];
        let after = normals[index];
        let turn = before.cross(after).atan2(before.dot(after));
        let steps = (turn.abs() * steps_per_turn / TAU).round().max(1.0);
        let arc = (0..steps as usize).map(|step| rotate(before, step as f64 * TAU / steps_per_turn));
        grown.extend(arc.chain([after]).map(|normal| rounded(corner + normal * distance)));
    }
    grown
}

/// How many points a full circle has: the fewest within the tolerance, and no more than there are pixels on it.
fn steps_per_turn(distance: f64) -> f64 {
    let tolerance = ARC_TOLERANCE.min(distance * ARC_TOLERANCE);
    (PI / (1.0 - tolerance / distance).acos()).min(distance * PI)
}

/// The outward unit normal of an edge of a polygon whose points go clockwise.
fn normal(edge: Point) -> Point {
    Point::new(edge.y, -edge.x) * edge.length().recip()
}

fn rotate(vector: Point, angle: f64) -> Point {
    let (sin, cos) = angle.sin_cos();
    Point::new(vector.x * cos - vector.y * sin, vector.x * sin + vector.y * cos)
}

fn rounded(point: Point) -> Point {
    Point::new(point.x.round(), point.y.round())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::references::{References, close};
    use crate::vision::{RotatedRect, convex_hull};

    #[test]
    fn grown_polygon_is_that_of_clipper() {
        for case in References::read().offsets {
            let grown = offset_polygon(&case.polygon, case.distance);
            let rectangle = RotatedRect::around(&grown).unwrap();
            assert_eq!(convex_hull(&grown), convex_hull(&case.grown), "{case:?}");
            assert!(close(rectangle.quad(), case.quad, 2e-3), "{rectangle:?} {case:?}");
        }
    }

    #[test]
    fn polygon_that_is_no_area_stays_as_it_is() {
        let line = [Point::new(1.0, 1.0), Point::new(1.5, 1.5), Point::new(4.0, 4.0)];
        assert_eq!(offset_polygon(&line, 2.0), [Point::new(1.0, 1.0), Point::new(4.0, 4.0)]);
        assert_eq!(offset_polygon(&[], 2.0), []);
    }
}
