//! Options about callers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use spillway_types::{Auth, parse_duration};

/// Who may call, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Callers")]
pub(super) struct Callers {
    /// Certificate chain in PEM: --listen speaks HTTPS; read again when it changes
    #[arg(long, env = "SPILLWAY_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub(super) tls_cert: Option<PathBuf>,
    /// Key of the certificate in PEM, which others may not read
    #[arg(long, env = "SPILLWAY_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_key: Option<PathBuf>,
    /// File of callers and their tokens, as `spillway caller new` writes it; read again when it changes
    #[arg(long, env = "SPILLWAY_CALLERS", value_name = "FILE")]
    pub(super) callers: Option<PathBuf>,
    /// Who may call routes whose manifest does not say it [default: none on loopback; must be said elsewhere]
    #[arg(long, env = "SPILLWAY_AUTH", value_name = "none|token")]
    pub(super) auth: Option<Auth>,
    /// How long a caller may neither send what is awaited nor take what is sent
    #[arg(
        long,
        env = "SPILLWAY_STALL_TIMEOUT",
        default_value = "30s",
        value_parser = parse_duration,
        value_name = "DURATION"
    )]
    pub(super) stall_timeout: Duration,
}

impl Callers {
    /// Who may call where a manifest does not say it.
    ///
    /// # Errors
    /// Anybody could, from other machines, and nobody has said so; or nobody could.
    pub(super) fn auth(&self, listen: SocketAddr) -> Result<Auth, String> {
        match (self.auth, &self.callers) {
            (Some(Auth::Token), None) => {
                Err("--auth token needs the callers' tokens; name their file with --callers".to_owned())
            }
            (Some(auth), _) => Ok(auth),
            (None, _) if listen.ip().is_loopback() => Ok(Auth::None),
            (None, Some(_)) => Ok(Auth::Token),
            (None, None) => Err(format!(
                "functions on {listen} can be called from other machines; say who may: --callers FILE with tokens \
                 (`spillway caller new` makes them), or --auth none for anybody"
            )),
        }
    }
}
