//! Figures, each with its parts.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::spread::Spread;

/// All that was measured, round by round.
#[derive(Default)]
pub(super) struct Report(BTreeMap<String, Measured>);

#[derive(Default)]
struct Measured {
    gate: Option<f64>,
    aim: f64,
    /// One value per round.
    values: Vec<f64>,
    /// By case and contender: nanoseconds, one per round.
    parts: BTreeMap<String, Vec<(&'static str, Vec<f64>)>>,
}

/// A figure that is being measured.
pub(super) struct Section<'a>(&'a mut Measured);

impl Section<'_> {
    /// What each took in one case, in nanoseconds.
    pub(super) fn part(&mut self, case: &str, took: &[(&'static str, f64)]) {
        let part =
            self.0.parts.entry(case.to_owned()).or_insert_with(|| took.iter().map(|(who, _)| (*who, vec![])).collect());
        part.iter_mut().zip(took).for_each(|((_, values), (_, value))| values.push(*value));
    }

    /// What the round came to.
    pub(super) fn figure(&mut self, value: f64) {
        self.0.values.push(value);
    }
}

#[derive(Serialize)]
struct Figure {
    #[serde(flatten)]
    spread: Spread,
    gate: Option<f64>,
    aim: f64,
    /// Medians in microseconds, by case and contender.
    microseconds: BTreeMap<String, BTreeMap<&'static str, f64>>,
}

impl Report {
    pub(super) fn section(&mut self, key: String, gate: Option<f64>, aim: f64) -> Section<'_> {
        let measured = self.0.entry(key).or_default();
        (measured.gate, measured.aim) = (gate, aim);
        Section(measured)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn figures(self) -> BTreeMap<String, Figure> {
        let median = |(who, values): (&'static str, Vec<f64>)| (who, Spread::of(values).median / 1e3);
        let figure = |(key, measured): (String, Measured)| {
            let parts = measured.parts.into_iter();
            let microseconds = parts.map(|(case, part)| (case, part.into_iter().map(median).collect())).collect();
            let spread = Spread::of(measured.values);
            (key, Figure { spread, gate: measured.gate, aim: measured.aim, microseconds })
        };
        self.0.into_iter().map(figure).collect()
    }

    pub(super) fn print_json(self) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string_pretty(&self.figures())?);
        Ok(())
    }

    pub(super) fn print(self) -> anyhow::Result<()> {
        for (key, Figure { spread, gate, aim, microseconds }) in self.figures() {
            let Spread { median, p10, p90, runs } = spread;
            let gate = gate.map_or_else(|| "printed".to_owned(), |gate| gate.to_string());
            println!(
                "{key} {median:.2}  (10 % below {p10:.2}, 10 % above {p90:.2}, {runs} rounds; gate {gate}, aim {aim})"
            );
            for (case, took) in microseconds {
                let took: Vec<_> = took.iter().map(|(who, took)| format!("{who} {took:.2}")).collect();
                println!("  {case:<40} {}  µs", took.join("  "));
            }
        }
        Ok(())
    }
}
