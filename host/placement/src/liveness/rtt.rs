//! Smoothed round-trip times.

use std::time::Duration;

/// Round-trip time to a peer as RFC 6298, section 2, smooths it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtt {
    /// The smoothed time, SRTT.
    pub smoothed: Duration,
    /// How much it varies, RTTVAR.
    pub variation: Duration,
}

impl Rtt {
    /// After the first measurement (2.2).
    pub(super) fn first(measured: Duration) -> Self {
        Self { smoothed: measured, variation: measured / 2 }
    }

    /// After another measurement (2.3), with alpha 1/8 and beta 1/4.
    pub(super) fn next(self, measured: Duration) -> Self {
        let difference = self.smoothed.abs_diff(measured);
        Self {
            smoothed: self.smoothed - self.smoothed / 8 + measured / 8,
            variation: self.variation - self.variation / 4 + difference / 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_are_smoothed_as_rfc_6298_says() {
        let ms = Duration::from_millis;
        let first = Rtt::first(ms(80));
        assert_eq!(first, Rtt { smoothed: ms(80), variation: ms(40) });
        // RTTVAR = 3/4 * 40 + 1/4 * |80 - 160|, SRTT = 7/8 * 80 + 1/8 * 160.
        assert_eq!(first.next(ms(160)), Rtt { smoothed: ms(90), variation: ms(50) });
    }

    #[test]
    fn a_new_path_is_learned_in_a_few_dozen_probes() {
        let (slow, fast) = (Duration::from_millis(100), Duration::from_millis(10));
        let mut rtt = Rtt::first(slow);
        for _ in 0..50 {
            rtt = rtt.next(fast);
        }
        assert!(rtt.smoothed < fast.mul_f64(1.1), "{rtt:?}");
    }
}
