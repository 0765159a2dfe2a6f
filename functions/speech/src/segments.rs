//! From the probabilities of frames to stretches of speech.
//!
//! Follows `get_speech_timestamps_from_probs` of the Python package silero-vad 6.2.3, with
//! `use_max_poss_sil_at_max_speech`, its default; what that function computes for the other case only is left out.

use crate::options::Options;
use crate::{FRAME, RATE};

/// Silence in overlong speech that it may be cut at is longer than this, in milliseconds (`min_silence_at_max_speech`).
const CUTTING_SILENCE_MS: f64 = 98.0;

/// First sample of a stretch of speech, and the one after its last.
type Stretch = (usize, usize);

/// The stretches of speech in a recording of `length` samples, in order.
pub(crate) fn find(probabilities: &[f32], length: usize, options: &Options) -> Vec<Stretch> {
    let mut stretches = raw(probabilities, length, options);
    pad(&mut stretches, length, samples(options.speech_pad_ms));
    stretches
}

/// Samples in so many milliseconds. The reference computes with fractions, too.
fn samples(milliseconds: f64) -> f64 {
    f64::from(RATE) * milliseconds / 1000.0
}

/// Speech begins with a frame at the threshold, and ends where frames have been below the lower threshold for long
/// enough, or where it gets too long.
fn raw(probabilities: &[f32], length: usize, options: &Options) -> Vec<Stretch> {
    let longest = f64::from(RATE) * options.max_speech_duration_s - FRAME as f64 - 2.0 * samples(options.speech_pad_ms);
    let shortest = samples(options.min_speech_duration_ms);
    let silence = samples(options.min_silence_duration_ms);
    let lower = options.lower_threshold();

    let mut found = Vec::new();
    let mut start: Option<usize> = None;
    // Where the silence that goes on began.
    let mut pause: Option<usize> = None;
    // Silences within the current speech, as (beginning, length).
    let mut pauses: Vec<(usize, usize)> = Vec::new();
    for (frame, probability) in probabilities.iter().enumerate() {
        let (now, probability) = (frame * FRAME, f64::from(*probability));
        if probability >= options.threshold {
            if let Some(began) = pause.take()
                && (now - began) as f64 > samples(CUTTING_SILENCE_MS)
            {
                pauses.push((began, now - began));
            }
            if start.is_none() {
                start = Some(now);
                continue;
            }
        }
        if let Some(began) = start
            && (now - began) as f64 > longest
        {
            // The first of the longest, as Python's `max`.
            let cut = pauses.iter().copied().reduce(|best, next| if next.1 > best.1 { next } else { best });
            found.push((began, cut.map_or(now, |(end, _)| end)));
            start = cut.map(|(end, length)| end + length);
            pause = None;
            pauses.clear();
            if start.is_none() {
                continue;
            }
        }
        if let Some(began) = start
            && probability < lower
        {
            let end = *pause.get_or_insert(now);
            if (now - end) as f64 >= silence {
                if (end as f64 - began as f64) > shortest {
                    found.push((began, end));
                }
                (start, pause) = (None, None);
                pauses.clear();
            }
        }
    }
    if let Some(began) = start.filter(|began| (length as f64 - *began as f64) > shortest) {
        found.push((began, length));
    }
    found
}

/// Adds `padding` samples at both ends; neighbours that are too close for it share what is between them.
fn pad(stretches: &mut [Stretch], length: usize, padding: f64) {
    let earlier = |start: usize| (start as f64 - padding).max(0.0) as usize;
    let later = |end: usize| (end as f64 + padding).min(length as f64) as usize;
    if let Some(first) = stretches.first_mut() {
        first.0 = earlier(first.0);
    }
    for next in 1..stretches.len() {
        let between = stretches[next].0 - stretches[next - 1].1;
        if (between as f64) < 2.0 * padding {
            stretches[next - 1].1 += between / 2;
            stretches[next].0 -= between / 2;
        } else {
            stretches[next - 1].1 = later(stretches[next - 1].1);
            stretches[next].0 = earlier(stretches[next].0);
        }
    }
    if let Some(last) = stretches.last_mut() {
        last.1 = later(last.1);
    }
}
