//! How the load rises and falls.

use std::time::Duration;

/// The load of each step, in times of what the edge can do.
const STEPS: [f64; 12] = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.0, 2.5, 2.0, 1.5, 1.0, 0.5];

/// Calls at an even rate within each step, sent when they are due, whatever became of those before.
#[derive(Clone, Copy)]
pub(crate) struct Ramp {
    /// Calls per second that the edge can do.
    capacity: f64,
    length: Duration,
}

impl Ramp {
    /// One for an edge that does `capacity` calls per second.
    pub(crate) fn new(capacity: f64, length: Duration) -> Self {
        Self { capacity, length }
    }

    /// How long all of it takes.
    pub(crate) fn length(self) -> Duration {
        self.length
    }

    /// How many steps there are.
    pub(crate) fn steps() -> usize {
        STEPS.len()
    }

    /// How long a step takes.
    pub(crate) fn step(self) -> Duration {
        self.length / STEPS.len() as u32
    }

    /// Which step it is so long after the start; the last one for all times after the end.
    pub(crate) fn step_at(self, time: Duration) -> usize {
        ((time.as_secs_f64() / self.step().as_secs_f64()) as usize).min(STEPS.len() - 1)
    }

    /// The load of a step, in times of what the edge can do.
    pub(crate) fn factor(step: usize) -> f64 {
        STEPS[step]
    }

    /// Calls per second in a step.
    pub(crate) fn rate(self, step: usize) -> f64 {
        self.capacity * STEPS[step]
    }

    /// When each call is due, from the start.
    pub(crate) fn due(self) -> impl Iterator<Item = Duration> {
        (0..STEPS.len()).flat_map(move |step| {
            let calls = (self.rate(step) * self.step().as_secs_f64()).round().max(1.0) as u32;
            let start = self.step() * step as u32;
            (0..calls).map(move |call| start + self.step() * call / calls)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_rises_to_three_times_what_the_edge_can_do_and_falls_again() {
        let ramp = Ramp::new(10.0, Duration::from_secs(60));
        let due: Vec<Duration> = ramp.due().collect();
        assert!(due.is_sorted() && due.iter().all(|due| *due < ramp.length()));
        assert_eq!(due.len(), (STEPS.iter().sum::<f64>() * 10.0 * 5.0) as usize);
        let in_step = |step: usize| due.iter().filter(|due| ramp.step_at(**due) == step).count();
        assert_eq!([0, 5, 6, 11].map(in_step), [25, 150, 150, 25]);
        assert_eq!(ramp.step_at(Duration::from_secs(600)), 11, "calls may end after the load");
    }
}
