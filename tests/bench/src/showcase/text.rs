//! Figures as people read them.

use std::time::Duration;

/// `41 ms`; `-` for none.
pub(crate) fn millis(duration: Option<Duration>) -> String {
    duration.map_or_else(|| "-".to_owned(), |duration| format!("{:.0} ms", duration.as_secs_f64() * 1e3))
}

/// `98 %`; `-` for none.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0))
}

/// `0.0132 ct`: calls cost so little that figures count, not decimals.
pub(crate) fn cents(amount: f64) -> String {
    if amount <= 0.0 {
        return "0 ct".to_owned();
    }
    let decimals = (2.0 - amount.log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{amount:.decimals$} ct")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_their_units_and_three_places_that_count() {
        assert_eq!(millis(Some(Duration::from_micros(41_400))), "41 ms");
        assert_eq!((millis(None), percent(None)), ("-".to_owned(), "-".to_owned()));
        assert_eq!(percent(Some(0.984)), "98 %");
        for (amount, text) in [(0.0, "0 ct"), (0.013_24, "0.0132 ct"), (1.5, "1.50 ct"), (1234.5, "1234 ct")] {
            assert_eq!(cents(amount), text);
        }
    }
}
