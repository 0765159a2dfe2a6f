//! Runs programs.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::ProgressBar;
use tokio::process::Command;

/// Says what is done.
pub(crate) fn say(what: &str, text: impl std::fmt::Display) {
    eprintln!("{what:>12}  {text}");
}

/// Runs a program that says nothing of its own while it works; its output is shown if it fails.
///
/// # Errors
/// It does not start, fails, or takes longer than `limit`.
pub(crate) async fn quietly(what: &str, text: &str, command: &mut Command, limit: Duration) -> anyhow::Result<String> {
    say(what, text);
    let spinner = ProgressBar::new_spinner().with_message(text.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(100));
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(limit, output).await;
    spinner.finish_and_clear();
    let shown = shown(command);
    let output = output
        .with_context(|| format!("`{shown}` took longer than {} s", limit.as_secs()))?
        .with_context(|| format!("`{shown}` does not start"))?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(output.status.success(), "`{shown}` failed ({}):\n{}", output.status, text.trim_end());
    Ok(text)
}

/// Runs a program that shows its own progress, such as Cargo.
///
/// # Errors
/// It does not start or fails.
pub(crate) async fn openly(what: &str, text: &str, command: &mut Command) -> anyhow::Result<()> {
    say(what, text);
    let shown = shown(command);
    let status = command.stdin(Stdio::null()).status().await.with_context(|| format!("`{shown}` does not start"))?;
    anyhow::ensure!(status.success(), "`{shown}` failed ({status})");
    Ok(())
}

/// What a program prints if it succeeds; for looking around.
pub(crate) async fn ask(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().await.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn shown(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_shows_the_command_and_what_it_printed() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo trouble >&2; exit 3"]);
        let error = quietly("test", "fail", &mut command, Duration::from_secs(10)).await.unwrap_err().to_string();
        assert!(error.contains("sh -c") && error.contains("trouble"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended_at_its_limit() {
        let mut command = Command::new("sh");
        command.args(["-c", "exec sleep 600"]);
        let error = quietly("test", "hang", &mut command, Duration::from_millis(50)).await.unwrap_err().to_string();
        assert!(error.contains("took longer"), "{error}");
    }
}
