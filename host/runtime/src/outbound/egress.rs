//! What the node lets out, whatever its functions' manifests grant.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use ipnet::IpNet;
use rustls::{ClientConfig, RootCertStore};
use spillway_types::is_public;
use tokio::sync::OnceCell;
use wasmtime_wasi_http::Error;

/// What the operator says of outbound requests.
#[derive(Clone, Debug, Default)]
pub struct EgressConfig {
    /// Addresses off the public internet that functions may reach if their manifests name them.
    pub private: Vec<IpNet>,
    /// Where the node itself listens: no function ever reaches that.
    pub listeners: Vec<SocketAddr>,
}

/// What all outbound requests of a node share.
pub(crate) struct Egress {
    config: EgressConfig,
    tls: OnceCell<Arc<ClientConfig>>,
}

impl Egress {
    pub(crate) fn new(config: EgressConfig) -> Self {
        Self { config, tls: OnceCell::new() }
    }

    /// Whether a function may connect to `to`. `may_be_private` is what its manifest says.
    pub(super) fn permits(&self, to: SocketAddr, may_be_private: bool) -> bool {
        // One address has two forms, and the operator has written one of them.
        let ip = to.ip().to_canonical();
        if ip.is_unspecified() || ip.is_multicast() || self.is_own(ip, to.port()) {
            return false;
        }
        is_public(ip) || (may_be_private && self.config.private.iter().any(|network| network.contains(&ip)))
    }

    /// Whether the node listens there. A listener for all addresses listens on each of this machine's.
    fn is_own(&self, ip: IpAddr, port: u16) -> bool {
        self.config.listeners.iter().any(|own| own.port() == port) && is_of_this_machine(ip)
    }

    /// Whom `https` trusts: what the machine does. Read at the first request, since most nodes never need it.
    pub(super) async fn tls(&self) -> Result<Arc<ClientConfig>, Error> {
        let config = self.tls.get_or_try_init(|| async {
            let made = tokio::task::spawn_blocking(trusting_the_machine).await;
            made.map_err(|panic| format!("they cannot be read: {panic}")).and_then(|made| made).map(Arc::new)
        });
        config.await.cloned().map_err(|error| {
            tracing::error!(%error, "functions cannot send requests by https; install your system's ca-certificates, or name a file with SSL_CERT_FILE");
            Error::ConfigurationError
        })
    }
}

/// Only addresses of this machine can be bound to; any port will do. Where the kernel says nothing clear, it may be one.
fn is_of_this_machine(ip: IpAddr) -> bool {
    let elsewhere = |error: io::Error| error.kind() == io::ErrorKind::AddrNotAvailable;
    ip.is_loopback() || !UdpSocket::bind((ip, 0)).is_err_and(elsewhere)
}

fn trusting_the_machine() -> Result<ClientConfig, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // One that is damaged or of a kind that rustls does not take is no reason to trust none.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        return Err(format!("the machine has no root certificates{why}"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(private: &[&str], listeners: &[&str]) -> Egress {
        let private = private.iter().map(|text| text.parse().unwrap()).collect();
        let listeners = listeners.iter().map(|text| text.parse().unwrap()).collect();
        Egress::new(EgressConfig { private, listeners })
    }

    fn permits(egress: &Egress, to: &str, may_be_private: bool) -> bool {
        egress.permits(to.parse().unwrap(), may_be_private)
    }

    #[test]
    fn private_addresses_need_both_the_manifest_and_the_operator() {
        let closed = egress(&[], &[]);
        let open = egress(&["10.0.0.0/8", "fd00::/8"], &[]);
        for (to, both) in [
            ("10.0.0.7:80", true),
            ("[::ffff:10.0.0.7]:80", true),
            ("[fd00::7]:80", true),
            ("192.168.0.7:80", false),
            ("[::ffff:192.168.0.7]:80", false),
            ("169.254.169.254:80", false),
            ("[64:ff9b::10.0.0.7]:80", false),
        ] {
            assert!(!permits(&closed, to, true) && !permits(&open, to, false), "{to}");
            assert_eq!(permits(&open, to, true), both, "{to}");
        }
        assert!(permits(&closed, "1.1.1.1:443", false));
    }

    #[test]
    fn what_is_no_destination_and_the_nodes_own_ports_stay_closed() {
        let all = egress(&["0.0.0.0/0", "::/0"], &["127.0.0.1:3000", "0.0.0.0:3001"]);
        for to in [
            "0.0.0.0:80",
            "[::]:80",
            "224.0.0.1:80",
            "[ff02::1]:80",
            "127.0.0.1:3000",
            "127.0.0.2:3001",
            "[::1]:3001",
            "[::ffff:127.0.0.1]:3000",
        ] {
            assert!(!permits(&all, to, true), "{to}");
        }
        assert!(permits(&all, "127.0.0.1:3002", true));
        // Another machine's port of the same number.
        assert!(permits(&all, "192.0.2.1:3000", true));
    }
}
