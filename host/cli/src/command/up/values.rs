//! How values of options are written.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use spillway_types::parse_duration;

/// How long something may be idle; `None` for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Idle(pub(super) Option<Duration>);

pub(super) fn parse_idle(text: &str) -> Result<Idle, String> {
    if matches!(text, "never" | "0") {
        return Ok(Idle(None));
    }
    let idle = parse_duration(text).map_err(|error| format!("{error}, or `never`"))?;
    Ok(Idle(Some(idle).filter(|idle| !idle.is_zero())))
}

/// An address to listen on; `localhost` as people write it.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    numeric.parse().map_err(|_| format!("`{text}` is not an address; write IP address and port, as in 127.0.0.1:3000"))
}

/// A network, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let one = text.parse::<IpAddr>().map(IpNet::from);
    one.or_else(|_| text.parse())
        .map_err(|_| format!("`{text}` is neither a network nor an address; write one like 10.0.0.0/8 or 127.0.0.1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_idle_after_a_duration_or_never() {
        assert_eq!(parse_idle("90s"), Ok(Idle(Some(Duration::from_secs(90)))));
        for never in ["never", "0", "0s"] {
            assert_eq!(parse_idle(never), Ok(Idle(None)));
        }
        assert!(parse_idle("soon").unwrap_err().contains("`never`"));
    }
}
