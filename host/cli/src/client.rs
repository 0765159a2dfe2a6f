//! The control API of a node, over HTTP.

use std::time::Duration;

use anyhow::Context as _;
use futures::TryStreamExt as _;
use indicatif::ProgressBar;
use reqwest::header::CONTENT_LENGTH;
use reqwest::redirect::Policy;
use reqwest::{Body, Method, Request, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use spillway_types::api::NodeStatus;
use spillway_types::{FunctionId, Problem, ProblemType};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use crate::args::Global;
use crate::failure::Failure;

/// Large enough that the system calls do not matter, small enough that the bar moves.
const UPLOAD_CHUNK_BYTES: usize = 256 * 1024;

/// Sends requests to one node.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

impl Client {
    /// A client for the node that the command line names. Nothing is sent yet.
    pub(crate) fn new(global: &Global) -> anyhow::Result<Self> {
        let base = parse_node(&global.node).map_err(Failure::Usage)?;
        // Without a limit on the whole: an upload may take hours, `logs -f` for ever.
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            // A function's redirect is its answer, and the control API has none.
            .redirect(Policy::none())
            .user_agent(concat!("spillway/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("the HTTP client does not start")?;
        Ok(Self { http, base, token: global.token().map(ToOwned::to_owned) })
    }

    /// Where callers reach functions, from what the node says that it listens on.
    pub(crate) fn data_plane(&self, listen: &str) -> anyhow::Result<Url> {
        let full = if listen.contains("://") { listen.to_owned() } else { format!("http://{listen}") };
        let context = || format!("the node says that it listens on `{listen}`, which is no address");
        let mut url: Url = full.parse().with_context(context)?;
        if matches!(url.host_str(), Some("0.0.0.0" | "[::]")) {
            // It listens on all its addresses; the one that its control API was reached by is one of them.
            url.set_host(self.base.host_str()).with_context(context)?;
        }
        Ok(url)
    }

    /// A request to `/api/v1/` and the given path segments.
    pub(crate) fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        self.authorized(self.http.request(method, self.url(segments)))
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("parse_node accepts http URLs only, which have paths")
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(segments);
        url
    }

    /// A question with a number in it.
    pub(crate) fn ask(&self, segment: &str, (name, number): (&str, u64)) -> RequestBuilder {
        let mut url = self.url(&[segment]);
        url.query_pairs_mut().append_pair(name, &number.to_string());
        self.authorized(self.http.get(url))
    }

    /// What the node says of itself.
    pub(crate) async fn status(&self) -> anyhow::Result<NodeStatus> {
        self.json(self.request(Method::GET, &["node"])).await
    }

    /// A request about one function.
    pub(crate) fn function(&self, method: Method, id: &FunctionId, rest: &[&str]) -> RequestBuilder {
        let mut segments = vec!["functions", id.namespace.as_str(), id.name.as_str()];
        segments.extend(rest);
        self.request(method, &segments)
    }

    /// A request to any URL, without the token: functions must not see it.
    pub(crate) fn plain(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request and takes any status but a server's refusal to talk.
    pub(crate) async fn send_any(&self, request: Request) -> anyhow::Result<Response> {
        self.http.execute(request).await.map_err(|error| {
            let node = error.url().map_or_else(|| self.base.to_string(), |url| url.origin().ascii_serialization());
            match error.is_connect() {
                true => Failure::Unreachable { node, reason: innermost(&error) }.into(),
                false => anyhow::Error::new(error).context(format!("the connection to {node} broke")),
            }
        })
    }

    /// Sends a request and demands a 2xx.
    pub(crate) async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        self.send_built(request.build()?).await
    }

    /// As `send`, for a request whose URL has been completed by hand.
    pub(crate) async fn send_built(&self, request: Request) -> anyhow::Result<Response> {
        let response = self.send_any(request).await?;
        match response.status() {
            status if status.is_success() => Ok(response),
            _ => Err(Failure::Refused(Box::new(read_problem(response).await)).into()),
        }
    }

    /// Sends a request and reads its JSON answer.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        let response = self.send(request).await?;
        let url = response.url().clone();
        response.json().await.with_context(|| {
            format!("{url} does not answer as a Spillway node of this version; check --node and the node's version")
        })
    }
}

/// Reads the base URL of a node.
fn parse_node(text: &str) -> Result<Url, String> {
    let remedy = "write it like `http://127.0.0.1:3001`";
    // `localhost:3001` would parse as the scheme `localhost`.
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url: Url = full.parse().map_err(|error| format!("--node `{text}` is not a URL: {error}; {remedy}"))?;
    match url.scheme() {
        "http" if url.has_host() => Ok(url),
        scheme => Err(format!("--node `{text}` has the scheme {scheme}; {remedy}")),
    }
}

/// The cause at the bottom, which says what happened; the layers above repeat the URL.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if error.is_timeout() { "timed out".to_owned() } else { cause.to_string() }
}

/// The problem document of a refusal, or one made from its status where the answer is none.
async fn read_problem(response: Response) -> Problem {
    let (status, url) = (response.status(), response.url().clone());
    let text = response.text().await.unwrap_or_default();
    if let Ok(problem) = serde_json::from_str(&text) {
        return problem;
    }
    if status == StatusCode::UNAUTHORIZED {
        let detail = "the node demands a token; set SPILLWAY_TOKEN to the one that it was started with";
        return Problem::new(ProblemType::Unauthorized, detail);
    }
    let excerpt: String = text.chars().take(200).collect();
    let mut problem = Problem::new(ProblemType::HostFault, format!("{url} answered {status}: {excerpt}"));
    problem.status = status.as_u16();
    problem
}

/// Makes `request` upload `length` bytes from `reader`, moving `bar`.
pub(crate) fn with_body(
    request: RequestBuilder,
    reader: impl AsyncRead + Send + 'static,
    length: u64,
    bar: &ProgressBar,
) -> RequestBuilder {
    let bar = bar.clone();
    let stream =
        ReaderStream::with_capacity(reader, UPLOAD_CHUNK_BYTES).inspect_ok(move |chunk| bar.inc(chunk.len() as u64));
    request.header(CONTENT_LENGTH, length).body(Body::wrap_stream(stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_listens_everywhere_is_called_where_its_control_api_is() {
        let global = Global { node: "http://10.0.0.7:3001".to_owned(), token: None, json: false };
        let client = Client::new(&global).unwrap();
        for (listen, url) in [
            ("127.0.0.1:3000", "http://127.0.0.1:3000/"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000/"),
            ("0.0.0.0:3000", "http://10.0.0.7:3000/"),
            ("[::]:80", "http://10.0.0.7/"),
        ] {
            assert_eq!(client.data_plane(listen).unwrap().as_str(), url);
        }
        assert!(client.data_plane("nowhere at all").is_err());
    }

    #[test]
    fn a_node_is_an_http_url_or_host_and_port() {
        for (text, url) in [("localhost:3001", "http://localhost:3001/"), ("http://10.0.0.1:9", "http://10.0.0.1:9/")] {
            assert_eq!(parse_node(text).unwrap().as_str(), url);
        }
        for bad in ["", "https://node", "ftp://node", "http://"] {
            let message = parse_node(bad).unwrap_err();
            assert!(message.contains("--node") && message.contains("http://127.0.0.1:3001"), "{message}");
        }
    }
}
