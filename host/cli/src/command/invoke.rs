//! `spillway invoke`: calls a function by its name.

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use reqwest::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Body, Method, Response, Url};
use spillway_types::Route;
use spillway_types::api::{FunctionDetail, NodeStatus};
use tokio_util::io::ReaderStream;

use crate::args::{Function, Global};
use crate::client::Client;
use crate::failure::Failure;
use crate::output;

/// Call a function: its body goes to stdout as it comes
///
/// Looks the function's route up on the node, so that you need not know it. Without -X the method is POST with a body,
/// GET without one, or the only one that the route takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway invoke hello
  spillway invoke hello --path '?name=Ada'
  spillway invoke hello -d '{\"name\":\"Ada\"}' -H 'accept: application/json'
  spillway invoke sniff -d @photo.jpg --timing
  cat photo.jpg | spillway invoke sniff --data-binary @-

Exit code 5: the function answered with a status that is not 2xx; its body is on stdout, the status on stderr.")]
pub(crate) struct Invoke {
    #[command(flatten)]
    function: Function,
    /// HTTP method
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<Method>,
    /// Body: text, @FILE, or @- for stdin; always sent as it is
    #[arg(short, long, visible_alias = "data-binary", value_name = "DATA|@FILE")]
    data: Option<String>,
    /// Header, may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = parse_header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What comes after the route: `?query`, or what stands for the `*` of a route such as `/files/*`
    #[arg(long, value_name = "SUFFIX", default_value = "")]
    path: String,
    /// Print on stderr where the time went
    #[arg(long)]
    timing: bool,
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or_else(|| format!("`{text}` is not a header; write `name: value`"))?;
    let name = name.trim().parse().map_err(|_| format!("`{}` is not a header name", name.trim()))?;
    let value =
        value.trim().parse().map_err(|_| format!("the value of `{name}` has characters that headers cannot"))?;
    Ok((name, value))
}

impl Invoke {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let node: NodeStatus = client.json(client.request(Method::GET, &["node"])).await?;
        let detail: FunctionDetail = client.json(client.function(Method::GET, &self.function.id, &[])).await?;
        let (route, method) = choose(&detail.summary.routes, self.method.as_ref(), self.data.is_some())
            .map_err(|problem| Failure::Usage(format!("{}: {problem}", self.function.id)))?;
        let url = target(&client.data_plane(&node.listen)?, route, &self.path)?;
        if url.scheme() == "https" {
            // One set of authorities more to keep up to date, for a command that is for trying out.
            let problem = format!("the node speaks HTTPS with callers, and this command does not; use `curl {url}`");
            return Err(Failure::Usage(problem).into());
        }

        let mut request = client.plain(method, url);
        if let Some(host) = &route.pattern.host {
            request = request.header(HOST, host);
        }
        if self.timing {
            request = request.header("spillway-timing", "1");
        }
        if let Some(data) = &self.data {
            let (body, media_type) = read_data(data).await?;
            request = request.header(CONTENT_TYPE, media_type).body(body);
        }
        // Replaces what was set above where the caller says otherwise.
        request = request.headers(self.headers.into_iter().collect::<HeaderMap>());

        let start = Instant::now();
        let response = client.send_any(request.build()?).await?;
        let headed = start.elapsed();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = stream_to_stdout(response).await?;
        if self.timing {
            report_timing(&headers, headed, start.elapsed(), bytes);
        }
        if status.is_success() { Ok(()) } else { Err(Failure::Answered(status).into()) }
    }
}

/// The first route that takes the method, and the method.
fn choose<'r>(routes: &'r [Route], asked: Option<&Method>, has_body: bool) -> Result<(&'r Route, Method), String> {
    let wanted = asked.cloned().unwrap_or(if has_body { Method::POST } else { Method::GET });
    let takes = |route: &&Route| route.methods.is_empty() || route.methods.iter().any(|m| m == wanted.as_str());
    if let Some(route) = routes.iter().find(takes) {
        return Ok((route, wanted));
    }
    match (routes.first(), asked) {
        (None, _) => Err("it has no route".to_owned()),
        // The node's own answer to a wrong method is what whoever asked for it wants to see.
        (Some(route), Some(_)) => Ok((route, wanted)),
        (Some(route), None) => match route.methods[0].parse() {
            Ok(method) => Ok((route, method)),
            Err(_) => Err(format!("it takes the method `{}`, which is none", route.methods[0])),
        },
    }
}

