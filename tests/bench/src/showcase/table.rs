//! Both loads beside each other.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};

use super::mix::Function;
use super::stage::NODES;
use super::tally::Tally;
use super::text::{cents, millis, percent};

/// What both loads came to.
pub(crate) struct Comparison<'a> {
    pub(crate) with: &'a Tally,
    pub(crate) without: &'a Tally,
}

impl Comparison<'_> {
    /// Name, with, without, ratio.
    fn rows(&self) -> Vec<[String; 4]> {
        let both = [self.with, self.without];
        let mut rows = vec![
            row("calls offered", both.map(|tally| Some(tally.offered() as f64)), count),
            row("answered in time", both.map(|tally| Some(tally.in_time as f64)), count),
            row("late", both.map(|tally| Some(tally.late as f64)), count),
            row("refused at once", both.map(|tally| Some(tally.refused as f64)), count),
        ];
        if both.iter().any(|tally| tally.failed > 0) {
            rows.push(row("failed", both.map(|tally| Some(tally.failed as f64)), count));
        }
        for function in Function::ALL {
            for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
                let took = both.map(|tally| tally.quantile(function, share));
                let ratio = ratio(took.map(|took| took.map(|took| took.as_secs_f64())));
                let [with, without] = took.map(millis);
                rows.push([format!("{} {name}", function.name()), with, without, ratio]);
            }
        }
        for (number, place) in NODES.iter().enumerate() {
            rows.push(row(&format!("answered by {}", place.name), both.map(|tally| tally.share(number)), |share| {
                percent(Some(share))
            }));
        }
        let per_thousand = |tally: &Tally| (tally.in_time > 0).then(|| tally.cost() / tally.in_time as f64 * 1000.0);
        rows.push(row("cost per 1000 in time", both.map(per_thousand), cents));
        rows
    }
}

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["", "with spilling", "without", "ratio"]).add_rows(self.rows());
        table.column_iter_mut().skip(1).for_each(|column| {
            column.set_cell_alignment(CellAlignment::Right);
        });
        write!(f, "{table}")
    }
}

fn row(name: &str, both: [Option<f64>; 2], show: impl Fn(f64) -> String) -> [String; 4] {
    let [with, without] = both.map(|value| value.map_or_else(|| "-".to_owned(), &show));
    [name.to_owned(), with, without, ratio(both)]
}

fn count(count: f64) -> String {
    format!("{count:.0}")
}

/// `-` where there is nothing to divide by.
fn ratio([with, without]: [Option<f64>; 2]) -> String {
    match (with, without) {
        (Some(with), Some(without)) if without > 0.0 => format!("{:.2}", with / without),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_loads_stand_beside_each_other_with_their_ratio() {
        let with = Tally { in_time: 90, refused: 10, ran: [9, 27, 54], costs: [0.01, 0.02, 0.06], ..Tally::default() };
        let without = Tally { in_time: 30, refused: 70, ran: [9, 21, 0], ..Tally::default() };
        let rows = Comparison { with: &with, without: &without }.rows();
        for expected in [
            ["calls offered", "100", "100", "1.00"],
            ["answered in time", "90", "30", "3.00"],
            ["late", "0", "0", "-"],
            ["sniff p50", "-", "-", "-"],
            ["answered by cloud", "60 %", "0 %", "-"],
            ["cost per 1000 in time", "1.00 ct", "0 ct", "-"],
        ] {
            assert!(rows.contains(&expected.map(str::to_owned)), "{expected:?} is not in {rows:?}");
        }
        assert!(!rows.iter().any(|row| row[0] == "failed"), "nothing failed");
    }
}
