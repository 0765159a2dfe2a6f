//! How to reach NATS.

use std::path::PathBuf;

use async_nats::{ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;
use spillway_types::ClusterName;

/// How to reach NATS, and what to ask of it.
#[derive(Clone)]
pub struct NatsConfig {
    /// Servers, `nats://HOST:PORT` or `tls://HOST:PORT`; user and password, or a token, may stand before the host as in
    /// any URL. Those of the first URL that has them are for all.
    pub urls: Vec<String>,
    /// Whose state it is: each cluster has buckets of its own.
    pub cluster: ClusterName,
    /// A file with a JWT and its seed, as `nsc` writes it.
    pub credentials: Option<PathBuf>,
    /// Certificates of authorities that may have signed the servers', beside those of the system.
    pub authorities: Vec<PathBuf>,
    /// Our certificate and its key, where the servers ask for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Where a server tells of itself, such as `http://127.0.0.1:8222`; without it, durability is unknown.
    pub monitoring_url: Option<String>,
    /// On how many servers to keep everything. It counts when a bucket is made.
    pub replicas: usize,
    /// The most bytes of entries. It counts when a bucket is made.
    pub state_bytes_max: u64,
    /// The most bytes of blobs. It counts when a bucket is made.
    pub blob_bytes_max: u64,
}

/// Why a connection cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub enum NatsConfigError {
    /// A URL is none of NATS.
    #[error("`{url}` is not a URL of NATS: {problem}; write nats://HOST:PORT or tls://HOST:PORT")]
    Url {
        /// It, without its password.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No server is named.
    #[error("no server of NATS is named; name one with --join nats://HOST:PORT")]
    NoUrl,
    /// A file of credentials or certificates cannot be used.
    #[error("{what} cannot be used: {problem}; check the file and who may read it")]
    Files {
        /// Which files.
        what: String,
        /// What is wrong with them.
        problem: String,
    },
}

impl NatsConfig {
    /// One server, one replica, nothing secret.
    pub fn new(url: impl Into<String>, cluster: ClusterName) -> Self {
        Self {
            urls: vec![url.into()],
            cluster,
            credentials: None,
            authorities: Vec::new(),
            certificate: None,
            monitoring_url: None,
            replicas: 1,
            // Statements take some KB each: room for tens of thousands of functions.
            state_bytes_max: 256 * 1024 * 1024,
            // The server sets this much of its disk aside in its books, and refuses the bucket if it has less.
            blob_bytes_max: 8 * 1024 * 1024 * 1024,
        }
    }

    /// The servers, without secrets.
    pub(super) fn servers(&self) -> Result<Vec<ServerAddr>, NatsConfigError> {
        if self.urls.is_empty() {
            return Err(NatsConfigError::NoUrl);
        }
        self.urls.iter().map(|url| server(url)).collect()
    }

    /// What to connect with.
    pub(super) async fn options(&self) -> Result<ConnectOptions, NatsConfigError> {
        let mut options = ConnectOptions::new();
        if let Some(path) = &self.credentials {
            options = options.credentials_file(path).await.map_err(|error| NatsConfigError::Files {
                what: format!("credentials {}", path.display()),
                problem: error.to_string(),
            })?;
        }
        for authority in &self.authorities {
            options = options.add_root_certificates(authority.clone());
        }
        if let Some((certificate, key)) = &self.certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        // The client ignores what a URL says before its host.
        for server in self.servers()? {
            let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            match (server.username(), server.password()) {
                (Some(user), Some(password)) => {
                    return Ok(options.user_and_password(decoded(user), decoded(password)));
                }
                (Some(token), None) => return Ok(options.token(decoded(token))),
                _ => {}
            }
        }
        Ok(options)
    }
}

fn server(url: &str) -> Result<ServerAddr, NatsConfigError> {
    let refuse = |problem: String| NatsConfigError::Url { url: without_secrets(url), problem };
    let server: ServerAddr = url.parse().map_err(|error: std::io::Error| refuse(error.to_string()))?;
    match server.scheme() {
        "nats" | "tls" => Ok(server),
        scheme => Err(refuse(format!("`{scheme}` is not supported"))),
    }
}

/// A URL without what stands before its host.
pub(super) fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> NatsConfig {
        NatsConfig::new(url, "acme".parse().unwrap())
    }

    #[test]
    fn a_url_that_is_none_of_nats_is_refused_without_its_password() {
        for url in ["ws://u:secret@h:1", "nats://u:secret@h:port", "http://u:secret@h"] {
            let error = config(url).servers().unwrap_err().to_string();
            assert!(error.contains("nats://HOST:PORT") && error.contains("h") && !error.contains("secret"), "{error}");
        }
        let none = NatsConfig { urls: Vec::new(), ..config("x") };
        assert!(none.servers().unwrap_err().to_string().contains("--join"));
    }

    #[tokio::test]
    async fn credentials_that_cannot_be_read_are_named() {
        let config = NatsConfig { credentials: Some("/nowhere/a.creds".into()), ..config("nats://h") };
        let error = config.options().await.unwrap_err().to_string();
        assert!(error.contains("/nowhere/a.creds"), "{error}");
    }
}
