//! Load from `wrk`, a process of its own that takes little of a core.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

/// Connections at once, each with one request under way.
const CONNECTIONS: &str = "16";

/// What a load came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    pub(super) per_second: f64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

/// Calls a URL for some seconds, as fast as it answers, under another program or none.
///
/// # Errors
/// `wrk` is missing or failed, or an answer was an error.
pub(super) async fn load(under: &[&str], url: &str, seconds: u64) -> anyhow::Result<Load> {
    let duration = format!("{seconds}s");
    let wrk = ["wrk", "--threads", "1", "--connections", CONNECTIONS, "--latency", "--duration", &duration, url];
    let words = [under, &wrk].concat();
    let mut wrk = Command::new(words[0]);
    wrk.args(&words[1..]);
    let output = wrk.stdin(Stdio::null()).kill_on_drop(true).output().await.context("`wrk` does not start")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk failed at {url}: {text}{}", String::from_utf8_lossy(&output.stderr));
    read(&text).with_context(|| format!("{url}:\n{text}"))
}

fn read(text: &str) -> anyhow::Result<Load> {
    // Lines that are there only if something went wrong.
    for trouble in ["Non-2xx", "Socket errors"] {
        ensure!(!text.contains(trouble), "not all calls were answered");
    }
    let after = |word: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(word));
        line.map(str::trim).with_context(|| format!("wrk printed no line with {word}"))
    };
    let per_second = after("Requests/sec:")?.parse().context("requests per second are a number")?;
    Ok(Load { per_second, p50: duration(after("50%")?)?, p99: duration(after("99%")?)? })
}

/// A time as `wrk` writes it: `312.00us`, `1.52ms`, `1.01s`.
fn duration(text: &str) -> anyhow::Result<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => anyhow::bail!("`{text}` is not a time"),
    };
    Ok(Duration::from_secs_f64(number.parse::<f64>().with_context(|| format!("`{text}` is not a time"))? * scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by wrk 4.1.0.
    const PRINTED: &str = "\
Running 1s test @ http://127.0.0.1:4801/x/greet
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.90ms    1.11ms  17.51ms   83.10%
    Req/Sec     5.57k   512.33     6.41k    60.00%
  Latency Distribution
     50%    2.77ms
     75%    3.31ms
     90%  912.00us
     99%    7.52ms
  5542 requests in 1.00s, 644.15KB read
Requests/sec:   5541.34
Transfer/sec:    644.07KB
";

    #[test]
    fn what_wrk_prints_is_read_and_trouble_is_an_error() {
        let (p50, p99) = (Duration::from_micros(2770), Duration::from_micros(7520));
        assert_eq!(read(PRINTED).unwrap(), Load { per_second: 5541.34, p50, p99 });
        assert!(read(&format!("{PRINTED}  Non-2xx or 3xx responses: 3\n")).is_err());
        assert!(read("").is_err());
        assert_eq!(duration("912.00us").unwrap(), Duration::from_micros(912));
        assert!(duration("9 lightyears").is_err());
    }
}
