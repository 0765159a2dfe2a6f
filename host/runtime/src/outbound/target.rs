//! Where a request goes, and what it says of that on its way.

use std::fmt;

use http::header::{HOST, TE, TRAILER};
use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error};

/// Longer names than any resolver takes are cut where they are told of.
const HOST_SHOWN_MAX: usize = 253;

/// The origin that a request is for.
pub(super) struct Target {
    pub(super) tls: bool,
    /// Without the brackets of an address of IPv6.
    pub(super) host: String,
    pub(super) port: u16,
    authority: HeaderValue,
}

impl Target {
    pub(super) fn of(uri: &Uri) -> Result<Self, Error> {
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        // Users belong into `Authorization` (RFC 9110, section 4.2.4), and what comes before the `@` looks like a host.
        if authority.as_str().contains('@') {
            return Err(Error::HttpRequestUriInvalid);
        }
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // `host:` without a number, or with one that is too large.
            None if authority.as_str().len() > authority.host().len() => return Err(Error::HttpRequestUriInvalid),
            None if tls => 443,
            None => 80,
        };
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        let authority = HeaderValue::from_str(authority.as_str()).map_err(|_| Error::HttpRequestUriInvalid)?;
        Ok(Self { tls, host, port, authority })
    }

    /// Gives a request the head that it is to have on the wire: a path alone, one `Host`, and no field that is meant for a
    /// connection of somebody else or for Spillway.
    pub(super) fn address<B>(&self, request: &mut Request<B>, guest_may_set_host: bool) -> Result<(), Error> {
        if request.method() == Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        *request.uri_mut() = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;

        let headers = request.headers_mut();
        let mut hosts = headers.get_all(HOST).iter();
        let own = match (hosts.next().cloned(), hosts.next()) {
            (Some(host), None) if guest_may_set_host => Some(host),
            (_, Some(_)) => return Err(Error::HttpProtocolError),
            _ => None,
        };
        let kept = |name: &HeaderName| *name == HOST && own.is_some();
        let unwanted: Vec<HeaderName> =
            headers.keys().filter(|name| stays_behind(name) && !kept(name)).cloned().collect();
        for name in unwanted {
            headers.remove(name);
        }
        headers.entry(HOST).or_insert_with(|| self.authority.clone());
        Ok(())
    }
}

/// Fields of a connection (RFC 9110, section 7.6.1), which a guest may have copied from its caller, and our own.
fn stays_behind(name: &HeaderName) -> bool {
    DEFAULT_FORBIDDEN_HEADERS.contains(name) || [TE, TRAILER].contains(name) || name.as_str().starts_with("spillway-")
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "https://" } else { "http://" })?;
        // A URI has ASCII only, so that it can be cut anywhere.
        let host = self.host.get(..HOST_SHOWN_MAX).unwrap_or(&self.host);
        if host.contains(':') {
            write!(f, "[{host}]")?
        } else {
            f.write_str(host)?
        }
        if self.port != if self.tls { 443 } else { 80 } { write!(f, ":{}", self.port) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Result<Target, Error> {
        Target::of(&uri.parse().unwrap())
    }

    fn addressed(uri: &str, fields: &[(&str, &str)], may: bool) -> Result<Request<()>, Error> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        target(uri)?.address(&mut request, may)?;
        Ok(request)
    }

    #[test]
    fn an_origin_is_read_with_its_port_and_written_as_a_manifest_has_it() {
        for (uri, host, port, written) in [
            ("https://a.test/x", "a.test", 443, "https://a.test"),
            ("http://a.test", "a.test", 80, "http://a.test"),
            ("http://a.test:443/", "a.test", 443, "http://a.test:443"),
            ("https://[::1]:9000/", "::1", 9000, "https://[::1]:9000"),
        ] {
            let target = target(uri).unwrap_or_else(|error| panic!("{uri}: {error}"));
            assert_eq!((target.host.as_str(), target.port, target.to_string().as_str()), (host, port, written));
        }
        assert!(matches!(target("http://a.test@b.test/"), Err(Error::HttpRequestUriInvalid)));
        assert!(matches!(target("/x"), Err(Error::HttpRequestUriInvalid)));
    }

    #[test]
    fn the_head_on_the_wire_has_a_path_and_the_host_of_the_target() {
        let request = addressed(
            "http://a.test:8080/x?y=1",
            &[("te", "trailers"), ("connection", "x"), ("spillway-deadline-ms", "5"), ("x-own", "1")],
            false,
        )
        .unwrap();
        assert_eq!(request.uri().to_string(), "/x?y=1");
        let fields: Vec<_> = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(fields.len(), 2, "{fields:?}");
        assert!(fields.contains(&("x-own", &b"1"[..])) && fields.contains(&("host", &b"a.test:8080"[..])));
        assert_eq!(addressed("http://a.test", &[], false).unwrap().uri().to_string(), "/");
    }

    #[test]
    fn a_host_of_the_guests_own_needs_a_grant_and_is_one() {
        let own = [("host", "other.test")];
        assert_eq!(addressed("http://a.test/", &own, false).unwrap().headers()["host"], "a.test");
        assert_eq!(addressed("http://a.test/", &own, true).unwrap().headers()["host"], "other.test");
        let two = [("host", "other.test"), ("host", "third.test")];
        assert!(addressed("http://a.test/", &two, true).is_err());
    }
}
