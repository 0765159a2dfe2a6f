//! Pressure stall information: the share of time in which work waited for a resource (Linux,
//! Documentation/accounting/psi.rst).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One file of `/proc/pressure`, or `cpu.pressure`, `memory.pressure`, `io.pressure` of a cgroup.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Psi {
    /// Time in which at least one task waited.
    pub some: Stall,
    /// Time in which all waited. Kernels before 5.13 don't tell it for the processor.
    pub full: Option<Stall>,
}

/// How much of the time went into waiting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// Share of the last 10 seconds, 0 to 1.
    pub avg10: f64,
    /// Share of the last minute, 0 to 1.
    pub avg60: f64,
    /// Share of the last five minutes, 0 to 1.
    pub avg300: f64,
    /// All waiting since the machine, or the cgroup, started.
    pub total: Duration,
}

/// Pressure of the last 10 seconds, as nodes tell each other: shares of time from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Time in which at least one task waited.
    pub some_ratio: f64,
    /// Time in which all waited; 0 where the kernel doesn't tell.
    pub full_ratio: f64,
}

/// A text that is no pressure stall information.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{line}` is no line of pressure stall information; expected `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`")]
pub struct ParsePsiError {
    line: String,
}

/// Reads a file of `/proc/pressure`. Lines and values that it doesn't know are passed over, as newer kernels may add some.
///
/// # Errors
///
/// If the line `some` is missing, or a line that it knows is not as expected.
pub fn parse_psi(text: &str) -> Result<Psi, ParsePsiError> {
    let find = |kind: &str| text.lines().find_map(|line| Some((line, line.strip_prefix(kind)?.strip_prefix(' ')?)));
    let parse = |(line, values)| parse_stall(values).ok_or_else(|| error(line));
    let some = find("some").ok_or_else(|| error(text.lines().next().unwrap_or_default()))?;
    Ok(Psi { some: parse(some)?, full: find("full").map(parse).transpose()? })
}

fn error(line: &str) -> ParsePsiError {
    ParsePsiError { line: line.chars().take(100).collect() }
}

fn parse_stall(values: &str) -> Option<Stall> {
    let find = |name: &str| values.split(' ').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let ratio = |name: &str| {
        let percent: f64 = find(name)?.parse().ok()?;
        (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
    };
    Some(Stall {
        avg10: ratio("avg10")?,
        avg60: ratio("avg60")?,
        avg300: ratio("avg300")?,
        total: Duration::from_micros(find("total")?.parse().ok()?),
    })
}

impl From<Psi> for Load {
    fn from(psi: Psi) -> Self {
        Self { some_ratio: psi.some.avg10, full_ratio: psi.full.map_or(0.0, |full| full.avg10) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux 6.18 writes it.
    const IO: &str = "some avg10=0.51 avg60=0.22 avg300=0.44 total=11745161\n\
                      full avg10=0.00 avg60=0.00 avg300=0.17 total=7535671\n";

    #[test]
    fn the_text_of_a_kernel_is_read() {
        let psi = parse_psi(IO).unwrap();
        let some = [psi.some.avg10, psi.some.avg60, psi.some.avg300];
        for (found, expected) in
            some.into_iter().chain([psi.full.unwrap().avg300]).zip([0.0051, 0.0022, 0.0044, 0.0017])
        {
            // Percentages are decimal.
            assert!((found - expected).abs() < 1e-12, "{found}");
        }
        assert_eq!(psi.some.total, Duration::from_micros(11_745_161));
        assert_eq!(Load::from(psi), Load { some_ratio: psi.some.avg10, full_ratio: 0.0 });
    }

    #[test]
    fn the_line_full_may_be_missing_and_others_may_come() {
        let some = IO.lines().next().unwrap();
        assert_eq!(parse_psi(some).unwrap().full, None);
        let newer = format!("most avg10=1\n{some} avg900=0.10\n");
        assert_eq!(parse_psi(&newer).unwrap().some, parse_psi(IO).unwrap().some);
    }

    #[test]
    fn what_is_no_pressure_is_refused_and_quoted() {
        for (bad, quoted) in [
            ("", "``"),
            ("sometimes avg10=1", "`sometimes avg10=1`"),
            ("some avg10=0.51 avg60=0.22 avg300=0.44", "`some avg10=0.51 avg60=0.22 avg300=0.44`"),
            ("some avg10=x avg60=0.22 avg300=0.44 total=1", "`some avg10=x"),
            ("some avg10=NaN avg60=0.22 avg300=0.44 total=1", "`some avg10=NaN"),
            ("some avg10=101 avg60=0.22 avg300=0.44 total=1", "`some avg10=101"),
            ("some avg10=1 avg60=1 avg300=1 total=1\nfull avg10", "`full avg10`"),
        ] {
            let error = parse_psi(bad).unwrap_err().to_string();
            assert!(error.starts_with(quoted), "{bad}: {error}");
        }
    }
}
