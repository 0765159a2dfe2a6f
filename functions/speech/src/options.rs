//! What the caller may choose, in the query string.

use serde::Deserialize;
use spillway_sdk::{Error, Result};

/// Parameters of `get_speech_timestamps` in silero-vad 6.2.3, with their names and defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    /// The least probability that is speech.
    pub(crate) threshold: f64,
    /// Speech goes on down to this probability; 0.15 below `threshold` if it is not given.
    pub(crate) neg_threshold: Option<f64>,
    /// Shorter speech is left out, in milliseconds.
    pub(crate) min_speech_duration_ms: f64,
    /// Longer speech is cut, at its longest silence if there is one; in seconds.
    pub(crate) max_speech_duration_s: f64,
    /// Shorter silence does not end speech, in milliseconds.
    pub(crate) min_silence_duration_ms: f64,
    /// What is added at both ends, in milliseconds.
    pub(crate) speech_pad_ms: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            neg_threshold: None,
            min_speech_duration_ms: 250.0,
            max_speech_duration_s: f64::INFINITY,
            min_silence_duration_ms: 100.0,
            speech_pad_ms: 30.0,
        }
    }
}

impl Options {
    /// The probability below which speech ends (`neg_threshold` of the reference).
    pub(crate) fn lower_threshold(&self) -> f64 {
        self.neg_threshold.unwrap_or((self.threshold - 0.15).max(0.01))
    }

    /// # Errors
    /// 400 that names the parameter.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |name: &str, value: f64, wanted: &str| {
            Err(Error::bad_request(format!("parameter `{name}` is {value}; it must be {wanted}")))
        };
        let thresholds = [("threshold", Some(self.threshold)), ("neg_threshold", self.neg_threshold)];
        for (name, value) in thresholds.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            if !(0.0..=1.0).contains(&value) {
                return refuse(name, value, "from 0 to 1");
            }
        }
        for (name, value) in [
            ("min_speech_duration_ms", self.min_speech_duration_ms),
            ("min_silence_duration_ms", self.min_silence_duration_ms),
            ("speech_pad_ms", self.speech_pad_ms),
        ] {
            if !(0.0..1e9).contains(&value) {
                return refuse(name, value, "a number of milliseconds, 0 or more");
            }
        }
        if self.max_speech_duration_s.is_nan() || self.max_speech_duration_s <= 0.0 {
            return refuse("max_speech_duration_s", self.max_speech_duration_s, "more than 0 seconds");
        }
        Ok(())
    }
}
