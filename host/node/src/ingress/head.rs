//! What a request's head must be before anything is done for it: one host, one framing, no more than a node takes.
//!
//! The server below has refused what is no HTTP. This is about heads that are, and that two readers may understand
//! differently, or that ask for what no node does.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Empty};
use spillway_runtime::Body;
use spillway_types::{Problem, ProblemType};

use super::respond::problem_response;

/// Longest path and query, in bytes.
const TARGET_BYTES_MAX: usize = 8 << 10;
/// Names and values of all fields together, in bytes; the server takes 100 fields.
pub(super) const FIELDS_BYTES_MAX: usize = 32 << 10;
/// What a node may take at some path, for who asks of none (`OPTIONS *`).
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// What the node answers by itself to a request, by its head.
///
/// # Errors
/// Which part of the head cannot be taken.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Problem> {
    let refuse = |kind, detail: String| Err(Problem::new(kind, detail));
    let (headers, uri) = (request.headers(), request.uri());
    let target_bytes = uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target_bytes > TARGET_BYTES_MAX {
        let detail = format!(
            "path and query have {target_bytes} bytes; {TARGET_BYTES_MAX} are the most, put data into the body"
        );
        return refuse(ProblemType::TargetTooLong, detail);
    }
    let fields_bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if fields_bytes > FIELDS_BYTES_MAX {
        let detail = format!("the header fields have {fields_bytes} bytes; {FIELDS_BYTES_MAX} are the most");
        return refuse(ProblemType::FieldsTooLarge, detail);
    }
    if request.method() == Method::CONNECT {
        return refuse(
            ProblemType::NotImplemented,
            "this is no proxy; send the request to the function itself".to_owned(),
        );
    }
    if uri.path() == "*" && request.method() != Method::OPTIONS {
        return refuse(ProblemType::BadRequest, "`*` is a target for OPTIONS alone; write a path".to_owned());
    }
    host(request).or_else(|detail| refuse(ProblemType::BadRequest, detail))?;
    coding(headers).or_else(|detail| refuse(ProblemType::NotImplemented, detail))?;
    match headers.get(header::EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            refuse(ProblemType::ExpectationFailed, "`expect` may be `100-continue` or nothing".to_owned())
        }
        _ => Ok(()),
    }
}

/// One host, and the same wherever the request names it (RFC 9112, section 3.2; RFC 9113, section 8.3.1).
fn host<B>(request: &Request<B>) -> Result<(), String> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return Err("there are several `host` fields; send one".to_owned());
    }
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    match (host.map(HeaderValue::as_bytes), authority) {
        (Some(host), _) if host.iter().any(|byte| matches!(byte, b'@' | b',' | b'/' | b'?' | b'#' | b' ' | 128..)) => {
            Err("`host` is no host; write name and port alone".to_owned())
        }
        (_, Some(authority)) if authority.contains('@') => {
            Err("the target names a user; write host and port alone".to_owned())
        }
        (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority.as_bytes()) => {
            Err(format!("`host` is another than the target's, which is {authority}; send one of them"))
        }
        (None, _) if request.version() == Version::HTTP_11 => Err("there is no `host` field; send one".to_owned()),
        _ => Ok(()),
    }
}

/// `chunked` alone: of other codings nobody could say where the body ends who does not know them.
fn coding(headers: &HeaderMap) -> Result<(), String> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err("`transfer-encoding` may be `chunked` alone; name other codings in `content-encoding`".to_owned()),
    }
}

/// The answer to a head that cannot be taken: nothing more is read from that connection.
pub(super) fn refused(problem: &Problem, version: Version) -> Response<Body> {
    let mut response = problem_response(problem);
    if version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether the request asks what the node takes, and of no path.
pub(super) fn is_about_the_node<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS && request.uri().path() == "*"
}

/// The answer to OPTIONS where no function gives one (RFC 9110, section 9.3.7).
pub(super) fn options(allowed: Option<&[Method]>) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let allow = match allowed {
        Some(methods) => allow(methods, true),
        None => METHODS,
    };
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

/// The methods of a route as `Allow` has them. Who answers GET answers HEAD.
pub(super) fn allow(methods: &[Method], with_options: bool) -> HeaderValue {
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    for (name, there) in [("HEAD", names.contains(&"GET")), ("OPTIONS", with_options)] {
        if there && !names.contains(&name) {
            names.push(name);
        }
    }
    HeaderValue::from_str(&names.join(", ")).unwrap_or(METHODS)
}

/// Says who calls, to the function. Only the node that the caller reached says so.
pub(super) const CALLER: HeaderName = HeaderName::from_static("spillway-caller");

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, target: &str, fields: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::builder().method("POST").version(version).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn refusal(request: &Request<()>) -> Option<u16> {
        check(request).err().map(|problem| problem.status)
    }

    #[test]
    fn a_request_names_one_host() {
        let h1 = |target, hosts: &[&str]| {
            let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            refusal(&request(Version::HTTP_11, target, &fields))
        };
        for (target, hosts) in [("/", ["a"]), ("/", ["a:80"]), ("/", ["[::1]:80"]), ("http://A:80/", ["a:80"])] {
            assert_eq!(h1(target, &hosts), None, "{target} {hosts:?}");
        }
        assert_eq!(h1("/", &[]), Some(400));
        assert_eq!(h1("/", &["a", "a"]), Some(400));
        for host in ["a, b", "u@a", "a/b", "a b", "a?b"] {
            assert_eq!(h1("/", &[host]), Some(400), "{host}");
        }
        assert_eq!(h1("http://a/", &["b"]), Some(400));
        assert_eq!(h1("http://u@a/", &["u@a"]), Some(400));
        assert_eq!(refusal(&request(Version::HTTP_10, "/", &[])), None);
        assert_eq!(refusal(&request(Version::HTTP_2, "https://a/", &[])), None);
        assert_eq!(refusal(&request(Version::HTTP_2, "https://a/", &[("host", "b")])), Some(400));
    }

    #[test]
    fn what_no_node_does_is_refused_by_its_name() {
        let with = |name, value: &str| refusal(&request(Version::HTTP_11, "/", &[("host", "a"), (name, value)]));
        assert_eq!(with("transfer-encoding", "Chunked"), None);
        for coding in ["gzip, chunked", "chunked, chunked", "identity", ""] {
            assert_eq!(with("transfer-encoding", coding), Some(501), "{coding}");
        }
        assert_eq!((with("expect", "100-Continue"), with("expect", "200-ok")), (None, Some(417)));
        let filler = "a".repeat(FIELDS_BYTES_MAX);
        assert_eq!((with("x", &filler[..1000]), with("x", &filler)), (None, Some(431)));
        let target = format!("/{}", "a".repeat(TARGET_BYTES_MAX));
        assert_eq!(refusal(&request(Version::HTTP_11, &target, &[("host", "a")])), Some(414));
        let star = Request::builder().uri("*").header("host", "a");
        assert_eq!(refusal(&star.body(()).unwrap()), Some(400));
        let connect = Request::builder().method("CONNECT").uri("a:80").header("host", "a:80");
        assert_eq!(refusal(&connect.body(()).unwrap()), Some(501));
    }

    #[test]
    fn options_lists_head_with_get_and_itself() {
        assert_eq!(allow(&[Method::GET, Method::POST], true), "GET, POST, HEAD, OPTIONS");
        assert_eq!(allow(&[Method::POST], false), "POST");
        assert_eq!(options(None).headers()[header::ALLOW], METHODS);
    }
}
