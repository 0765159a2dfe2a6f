//! Projective maps of the plane.

use super::geometry::{Point, Quad};

/// A projective map of the plane, as the matrix that [`Tensor::warp`](crate::Tensor::warp) takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Homography([f64; 9]);

impl Homography {
    /// The map that changes nothing.
    pub const IDENTITY: Self = Self([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);

    /// The map `(a x + b y + c, d x + e y + f)`.
    pub const fn affine([a, b, c, d, e, f]: [f64; 6]) -> Self {
        Self([a, b, c, d, e, f, 0.0, 0.0, 1.0])
    }

    /// The map that takes the corners of `from` to those of `to`; `None` if three corners of one lie on a line.
    ///
    /// Each pair of corners gives two equations in the eight free numbers of the matrix (R. Hartley and A. Zisserman,
    /// "Multiple View Geometry", 2004, section 4.1).
    pub fn between(from: &Quad, to: &Quad) -> Option<Self> {
        let mut rows = [[0.0; 9]; 8];
        for (index, (a, b)) in from.0.into_iter().zip(to.0).enumerate() {
            rows[2 * index] = [a.x, a.y, 1.0, 0.0, 0.0, 0.0, -b.x * a.x, -b.x * a.y, b.x];
            rows[2 * index + 1] = [0.0, 0.0, 0.0, a.x, a.y, 1.0, -b.y * a.x, -b.y * a.y, b.y];
        }
        let [a, b, c, d, e, f, g, h] = solve(rows)?;
        let map = Self([a, b, c, d, e, f, g, h, 1.0]);
        (map.determinant().abs() > f64::EPSILON).then_some(map)
    }

    /// This map after `first`.
    pub fn after(&self, first: &Self) -> Self {
        let (left, right) = (&self.0, &first.0);
        Self(std::array::from_fn(|at| {
            let (row, column) = (at / 3, at % 3);
            (0..3).map(|k| left[3 * row + k] * right[3 * k + column]).sum()
        }))
    }

    /// Where `point` goes.
    pub fn apply(&self, point: Point) -> Point {
        let [a, b, c, d, e, f, g, h, i] = self.0;
        let Point { x, y } = point;
        let w = g * x + h * y + i;
        Point::new((a * x + b * y + c) / w, (d * x + e * y + f) / w)
    }

    /// The matrix, row by row.
    pub fn matrix(&self) -> &[f64; 9] {
        &self.0
    }

    fn determinant(&self) -> f64 {
        let [a, b, c, d, e, f, g, h, i] = self.0;
        a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    }
}

/// Solves eight linear equations by elimination with pivots; `None` if they have no one solution.
fn solve(mut rows: [[f64; 9]; 8]) -> Option<[f64; 8]> {
    for column in 0..8 {
        let pivot = (column..8).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
        if rows[pivot][column].abs() < 1e-12 {
            return None;
        }
        rows.swap(column, pivot);
        let scale = rows[column][column];
        rows[column].iter_mut().for_each(|value| *value /= scale);
        let pivot = rows[column];
        for (_, row) in rows.iter_mut().enumerate().filter(|(index, _)| *index != column) {
            let factor = row[column];
            row.iter_mut().zip(pivot).for_each(|(value, above)| *value -= factor * above);
        }
    }
    Some(rows.map(|row| row[8]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::references::References;

    #[test]
    fn map_between_quadrilaterals_is_that_of_opencv() {
        for case in References::read().homographies {
            let map = Homography::between(&case.from, &case.to).unwrap();
            for (value, expected) in map.matrix().iter().zip(case.matrix) {
                // OpenCV multiplies coordinates in single precision before it solves.
                assert!((value - expected).abs() < 1e-5 * expected.abs().max(1.0), "{map:?} {case:?}");
            }
            for (from, to) in case.from.0.into_iter().zip(case.to.0) {
                assert!((map.apply(from) - to).length() < 1e-9, "{map:?} {case:?}");
            }
        }
    }

    #[test]
    fn map_after_another_is_both_in_turn() {
        let (move_right, turn) =
            (Homography::affine([1.0, 0.0, 5.0, 0.0, 1.0, 0.0]), Homography::affine([0.0, -1.0, 0.0, 1.0, 0.0, 0.0]));
        let point = Point::new(2.0, 3.0);
        assert_eq!(move_right.after(&turn).apply(point), move_right.apply(turn.apply(point)));
        assert_eq!(Homography::IDENTITY.after(&turn), turn);
    }

    #[test]
    fn corners_on_a_line_have_no_map() {
        let square = Quad([(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)].map(|(x, y)| Point::new(x, y)));
        let line = Quad([(0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (3.0, 3.0)].map(|(x, y)| Point::new(x, y)));
        assert_eq!(Homography::between(&square, &line), None);
        assert_eq!(Homography::between(&line, &square), None);
    }
}
