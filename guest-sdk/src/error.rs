//! What a handler fails with, and what its caller sees of it.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value};

use crate::host::{HostError, HostErrorCode};
use crate::{Body, IntoResponse, Response};

/// What a handler and its steps return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure as the caller sees it: an RFC 9457 problem document, sent as `application/problem+json`.
///
/// Every [`std::error::Error`] converts into one with `?`: status 500 and a detail that gives nothing away, while the
/// cause and its sources go to the function's log. Say more only where the caller can act on it:
///
/// ```
/// use spillway_sdk::{Error, Result};
///
/// fn percent(text: &str) -> Result<u8> {
///     let value = text.parse().map_err(|_| Error::bad_request(format!("`{text}` is not a whole number")))?;
///     if value > 100 {
///         return Err(Error::bad_request(format!("{value} is more than 100")));
///     }
///     Ok(value)
/// }
/// # assert!(percent("7").is_ok() && percent("x").is_err() && percent("101").is_err());
/// ```
///
/// It does not implement [`std::error::Error`] itself, as that would forbid the conversion.
pub struct Error(Box<Problem>);

struct Problem {
    status: StatusCode,
    kind: Cow<'static, str>,
    title: Option<Cow<'static, str>>,
    detail: Option<Cow<'static, str>>,
    members: Map<String, Value>,
    cause: Option<Box<dyn StdError>>,
}

impl Error {
    /// A problem with `status` and a detail for the caller: what is wrong, and what to change.
    pub fn status(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status, Some(detail.into()), None)
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::status(StatusCode::BAD_REQUEST, detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::status(StatusCode::NOT_FOUND, detail)
    }

    /// 500: the function failed and the caller can do nothing about it; `cause` is for the log only.
    pub fn internal(cause: impl Into<Box<dyn StdError>>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Some("the function failed; its log says why".into()),
            Some(cause.into()),
        )
    }

    /// Sets `type`, a URI that stays the same for this kind of problem. Without it the type is `about:blank`, which
    /// RFC 9457 defines as "no more than the status says".
    pub fn with_type(mut self, uri: impl Into<Cow<'static, str>>) -> Self {
        self.0.kind = uri.into();
        self
    }

    /// Sets `title`, a short summary of this kind of problem. Without it the title is the phrase of the status.
    pub fn with_title(mut self, title: impl Into<Cow<'static, str>>) -> Self {
        self.0.title = Some(title.into());
        self
    }

    /// Adds a member of its own to the document, as RFC 9457 section 3.2 allows.
    pub fn with(mut self, member: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.members.insert(member.into(), value.into());
        self
    }

    /// Records what caused it, for the log.
    pub fn with_cause(mut self, cause: impl Into<Box<dyn StdError>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// The status of the answer.
    pub fn status_code(&self) -> StatusCode {
        self.0.status
    }

    /// What the caller is told beside the status.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// A 400 that names the place in a JSON document.
    pub(crate) fn json(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        let field = error.path().to_string();
        let error = error.into_inner();
        let (line, column) = (error.line(), error.column());
        let problem = Self::bad_request(format!("the body is not the expected JSON: {}", at(&error, &field)))
            .with("line", line)
            .with("column", column);
        if is_whole(&field) { problem } else { problem.with("field", field) }
    }

    fn new(status: StatusCode, detail: Option<Cow<'static, str>>, cause: Option<Box<dyn StdError>>) -> Self {
        Self(Box::new(Problem { status, kind: "about:blank".into(), title: None, detail, members: Map::new(), cause }))
    }
}

/// serde's own words end in "at line 1 column 2"; the field goes before them.
fn at(error: &serde_json::Error, field: &str) -> String {
    if is_whole(field) { error.to_string() } else { format!("field `{field}`: {error}") }
}

/// The path of a document that is wrong as a whole is a dot, that of one that is cut off a question mark.
fn is_whole(field: &str) -> bool {
    matches!(field, "." | "?")
}

impl<E: StdError + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let code = (&error as &dyn Any).downcast_ref::<HostError>().map(HostError::code);
        match code {
            Some(HostErrorCode::DeadlineExceeded) => {
                Self::status(StatusCode::GATEWAY_TIMEOUT, "the deadline passed while the function worked")
                    .with_type("urn:spillway:problem:deadline")
                    .with_cause(error)
            }
            Some(HostErrorCode::OutOfMemory) => {
                Self::status(StatusCode::INTERNAL_SERVER_ERROR, "the function ran out of tensor memory")
                    .with_type("urn:spillway:problem:out-of-memory")
                    .with_cause(error)
            }
            _ => Self::internal(error),
        }
    }
}

impl IntoResponse for Error {
    /// Logs the cause, and every 5xx, on the way out.
    fn into_response(self) -> Response {
        let problem = *self.0;
        match &problem.cause {
            Some(cause) => log::error!("answered {}: {}", problem.status.as_u16(), Chain(&**cause)),
            None if problem.status.is_server_error() => {
                log::error!("answered {}: {}", problem.status.as_u16(), problem.detail.as_deref().unwrap_or_default());
            }
            None => {}
        }
        let title = problem.title.as_deref().or(problem.status.canonical_reason());
        let mut document = problem.members;
        document.insert("type".to_owned(), problem.kind.into());
        document.insert("status".to_owned(), problem.status.as_u16().into());
        document.extend(title.map(|title| ("title".to_owned(), title.into())));
        document.extend(problem.detail.map(|detail| ("detail".to_owned(), detail.into())));

        let mut response = Response::new(Body::from(Value::Object(document).to_string()));
        *response.status_mut() = problem.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.status)?;
        if let Some(detail) = &self.0.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(cause) = &self.0.cause {
            write!(f, " ({})", Chain(&**cause))?;
        }
        Ok(())
    }
}

/// An error and its sources, each once.
struct Chain<'a>(&'a dyn StdError);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
