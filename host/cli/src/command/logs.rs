//! `spillway logs`: what a function wrote, and how its invocations ended.

use clap::Args;
use reqwest::Method;
use spillway_types::api::LogRecord;

use crate::args::{Function, Global};
use crate::client::Client;
use crate::output;

/// Show a function's log: what it wrote, and how each invocation ended
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway logs hello
  spillway logs hello -n 20 -f
  spillway logs hello --json | jq 'select(.outcome == \"trap\")'")]
pub(crate) struct Logs {
    #[command(flatten)]
    function: Function,
    /// Show the last N records
    #[arg(long, short = 'n', default_value_t = 100, value_name = "N")]
    tail: u64,
    /// Go on with new records until Ctrl-C
    #[arg(long, short)]
    follow: bool,
}

impl Logs {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let mut request = client.function(Method::GET, &self.function.id, &["logs"]).build()?;
        request.url_mut().query_pairs_mut().append_pair("tail", &self.tail.to_string());
        if self.follow {
            request.url_mut().query_pairs_mut().append_pair("follow", "true");
        }
        let mut response = client.send_built(request).await?;
        // A chunk may end within a line, and within a character.
        let mut pending = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            pending.extend_from_slice(&chunk);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                let text = String::from_utf8_lossy(&line[..end]);
                let text = if global.json { text.into_owned() } else { readable(&text) };
                if !output::line_while_read(text)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// One record as a line for people; a line that is no record stays as it is.
fn readable(line: &str) -> String {
    let Ok(record) = serde_json::from_str::<LogRecord>(line) else { return line.to_owned() };
    let mut out = format!("{} {:8} r{} ", record.time, record.level, record.revision);
    if let Some(invocation) = &record.invocation {
        out += &format!("[{invocation}] ");
    }
    out += &record.message;
    let end = [
        record.outcome.map(|outcome| outcome.as_str().to_owned()),
        record.status.map(|status| status.to_string()),
        record.seconds.map(output::seconds),
    ];
    let end: Vec<String> = end.into_iter().flatten().collect();
    if !end.is_empty() {
        out += &format!(" ({})", end.join(", "));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_invocation_reads_as_one_line() {
        let line = r#"{"time":"2026-01-02T03:04:05.678Z","level":"info","function":"default/hello","revision":2,
            "invocation":"i1","outcome":"answered","status":200,"seconds":0.0123,"message":"GET /hello"}"#;
        assert_eq!(readable(line), "2026-01-02T03:04:05.678Z info     r2 [i1] GET /hello (answered, 200, 12.3 ms)");
        assert_eq!(readable("plain"), "plain");
    }
}
