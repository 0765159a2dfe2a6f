//! Limits of a function and how people write them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one function may use. Defaults are those of a manifest that says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Linear memory of one sandbox, all its memories together.
    pub memory_bytes: u64,
    /// Bytes of host tensors that one sandbox may hold.
    pub tensor_bytes: u64,
    /// From the request's arrival to the end of the response's headers.
    #[serde(rename = "deadline_ms", with = "millis")]
    pub deadline: Duration,
    /// Request body. A longer one gets 413.
    pub body_bytes: u64,
    /// Invocations of the function that run at once on a node; further ones wait in its queue.
    pub concurrency: u32,
    /// Invocations that may wait; further ones get 503.
    pub queue: u32,
    /// Connections that its outbound requests may have at once on a node; further requests wait.
    // Left out where nobody set it, so that builds that do not know it read what others say.
    #[serde(skip_serializing_if = "is_usual")]
    pub connections: u32,
}

/// Unless the manifest says something else.
const CONNECTIONS: u32 = 64;

fn is_usual(connections: &u32) -> bool {
    *connections == CONNECTIONS
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 128 << 20,
            tensor_bytes: 256 << 20,
            deadline: Duration::from_secs(30),
            body_bytes: 16 << 20,
            concurrency: 256,
            queue: 1024,
            connections: CONNECTIONS,
        }
    }
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        u64::try_from(value.as_millis()).unwrap_or(u64::MAX).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// Reads a size such as `64MiB`, `1.5GiB`, `200kB` or `4096` (bytes).
///
/// # Errors
/// What is wrong with the text, and what to write.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 8] = [
        ("", 1),
        ("B", 1),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
    ];
    let wrong = || format!("`{text}` is not a size; write a number with B, kB, MB, GB, KiB, MiB or GiB, as in `64MiB`");
    scaled(text, |unit| UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale as f64))
        .map(|bytes| bytes as u64)
        .ok_or_else(wrong)
}

/// Reads a duration such as `250ms`, `10s`, `2m`.
///
/// # Errors
/// What is wrong with the text, and what to write.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write a number with ms, s, m or h, as in `10s`");
    scaled(text, |unit| match unit {
        "ms" => Some(1.0),
        "s" => Some(1_000.0),
        "m" => Some(60_000.0),
        "h" => Some(3_600_000.0),
        _ => None,
    })
    .map(|millis| Duration::from_millis(millis as u64))
    .ok_or_else(wrong)
}

/// Splits number and unit and multiplies; `None` for anything odd, negative or past 2^53.
fn scaled(text: &str, scale_of: impl Fn(&str) -> Option<f64>) -> Option<f64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..split].parse().ok()?;
    let value = (number * scale_of(text[split..].trim())?).round();
    (value.is_finite() && value < 9_007_199_254_740_992.0).then_some(value)
}

/// Writes a size with the largest binary unit that keeps one decimal readable, as in `3.1 MiB`.
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_as_people_write_them() {
        assert_eq!(parse_bytes("64MiB"), Ok(67_108_864));
        assert_eq!(parse_bytes("1.5 GiB"), Ok(1_610_612_736));
        assert_eq!(parse_bytes("200kB"), Ok(200_000));
        assert_eq!(parse_bytes("4096"), Ok(4096));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        for bad in ["", "MiB", "-1MiB", "1e9GiB", "64mb", "1.2.3s", "99999999999GiB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
        assert!(parse_duration("10").is_err());
    }

    #[test]
    fn bytes_are_written_with_binary_units() {
        assert_eq!(format_bytes(512), "512 B");
        assert_eq!(format_bytes(3 << 20), "3.0 MiB");
    }
}
