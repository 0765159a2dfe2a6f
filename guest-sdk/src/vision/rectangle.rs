//! The rectangle of least area around points.

use super::geometry::{Point, Quad, convex_hull, edges};

/// A rectangle at any angle.
///
/// In single precision, and from centre, sides and angle to corners, as OpenCV has it: what follows may cut corners off
/// to whole pixels, and where one lies on a whole pixel up to rounding, exact numbers would give the one before or after
/// it in 3 of 100 shapes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RotatedRect {
    center: [f32; 2],
    sides: [f32; 2],
    /// Of the first side, in degrees, clockwise from the x axis.
    angle: f32,
}

impl RotatedRect {
    /// The rectangle of least area around `points`, or `None` without points. One side of it lies on an edge of their
    /// hull (H. Freeman and R. Shapira, "Determining the minimum-area encasing rectangle for an arbitrary closed curve",
    /// 1975). Points on a line give a rectangle without height.
    pub fn around(points: &[Point]) -> Option<Self> {
        let hull = convex_hull(points);
        let &first = hull.first()?;
        let point = Self { center: [first.x as f32, first.y as f32], sides: [0.0; 2], angle: 0.0 };
        let mut sides: Vec<_> = edges(&hull).map(|(from, to)| to - from).filter(|edge| edge.length() > 0.0).collect();
        // OpenCV's calipers come to the upper edge last, and of equals the first is taken. Where an edge on the left is
        // upright, they have come to as many as there are before, by that edge again. Both give the same rectangle, but
        // for rounding, which cuts a row off further on.
        sides.sort_by_key(|edge| is_upper(*edge));
        if sides.iter().any(|edge| is_left(*edge)) {
            sides.retain(|edge| !is_upper(*edge));
        }
        let rectangles = sides.into_iter().map(|edge| Self::along(edge, &hull));
        Some(rectangles.min_by(|(a, _), (b, _)| a.total_cmp(b)).map_or(point, |(_, rectangle)| rectangle))
    }

    /// The rectangle around `hull` with one side along `edge`, and its area.
    fn along(edge: Point, hull: &[Point]) -> (f32, Self) {
        let scale = edge.length().recip() as f32;
        let mut u = [edge.x as f32 * scale, edge.y as f32 * scale];
        // The side that the angle belongs to is the one between 0 and 90 degrees. At the upper edge the calipers have
        // turned by 90 already, elsewhere by less.
        for _ in 0..3 {
            if u[0] <= 0.0 || u[1] < 0.0 {
                u = [-u[1], u[0]];
            }
        }
        if is_upper(edge) {
            u = [-u[1], u[0]];
        }
        let v = [-u[1], u[0]];
        let place = |point: Point, axis: [f32; 2]| axis[0] * point.x as f32 + axis[1] * point.y as f32;
        let furthest = |axis: [f32; 2]| {
            let further = |a: Point, b: Point| if place(b, axis) > place(a, axis) { b } else { a };
            hull.iter().copied().reduce(further).unwrap_or_default()
        };
        let (first, last) = (furthest(u.map(|x| -x)), furthest(u));
        let (upper, lower) = (furthest(v.map(|x| -x)), furthest(v));
        let (left, top) = (place(first, u), place(upper, v));
        let (width, height) = (place(last - first, u), place(lower - upper, v));
        // `u` is of length 1 up to rounding only.
        let unit = (u[0] * v[1] - v[0] * u[1]).recip();
        let corner = [(left * v[1] - top * u[1]) * unit, (u[0] * top - v[0] * left) * unit];
        let (along, across) = (u.map(|x| x * width), v.map(|x| x * height));
        let length = |side: [f32; 2]| f64::from(side[0]).hypot(f64::from(side[1])) as f32;
        let rectangle = Self {
            center: [0, 1].map(|axis| corner[axis] + (along[axis] + across[axis]) * 0.5),
            sides: [length(along), length(across)],
            angle: f64::from(along[1]).atan2(f64::from(along[0])).to_degrees() as f32,
        };
        (width * height, rectangle)
    }

    /// Its area.
    pub fn area(&self) -> f64 {
        f64::from(self.sides[0]) * f64::from(self.sides[1])
    }

    /// The length of its shorter side.
    pub fn shorter_side(&self) -> f64 {
        f64::from(self.sides[0].min(self.sides[1]))
    }

    /// Its corners in order.
    pub fn quad(&self) -> Quad {
        let (sin, cos) = f64::from(self.angle).to_radians().sin_cos();
        let (sin, cos) = (sin as f32 * 0.5, cos as f32 * 0.5);
        let ([x, y], [width, height]) = (self.center, self.sides);
        let first = [x - sin * height - cos * width, y + cos * height - sin * width];
        let second = [x + sin * height - cos * width, y - cos * height - sin * width];
        let opposite = |corner: [f32; 2]| [2.0 * x - corner[0], 2.0 * y - corner[1]];
        let corners = [first, second, opposite(first), opposite(second)];
        Quad::from_corners(corners.map(|[x, y]| Point::new(f64::from(x), f64::from(y))))
    }
}

/// Whether an edge of a hull, whose points go clockwise, is level and the upper one.
fn is_upper(edge: Point) -> bool {
    edge.y == 0.0 && edge.x > 0.0
}

/// Whether an edge of a hull, whose points go clockwise, is upright and on the left.
fn is_left(edge: Point) -> bool {
    edge.x == 0.0 && edge.y < 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::references::{References, close};

    #[test]
    fn least_rectangle_is_that_of_opencv() {
        for case in References::read().rectangles {
            let rectangle = RotatedRect::around(&case.points).unwrap();
            // Sums in another order, in single precision.
            assert!((rectangle.area() - case.area).abs() <= 1e-4 * case.area.max(10.0), "{rectangle:?} {case:?}");
            assert!((rectangle.shorter_side() - case.shorter_side).abs() < 1e-3, "{rectangle:?} {case:?}");
            assert!(close(rectangle.quad(), case.quad, 2e-3), "{rectangle:?} {case:?}");
        }
    }

    #[test]
    fn a_shape_with_an_upright_left_edge_has_its_corners_on_whole_pixels() {
        // The outline of a line of text, for which OpenCV 4.11 has exactly these corners. By the upper edge, whose unit
        // vector is too short in single precision, the lower ones would be a little above and be cut off to 741.
        let outline = [
            (92, 723),
            (256, 723),
            (293, 724),
            (295, 728),
            (295, 736),
            (294, 738),
            (292, 740),
            (287, 741),
            (255, 742),
            (154, 742),
            (115, 741),
            (94, 740),
            (86, 739),
            (84, 738),
            (83, 735),
            (83, 730),
            (84, 725),
            (85, 724),
        ];
        let outline = outline.map(|(x, y)| Point::new(f64::from(x), f64::from(y)));
        let corners = [(83.0, 723.0), (295.0, 723.0), (295.0, 742.0), (83.0, 742.0)];
        assert_eq!(RotatedRect::around(&outline).unwrap().quad(), Quad(corners.map(|(x, y)| Point::new(x, y))));
    }

    #[test]
    fn one_point_is_a_rectangle_without_sides_and_none_is_no_rectangle() {
        let point = Point::new(3.0, 4.0);
        assert_eq!(RotatedRect::around(&[point, point]).unwrap().quad(), Quad([point; 4]));
        assert_eq!(RotatedRect::around(&[]), None);
    }
}
