//! Medians, and how far runs lie apart.

use serde::Serialize;

/// What many measurements of one thing came to.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    /// Half of them are below.
    pub(crate) median: f64,
    /// A tenth of them are below.
    pub(crate) p10: f64,
    /// A tenth of them are above.
    pub(crate) p90: f64,
    /// How many there were.
    pub(crate) runs: usize,
}

impl Spread {
    /// Of at least one measurement.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        Self { median: at(0.5), p10: at(0.1), p90: at(0.9), runs: values.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_outer_tenths_are_found_in_any_order() {
        let spread = Spread::of((0..=10).rev().map(f64::from).collect());
        assert_eq!((spread.median, spread.p10, spread.p90, spread.runs), (5.0, 1.0, 9.0, 11));
    }
}
