//! What goes wrong, as clients of OpenAI's API understand it.

use std::borrow::Cow;

use serde::Serialize;
use spillway_sdk::{Error, IntoResponse, Json, Response, StatusCode};

/// An error with the members that OpenAI's have, which its clients look for: they take no RFC 9457 document.
#[derive(Debug, Serialize)]
pub(crate) struct Refusal {
    #[serde(skip)]
    status: StatusCode,
    message: Cow<'static, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    /// The member of the request that is wrong.
    param: Option<Cow<'static, str>>,
    code: Option<&'static str>,
}

impl Refusal {
    /// A 400 for what cannot be read at all.
    pub(crate) fn of_body(message: impl Into<Cow<'static, str>>) -> Self {
        let (status, kind) = (StatusCode::BAD_REQUEST, "invalid_request_error");
        Self { status, message: message.into(), kind, param: None, code: None }
    }

    /// A 400 for the member `param`.
    pub(crate) fn of(
        param: impl Into<Cow<'static, str>>,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { param: Some(param.into()), code: Some(code), ..Self::of_body(message) }
    }

    /// A 404 for a model that is not this function's.
    pub(crate) fn of_model(name: &str) -> Self {
        let message = format!("the model `{name}` does not exist; this function has `{}`", crate::MODEL);
        Self { status: StatusCode::NOT_FOUND, ..Self::of("model", "model_not_found", message) }
    }

    /// A 404 for a path that is none.
    pub(crate) fn of_path(method: &str, path: &str) -> Self {
        let message = format!("there is no {method} {path}; there are POST /v1/embeddings and GET /v1/models");
        Self { status: StatusCode::NOT_FOUND, code: Some("unknown_url"), ..Self::of_body(message) }
    }
}

impl<E: Into<Error>> From<E> for Refusal {
    /// Logs what the caller is not told.
    fn from(error: E) -> Self {
        let error = error.into();
        let status = error.status_code();
        let message = error.detail().unwrap_or("the function failed").to_owned();
        drop(error.into_response());
        let kind = if status.is_server_error() { "server_error" } else { "invalid_request_error" };
        Self { status, message: message.into(), kind, param: None, code: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Document {
            error: Refusal,
        }

        (self.status, Json(Document { error: self })).into_response()
    }
}
