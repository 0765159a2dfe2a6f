//! Text from the steps of a recogniser.

use crate::Reduction;
use crate::{HostError, Tensor};

/// What a recogniser read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decoded {
    /// The labels, in order.
    pub labels: Vec<usize>,
    /// The mean probability of the steps that gave a label; 0 if none did.
    pub score: f64,
}

/// Decodes `float32 [1, steps, labels]`, a probability of each label at each step, by the best label of each step.
///
/// A label that repeats is one label, and 0 is the blank, which stands between (A. Graves and others, "Connectionist
/// temporal classification", 2006, section 3.2, best path decoding). Only the best of each step enters the guest.
///
/// # Errors
/// The tensor does not have these axes, or the host fails.
pub async fn ctc_greedy(probabilities: &Tensor) -> Result<Decoded, HostError> {
    if !matches!(probabilities.shape(), [1, _, _]) {
        return Err(HostError::invalid(format!("{probabilities:?} is no [1, steps, labels]")));
    }
    let best = probabilities.arg_max(2).await?.to_vec()?;
    let scores = probabilities.reduce(Reduction::Max, &[2]).await?.to_vec()?;
    Ok(collapse(&best, &scores))
}

fn collapse(best: &[i32], scores: &[f32]) -> Decoded {
    let mut before = 0;
    let mut steps = Vec::new();
    for (&label, &score) in best.iter().zip(scores) {
        if label != before && label > 0 {
            steps.push((label as usize, f64::from(score)));
        }
        before = label;
    }
    let sum: f64 = steps.iter().map(|(_, score)| score).sum();
    let score = if steps.is_empty() { 0.0 } else { sum / steps.len() as f64 };
    Decoded { labels: steps.into_iter().map(|(label, _)| label).collect(), score }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_one_label_unless_a_blank_stands_between() {
        let decoded = collapse(&[0, 3, 3, 0, 3, 1, 1, 0], &[0.9, 0.5, 0.1, 0.9, 0.75, 1.0, 0.2, 0.9]);
        assert_eq!(decoded, Decoded { labels: vec![3, 3, 1], score: 0.75 });
    }

    #[test]
    fn blanks_alone_are_nothing_and_score_0() {
        assert_eq!(collapse(&[0, 0], &[0.9, 0.9]), Decoded::default());
        assert_eq!(collapse(&[], &[]), Decoded::default());
    }
}
