//! `spillway ca show`: says what certificates say.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use spillway_trust::{Certificate, read_bounded};

use super::date;
use crate::args::Global;
use crate::output;

/// The files of certificates that a folder of `ca init` or `ca issue` may have.
const FILES: [&str; 2] = ["node.crt", "ca.crt"];

/// Say of certificates whose they are, until when they hold and who issued them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway ca show box-1
  spillway ca show box-1/node.crt --json")]
pub(crate) struct Show {
    /// A file of certificates, or a folder that `ca init` or `ca issue` has filled
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
}

impl Show {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let mut found = Vec::new();
        for file in files(self.path)? {
            let certificates =
                Certificate::from_pem(&read_bounded(&file)?).with_context(|| file.display().to_string())?;
            found.extend(certificates.into_iter().map(|certificate| (file.clone(), certificate)));
        }
        if global.json {
            let all: Vec<Value> = found.iter().map(|(file, certificate)| as_json(file, certificate)).collect();
            return output::json(&all);
        }
        let all: Vec<String> = found.iter().map(|(file, certificate)| as_text(file, certificate)).collect();
        Ok(output::line(all.join("\n\n"))?)
    }
}

fn files(path: PathBuf) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path]);
    }
    let files: Vec<PathBuf> = FILES.iter().map(|name| path.join(name)).filter(|file| file.exists()).collect();
    anyhow::ensure!(!files.is_empty(), "{} has neither {}; name a file", path.display(), FILES.join(" nor "));
    Ok(files)
}

/// The node's identity, the authority's cluster, or what else the certificate is for.
fn whose(certificate: &Certificate) -> String {
    match (certificate.authority_of(), certificate.identity()) {
        (Some(cluster), _) => format!("the authority of {cluster}"),
        (None, Ok(identity)) => identity.to_string(),
        (None, Err(_)) => format!("{}, which is neither a node nor a cluster's authority", certificate.subject),
    }
}

/// Whether it holds now.
fn state(certificate: &Certificate) -> &'static str {
    match SystemTime::now() {
        now if now < certificate.not_before => "not yet valid",
        now if now > certificate.not_after => "expired",
        _ => "valid",
    }
}

fn names(certificate: &Certificate) -> Vec<String> {
    let addresses = certificate.addresses.iter().map(ToString::to_string);
    certificate.dns_names.iter().cloned().chain(addresses).collect()
}

fn as_text(file: &Path, certificate: &Certificate) -> String {
    let mut fields = vec![
        ("file", file.display().to_string()),
        ("who", whose(certificate)),
        ("until", format!("{} ({})", date(certificate.not_after), state(certificate))),
        ("from", date(certificate.not_before)),
        ("by", certificate.issuer.clone()),
    ];
    if !names(certificate).is_empty() {
        fields.push(("names", names(certificate).join("\n")));
    }
    output::fields(&fields)
}

fn as_json(file: &Path, certificate: &Certificate) -> Value {
    json!({
        "file": file,
        "identity": certificate.identity().ok().map(|identity| identity.to_string()),
        "authority_of": certificate.authority_of(),
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "not_before": date(certificate.not_before),
        "not_after": date(certificate.not_after),
        "state": state(certificate),
        "names": names(certificate),
    })
}
