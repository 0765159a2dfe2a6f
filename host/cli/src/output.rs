//! What goes to stdout: text for people, JSON for programs.

use std::io::{self, ErrorKind, Write as _};

use comfy_table::{ContentArrangement, Table, TableStyle};
use serde::Serialize;

/// Writes text and a line end to stdout. A reader that hung up, as `head` does, is no error.
pub(crate) fn line(text: impl std::fmt::Display) -> io::Result<()> {
    line_while_read(text).map(|_| ())
}

/// As `line`, for streams without an end: false if the reader hung up.
pub(crate) fn line_while_read(text: impl std::fmt::Display) -> io::Result<bool> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}

/// Writes a value as JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(line(serde_json::to_string_pretty(value)?)?)
}

/// A table without lines, in columns that fit the terminal.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.to_vec());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Writes `name: value` lines with the values below one another.
pub(crate) fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = fields.iter().map(|(name, value)| {
        // Further lines of a value start below its first.
        let value = value.replace('\n', &format!("\n{:width$}  ", ""));
        format!("{name:width$}  {value}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A duration as people write it.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 0.001 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s => format!("{:.0} min", s / 60.0),
    }
}

/// A route with its methods.
pub(crate) fn route(route: &spillway_types::Route) -> String {
    match route.methods.as_slice() {
        [] => route.pattern.to_string(),
        methods => format!("{} {}", methods.join(","), route.pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_in_the_unit_that_fits() {
        for (value, text) in [(0.000_25, "250 µs"), (0.0123, "12.3 ms"), (1.0, "1.0 s"), (180.0, "3 min")] {
            assert_eq!(seconds(value), text);
        }
    }

    #[test]
    fn fields_stand_below_one_another() {
        assert_eq!(fields(&[("a", "1\n2".to_owned()), ("long", "3".to_owned())]), "a     1\n      2\nlong  3");
    }
}
