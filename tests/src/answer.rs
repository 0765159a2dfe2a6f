//! Responses that are read whole.

use bytes::Bytes;
use reqwest::header::HeaderMap;
use serde_json::Value;
use spillway_types::{Problem, ProblemType};

/// A response with its whole body.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// Reads a response to its end.
    ///
    /// # Errors
    /// The connection broke before the end.
    pub async fn read(response: reqwest::Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Self { status, headers, body: response.bytes().await? })
    }

    /// A header field, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The text of an answer that must be 200.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn ok(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.text()
    }

    /// The problem that the answer must be: of this kind, with its status and media type, and with a detail that names
    /// all of `parts`, the offender and the remedy.
    ///
    /// # Panics
    /// If it is another answer.
    #[track_caller]
    pub fn problem(&self, kind: ProblemType, parts: &[&str]) -> Problem {
        let problem: Problem = serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert!(problem.is(kind), "expected {}, got {problem:#?}", kind.slug());
        assert_eq!((self.status, problem.status), (kind.status(), kind.status()), "{problem:#?}");
        assert_eq!(self.header("content-type"), Some(Problem::MEDIA_TYPE), "{self:?}");
        for part in parts {
            assert!(problem.detail.contains(part), "`{part}` is not in the detail: {problem:#?}");
        }
        problem
    }
}
