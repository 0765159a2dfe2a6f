//! Samples at another rate.
//!
//! As `torchaudio.transforms.Resample` with its defaults (windowed sinc, Hann, `lowpass_filter_width` 6, `rolloff` 0.99),
//! which the reference resamples with: see `_get_sinc_resample_kernel` and `_apply_sinc_resample_kernel` of torchaudio
//! 2.8. Only the taps that its window leaves are computed.

use std::f64::consts::PI;

/// Zero crossings of the sinc on either side.
const WIDTH: f64 = 6.0;
/// The cut-off, in parts of the lower rate's half.
const ROLLOFF: f64 = 0.99;

/// `samples` at `from` per second as samples at `to` per second; the length is rounded up.
pub(crate) fn resample(samples: Vec<f32>, from: u32, to: u32) -> Vec<f32> {
    if from == to {
        return samples;
    }
    let divisor = gcd(from, to);
    let (from, to) = ((from / divisor) as usize, (to / divisor) as usize);
    // Both fit: a recording has far fewer samples than `usize::MAX / to` where it is kept in memory, and `to` is small.
    let length = (samples.len() as u64 * to as u64).div_ceil(from as u64) as usize;
    let phases: Vec<_> = (0..to.min(length)).map(|phase| Phase::new(phase, from, to)).collect();
    let output = |index: usize| phases[index % to].apply(&samples, index / to * from);
    (0..length).map(output).collect()
}

/// The filter for every `to`-th output.
struct Phase {
    /// Where the first tap lies, from the input sample that the period of `from` inputs begins with.
    offset: isize,
    taps: Vec<f32>,
}

impl Phase {
    fn new(phase: usize, from: usize, to: usize) -> Self {
        let (from, to) = (from as f64, to as f64);
        let cutoff = from.min(to) * ROLLOFF;
        let center = phase as f64 * from / to;
        let reach = WIDTH * from / cutoff;
        let first = (center - reach).ceil();
        let last = (center + reach).floor();
        let taps = (first as isize..=last as isize).map(|index| {
            let t = (index as f64 - center) * cutoff / from;
            let window = (t * PI / WIDTH / 2.0).cos().powi(2);
            let sinc = if t == 0.0 { 1.0 } else { (t * PI).sin() / (t * PI) };
            (sinc * window * cutoff / from) as f32
        });
        Self { offset: first as isize, taps: taps.collect() }
    }

    /// Beyond its ends the recording is silent.
    fn apply(&self, samples: &[f32], period: usize) -> f32 {
        let first = period as isize + self.offset;
        let skipped = first.min(0).unsigned_abs();
        let inputs = samples.get(first.max(0) as usize..).unwrap_or_default();
        self.taps.iter().skip(skipped).zip(inputs).map(|(tap, sample)| tap * sample).sum()
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
