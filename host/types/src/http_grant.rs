//! Where a function may send HTTP requests: origins that its manifest grants, and addresses that nobody reaches by name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An origin that a manifest grants: `https://api.example.com`, `http://10.0.0.7:9000` or `https://*.example.org`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpGrant {
    tls: bool,
    /// Lower case; an address of IPv6 without its brackets.
    host: String,
    /// Any name below `host`, and not `host` itself.
    below: bool,
    port: u16,
}

impl HttpGrant {
    /// Whether a request to this origin is granted. `host` is that of the URI, with brackets or without.
    pub fn covers(&self, tls: bool, host: &str, port: u16) -> bool {
        if (self.tls, self.port) != (tls, port) {
            return false;
        }
        let host = normal(host);
        if !self.below {
            return host == self.host;
        }
        // The dot belongs to the match, lest `*.example.org` covers `badexample.org`.
        host.strip_suffix(&self.host).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
    }

    /// Whether the grant names one host. A wildcard says too little to open the way into a private network.
    pub fn is_exact(&self) -> bool {
        !self.below
    }

    /// The address that it names, if it names one and not a host to be looked up.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

fn normal(host: &str) -> String {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<Ipv6Addr>() {
        Ok(address) => address.to_string(),
        Err(_) => bare.to_ascii_lowercase(),
    }
}

impl FromStr for HttpGrant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("`{text}` is not an origin: {what}; write one like `https://api.example.com`");
        let (tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(wrong("it does not start with `https://` or `http://`")),
        };
        if rest.contains(['/', '?', '#', '@']) {
            return Err(wrong("it has more than scheme, host and port"));
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let port = match port {
            None if tls => 443,
            None => 80,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().ok().filter(|port| *port > 0).ok_or_else(|| wrong("its port is not 1 to 65535"))?
            }
            Some(_) => return Err(wrong("its port is not 1 to 65535")),
        };
        let (below, host) = match host.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, host),
        };
        let host = match host.strip_prefix('[') {
            Some(inner) => {
                let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
                address.ok_or_else(|| wrong("its host is not an address of IPv6"))?.to_string()
            }
            None if is_name(host) => host.to_ascii_lowercase(),
            None => return Err(wrong("its host is neither a name nor an address")),
        };
        if below && (!host.contains('.') || host.parse::<IpAddr>().is_ok()) {
            return Err(wrong("`*.` needs a name of at least two parts behind it"));
        }
        Ok(Self { tls, host, below, port })
    }
}

fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "https://" } else { "http://" })?;
        f.write_str(if self.below { "*." } else { "" })?;
        match self.host.parse::<Ipv6Addr>() {
            Ok(address) => write!(f, "[{address}]")?,
            Err(_) => f.write_str(&self.host)?,
        }
        if self.port != if self.tls { 443 } else { 80 } {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

/// Whether an address is one of the public internet. All that is not known to be is taken as not: the registries of
/// special-purpose addresses (RFC 6890) grow, and the operator can open what he needs.
///
/// Addresses of IPv6 that carry one of IPv4 (mapped, NAT64, 6to4) are judged by what they carry.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)            // this network, RFC 1918, loopback
            | (100, 64..=127, _)        // carriers, RFC 6598
            | (169, 254, _)             // link-local, clouds' metadata
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)           // IETF protocols, documentation
            | (192, 88, 99)             // relays of 6to4
            | (198, 18 | 19, _)         // benchmarks
            | (198, 51, 100)
            | (203, 0, 113)
            | (224..=255, _, _) // multicast, reserved, broadcast
    );
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    let carried = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        // NAT64 (RFC 6052); its local-use prefix 64:ff9b:1::/48 falls to the last arm.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(carried(high, low)),
        [0x2002, high, low, ..] => is_public_v4(carried(high, low)),
        // IETF protocols with Teredo in them, documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // Global unicast is 2000::/3 and nothing else.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(text: &str) -> HttpGrant {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_grant_covers_its_own_scheme_host_and_port_alone() {
        let api = grant("https://API.example.com");
        assert!(api.covers(true, "api.Example.com", 443));
        for (tls, host, port) in [
            (false, "api.example.com", 443),
            (true, "api.example.com", 8443),
            (true, "example.com", 443),
            (true, "api.example.com.evil.test", 443),
            (true, "api.example.com.", 443),
        ] {
            assert!(!api.covers(tls, host, port), "{tls} {host} {port}");
        }
        assert!(grant("http://[0:0::1]:9000").covers(false, "[::1]", 9000));
    }

    #[test]
    fn a_wildcard_covers_names_below_and_not_names_that_end_alike() {
        let below = grant("https://*.example.org");
        assert!(below.covers(true, "a.example.org", 443) && below.covers(true, "a.b.example.org", 443));
        for host in ["example.org", ".example.org", "badexample.org", "a.example.org.test"] {
            assert!(!below.covers(true, host, 443), "{host}");
        }
        assert!(!below.is_exact() && grant("https://a.example.org").is_exact());
    }

    #[test]
    fn grants_are_written_as_they_are_read() {
        for text in ["https://api.example.com", "http://10.0.0.7:9000", "https://*.example.org:8443", "http://[::1]"] {
            assert_eq!(grant(text).to_string(), text);
        }
        assert_eq!(grant("https://a.test:443").to_string(), "https://a.test");
    }

    #[test]
    fn what_is_no_origin_is_refused_with_an_example() {
        for text in [
            "api.example.com",
            "ftp://a.test",
            "https://",
            "https://a.test/path",
            "https://user@a.test",
            "https://a.test:0",
            "https://a.test:+80",
            "https://a.test:",
            "https://*",
            "https://*.org",
            "https://*.10.0.0.1",
            "https://a..test",
            "https://[::1",
            "https://::1",
        ] {
            let error = text.parse::<HttpGrant>().expect_err(text);
            assert!(error.contains("https://api.example.com"), "{error}");
        }
    }

    #[test]
    fn addresses_off_the_public_internet_are_known_in_all_their_forms() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::808:808",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
