//! What became of calls.

use std::time::Duration;

use super::mix::Function;
use super::stage::NODES;

/// How much later than its deadline an answer may be seen: callers share the machine with the nodes.
const GRACE: Duration = Duration::from_millis(20);

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    InTime,
    /// Answered after its deadline, or told too late that it would not be.
    Late,
    /// Told at once that nobody would make it.
    Refused,
    /// Anything else; should not happen.
    Failed,
}

impl Outcome {
    /// By status and time; no status where there was no answer at all.
    pub(crate) fn of(status: Option<u16>, took: Duration, patience: Duration) -> Self {
        match status {
            Some(200) if took <= patience + GRACE => Self::InTime,
            // Who hears of it late might as well have been answered late.
            Some(503) if took <= patience / 2 => Self::Refused,
            Some(200 | 503 | 504) => Self::Late,
            _ => Self::Failed,
        }
    }
}

/// A call that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) function: Function,
    /// From the start of the load.
    pub(crate) due: Duration,
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
    /// Which of [`NODES`] ran it, if it was answered.
    pub(crate) ran_on: Option<usize>,
    pub(crate) cost: f64,
}

/// Many calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) in_time: usize,
    pub(crate) late: usize,
    pub(crate) refused: usize,
    pub(crate) failed: usize,
    /// Answers, by [`NODES`].
    pub(crate) ran: [usize; NODES.len()],
    pub(crate) costs: [f64; NODES.len()],
    /// How long answers took, shortest first, by [`Function::ALL`].
    pub(crate) took: [Vec<Duration>; Function::ALL.len()],
}

impl Tally {
    pub(crate) fn of<'a>(records: impl Iterator<Item = &'a Record>) -> Self {
        let mut tally = Self::default();
        for record in records {
            *match record.outcome {
                Outcome::InTime => &mut tally.in_time,
                Outcome::Late => &mut tally.late,
                Outcome::Refused => &mut tally.refused,
                Outcome::Failed => &mut tally.failed,
            } += 1;
            if let Some(node) = record.ran_on {
                tally.ran[node] += 1;
                tally.costs[node] += record.cost;
                tally.took[record.function as usize].push(record.took);
            }
        }
        tally.took.iter_mut().for_each(|took| took.sort());
        tally
    }

    /// All calls.
    pub(crate) fn offered(&self) -> usize {
        self.in_time + self.late + self.refused + self.failed
    }

    /// The share of answers that a node gave; `None` where there are none.
    pub(crate) fn share(&self, node: usize) -> Option<f64> {
        let all: usize = self.ran.iter().sum();
        (all > 0).then(|| self.ran[node] as f64 / all as f64)
    }

    pub(crate) fn cost(&self) -> f64 {
        self.costs.iter().sum()
    }

    /// How long such a share of a function's answers took at most.
    pub(crate) fn quantile(&self, function: Function, share: f64) -> Option<Duration> {
        let took = &self.took[function as usize];
        took.get((took.len().saturating_sub(1) as f64 * share).round() as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(400);

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn an_outcome_is_what_a_caller_with_a_deadline_makes_of_it() {
        for (status, took, outcome) in [
            (Some(200), 410, Outcome::InTime),
            (Some(200), 421, Outcome::Late),
            (Some(503), 200, Outcome::Refused),
            (Some(503), 201, Outcome::Late),
            (Some(504), 400, Outcome::Late),
            (Some(500), 1, Outcome::Failed),
            (None, 1, Outcome::Failed),
        ] {
            assert_eq!(Outcome::of(status, ms(took), PATIENCE), outcome, "{status:?} after {took} ms");
        }
    }

    #[test]
    fn calls_are_counted_by_outcome_node_and_function() {
        let record = |function, took, outcome, ran_on, cost| Record {
            function,
            due: Duration::ZERO,
            took: ms(took),
            outcome,
            ran_on,
            cost,
        };
        let mut records: Vec<Record> =
            (1..=101).map(|took| record(Function::Sniff, 102 - took, Outcome::InTime, Some(0), 0.5)).collect();
        records.push(record(Function::Ocr, 900, Outcome::Late, Some(2), 8.0));
        records.push(record(Function::Ocr, 1, Outcome::Refused, None, 0.0));
        let tally = Tally::of(records.iter());
        assert_eq!((tally.offered(), tally.in_time, tally.late, tally.refused, tally.failed), (103, 101, 1, 1, 0));
        assert_eq!((tally.ran, tally.cost()), ([101, 0, 1], 58.5));
        assert_eq!(tally.share(2), Some(1.0 / 102.0));
        assert_eq!(tally.quantile(Function::Sniff, 0.5), Some(ms(51)));
        assert_eq!(tally.quantile(Function::Sniff, 0.99), Some(ms(100)));
        assert_eq!(tally.quantile(Function::Ocr, 0.99), Some(ms(900)));
        assert_eq!((Tally::default().share(0), Tally::default().quantile(Function::Ocr, 0.5)), (None, None));
    }
}