/// The URL to call: the data plane, the route, the suffix.
fn target(data_plane: &Url, route: &Route, suffix: &str) -> anyhow::Result<Url> {
    let path = match route.pattern.path.strip_suffix('*') {
        Some(prefix) => format!("{prefix}{}", suffix.trim_start_matches('/')),
        None => format!("{}{suffix}", route.pattern.path),
    };
    data_plane.join(&path).with_context(|| format!("`{path}` is not a path; correct --path"))
}

/// The body, and what it is unless a header says otherwise.
async fn read_data(data: &str) -> anyhow::Result<(Body, &'static str)> {
    const BYTES: &str = "application/octet-stream";
    match data.strip_prefix('@') {
        Some("-") => Ok((Body::wrap_stream(ReaderStream::new(tokio::io::stdin())), BYTES)),
        Some(path) => {
            let file = tokio::fs::File::open(path).await;
            Ok((file.with_context(|| format!("{path} cannot be read"))?.into(), BYTES))
        }
        None if serde_json::from_str::<serde::de::IgnoredAny>(data).is_ok() => {
            Ok((data.to_owned().into(), "application/json"))
        }
        None => Ok((data.to_owned().into(), "text/plain; charset=utf-8")),
    }
}

/// Passes the body on chunk by chunk; gives its length.
async fn stream_to_stdout(mut response: Response) -> anyhow::Result<u64> {
    let mut stdout = std::io::stdout().lock();
    let (mut length, mut last) = (0, b'\n');
    while let Some(chunk) = response.chunk().await.context("the answer broke off")? {
        length += chunk.len() as u64;
        last = chunk.last().copied().unwrap_or(last);
        match stdout.write_all(&chunk).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(length),
            other => other?,
        }
    }
    if last != b'\n' && stdout.is_terminal() {
        writeln!(stdout)?;
    }
    Ok(length)
}

fn report_timing(headers: &HeaderMap, headed: Duration, whole: Duration, bytes: u64) {
    let (headed, whole) = (output::seconds(headed.as_secs_f64()), output::seconds(whole.as_secs_f64()));
    eprintln!("timing: headers after {headed}, all {bytes} bytes after {whole}");
    for value in headers.get_all("server-timing") {
        eprintln!("server-timing: {}", String::from_utf8_lossy(value.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use spillway_types::RoutePattern;

    use super::*;

    fn route(path: &str, methods: &[&str]) -> Route {
        let methods = methods.iter().map(ToString::to_string).collect();
        Route { pattern: RoutePattern::any_host(path).unwrap(), methods, auth: None }
    }

    #[test]
    fn the_method_follows_from_the_body_and_the_route() {
        let any = [route("/hello", &[])];
        assert_eq!(choose(&any, None, false).unwrap().1, Method::GET);
        assert_eq!(choose(&any, None, true).unwrap().1, Method::POST);
        let post = [route("/sniff", &["POST"])];
        assert_eq!(choose(&post, None, false).unwrap().1, Method::POST);
        assert_eq!(choose(&post, Some(&Method::GET), false).unwrap().1, Method::GET);
        let both = [route("/read", &["GET"]), route("/write", &["PUT"])];
        assert_eq!(choose(&both, Some(&Method::PUT), true).unwrap().0.pattern.path, "/write");
        assert!(choose(&[], None, false).is_err());
    }

    #[test]
    fn the_suffix_follows_the_route_or_stands_for_its_star() {
        let data_plane: Url = "http://127.0.0.1:3000".parse().unwrap();
        for (path, suffix, url) in [
            ("/hello", "?name=Ada", "http://127.0.0.1:3000/hello?name=Ada"),
            ("/files/*", "/a/b", "http://127.0.0.1:3000/files/a/b"),
            ("/", "", "http://127.0.0.1:3000/"),
        ] {
            assert_eq!(target(&data_plane, &route(path, &[]), suffix).unwrap().as_str(), url);
        }
    }
}
