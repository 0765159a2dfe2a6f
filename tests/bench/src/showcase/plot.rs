//! The plot: what was offered, what was answered in time, and where.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::ramp::Ramp;
use super::stage::NODES;
use super::tally::{Outcome, Record};

/// Calls are counted over half a step: long enough for a few, short enough to see what happens within one.
const PARTS_PER_STEP: usize = 2;

const SIZE: (u32, u32) = (960, 540);
const FONT: &str = "sans-serif";
/// The palette of Okabe and Ito, which people who see few colours can tell apart (Color Universal Design, 2008).
const OF_NODES: [RGBColor; NODES.len()] = [RGBColor(230, 159, 0), RGBColor(86, 180, 233), RGBColor(0, 114, 178)];
const WITHOUT: RGBColor = RGBColor(213, 94, 0);
const TEXT: RGBColor = RGBColor(51, 51, 51);
const GRID: RGBColor = RGBColor(225, 225, 225);

/// Calls per second, by when they were due.
struct Rates {
    part: Duration,
    counts: Vec<usize>,
}

impl Rates {
    fn of(ramp: Ramp, records: &[Record], which: impl Fn(&Record) -> bool) -> Self {
        let part = ramp.step() / PARTS_PER_STEP as u32;
        let mut counts = vec![0; Ramp::steps() * PARTS_PER_STEP];
        for record in records.iter().filter(|record| which(record)) {
            let number = (record.due.as_secs_f64() / part.as_secs_f64()) as usize;
            counts[number.min(Ramp::steps() * PARTS_PER_STEP - 1)] += 1;
        }
        Self { part, counts }
    }

    /// Corners of a line that is level within each part.
    fn corners(&self) -> impl Iterator<Item = (f64, f64)> {
        let part = self.part.as_secs_f64();
        self.counts.iter().enumerate().flat_map(move |(number, count)| {
            let rate = *count as f64 / part;
            [(number as f64 * part, rate), ((number + 1) as f64 * part, rate)]
        })
    }
}

/// Draws it as SVG.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn draw(file: &Path, ramp: Ramp, with: &[Record], without: &[Record]) -> anyhow::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    chart(&area, ramp, with, without).map_err(|error| anyhow::anyhow!("the plot cannot be drawn: {error}"))?;
    drop(area);
    std::fs::write(file, svg).with_context(|| format!("{} cannot be written", file.display()))
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn chart<'a>(area: &DrawingArea<SVGBackend<'a>, Shift>, ramp: Ramp, with: &[Record], without: &[Record]) -> Drawn<'a> {
    area.fill(&WHITE)?;
    let highest = (0..Ramp::steps()).map(|step| ramp.rate(step)).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption("Answers in time, by the node that ran them", (FONT, 22).into_font().color(&TEXT))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..ramp.length().as_secs_f64(), 0.0..highest * 1.1)?;
    chart
        .configure_mesh()
        .x_desc("time (s)")
        .y_desc("calls per second")
        .x_label_formatter(&|time| format!("{time:.0}"))
        .y_label_formatter(&|rate| format!("{rate:.0}"))
        .label_style((FONT, 15).into_font().color(&TEXT))
        .axis_desc_style((FONT, 16).into_font().color(&TEXT))
        .axis_style(TEXT)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .draw()?;
    // From the top of the stack down, each over the one before.
    for node in (0..NODES.len()).rev() {
        let is_here = |record: &Record| record.ran_on.is_some_and(|ran_on| ran_on <= node);
        let rates = Rates::of(ramp, with, |record| record.outcome == Outcome::InTime && is_here(record));
        let color = OF_NODES[node];
        chart
            .draw_series(AreaSeries::new(rates.corners(), 0.0, color.filled()))?
            .label(format!("with spilling, on {}", NODES[node].name))
            .legend(move |(x, y)| Rectangle::new([(x, y - 7), (x + 24, y + 7)], color.filled()));
    }
    let without = Rates::of(ramp, without, |record| record.outcome == Outcome::InTime);
    for (rates, color, label) in
        [(without, WITHOUT, "without spilling"), (Rates::of(ramp, with, |_| true), BLACK, "offered")]
    {
        let style = color.stroke_width(3);
        chart
            .draw_series(LineSeries::new(rates.corners(), style))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .margin(12)
        .legend_area_size(34)
        .label_font((FONT, 15).into_font().color(&TEXT))
        .background_style(WHITE.mix(0.85))
        .draw()?;
    area.present()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::showcase::mix::Function;

    #[test]
    fn calls_are_counted_when_they_were_due() {
        let ramp = Ramp::new(1.0, Duration::from_secs(24));
        let record = |due: u64| Record {
            function: Function::Sniff,
            due: Duration::from_millis(due),
            took: Duration::from_secs(9),
            outcome: Outcome::InTime,
            ran_on: Some(0),
            cost: 0.0,
        };
        let rates = Rates::of(ramp, &[record(0), record(999), record(1000), record(23_999)], |_| true);
        assert_eq!((&rates.counts[..3], rates.counts[23]), (&[2, 1, 0][..], 1));
        let corners: Vec<_> = rates.corners().take(3).collect();
        assert_eq!(corners, [(0.0, 2.0), (1.0, 2.0), (1.0, 1.0)]);
    }
}
