//! `spillway caller new`: makes a token.

use std::time::{Duration, SystemTime};

use anyhow::ensure;
use clap::Args;
use spillway_trust::new_token;
use spillway_types::{Callable, Caller, CallerName, Digest, parse_duration};

use super::File;
use crate::args::Global;
use crate::output;

/// Make a token for a caller and print it, once; the file keeps its digest
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway caller new shop --functions 'shop/*'
  spillway caller new ada --functions hello --functions ocr --expires 720h
  TOKEN=$(spillway caller new ci --functions '*' --json | jq -r .token)")]
pub(crate) struct New {
    /// Name that functions see in `spillway-caller`
    name: CallerName,
    /// What may be called: `*`, NAMESPACE/*, NAMESPACE/NAME or NAME; may be given several times
    #[arg(long, required = true, value_delimiter = ',', value_name = "FUNCTION")]
    functions: Vec<Callable>,
    /// How long the token is good [default: until it is removed]
    #[arg(long, value_parser = parse_expiry, value_name = "DURATION")]
    expires: Option<Duration>,
    #[command(flatten)]
    file: File,
}

/// A duration; also in days, as people think of tokens.
fn parse_expiry(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('d').map(str::parse::<u32>) {
        Some(Ok(days)) => Ok(Duration::from_secs(u64::from(days) * 86_400)),
        _ => parse_duration(text).map_err(|error| format!("{error}, or `90d`")),
    }
}

impl New {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let mut callers = self.file.read_or_none()?;
        let name = self.name;
        ensure!(
            callers.callers.iter().all(|caller| caller.name != name),
            "{name} is in {} already; choose another name, or remove it first with `spillway caller rm {name}`",
            self.file.callers.display()
        );
        let token = new_token();
        let expires = self.expires.map(|expires| SystemTime::now() + expires);
        callers.callers.push(Caller {
            name: name.clone(),
            token: Digest::of(token.as_bytes()),
            functions: self.functions,
            expires,
        });
        self.file.write(&callers)?;
        if global.json {
            return output::json(&serde_json::json!({ "name": name, "token": *token, "callers": self.file.callers }));
        }
        output::line(format!("wrote {}; the token is shown this once:", self.file.callers.display()))?;
        Ok(output::line(&*token)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_last_for_days_or_less() {
        assert_eq!(parse_expiry("90d"), Ok(Duration::from_secs(7_776_000)));
        assert_eq!(parse_expiry("1h"), Ok(Duration::from_secs(3600)));
        assert!(parse_expiry("soon").unwrap_err().contains("90d"));
    }
}
