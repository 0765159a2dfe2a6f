//! What a handler takes.

use std::future::Future;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Body;
use crate::error::{Error, Result};

/// A request: the [`http`] crate's type over our [`Body`].
pub type Request = http::Request<Body>;

/// What a handler may take as its one argument.
#[diagnostic::on_unimplemented(
    message = "a function handler cannot take `{Self}`",
    label = "take `Request`, or something made from it such as `Json<T>`, `Bytes` or `String`",
    note = "implement `FromRequest` for a type of your own"
)]
pub trait FromRequest: Sized {
    /// Makes the argument; an error becomes the answer.
    fn from_request(request: Request) -> impl Future<Output = Result<Self>>;
}

impl FromRequest for Request {
    async fn from_request(request: Request) -> Result<Self> {
        Ok(request)
    }
}

impl FromRequest for Body {
    async fn from_request(request: Request) -> Result<Self> {
        Ok(request.into_body())
    }
}

impl FromRequest for Bytes {
    async fn from_request(request: Request) -> Result<Self> {
        request.into_body().bytes().await
    }
}

impl FromRequest for String {
    async fn from_request(request: Request) -> Result<Self> {
        request.into_body().text().await
    }
}

impl FromRequest for () {
    async fn from_request(_: Request) -> Result<Self> {
        Ok(())
    }
}

/// JSON in and out: as an argument it parses the body (whatever `Content-Type` says, so that plain `curl -d` works), as an
/// answer it is sent as `application/json`.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use spillway_sdk::{Json, function};
///
/// #[derive(Deserialize)]
/// struct Sides {
///     a: f64,
///     b: f64,
/// }
///
/// #[derive(Serialize)]
/// struct Area {
///     area: f64,
/// }
///
/// #[function]
/// async fn area(Json(Sides { a, b }): Json<Sides>) -> Json<Area> {
///     Json(Area { area: a * b })
/// }
/// # use spillway_sdk::{Request, testing::{block_on, call}};
/// # let response = call(area, Request::new(r#"{"a": 2, "b": 3}"#.into()));
/// # assert_eq!(block_on(response.into_body().text()).unwrap(), r#"{"area":6.0}"#);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Json<T> {
    async fn from_request(request: Request) -> Result<Self> {
        request.into_body().json().await.map(Self)
    }
}

impl<T: Serialize> Json<T> {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&self.0).map_err(Error::internal)
    }
}

/// What [`Request`] has beside the methods of the [`http`] crate.
pub trait RequestExt {
    /// The query string, parsed into a `T` whose fields are its parameters; absent ones need an `Option` or a default.
    ///
    /// # Errors
    /// 400 when it does not fit.
    fn query<T: DeserializeOwned>(&self) -> Result<T>;
}

impl<B> RequestExt for http::Request<B> {
    fn query<T: DeserializeOwned>(&self) -> Result<T> {
        let pairs = form_urlencoded::parse(self.uri().query().unwrap_or_default().as_bytes());
        serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs)).map_err(|error| {
            let (name, error) = (error.path().to_string(), error.into_inner());
            let place =
                if matches!(name.as_str(), "." | "?") { String::new() } else { format!("parameter `{name}`: ") };
            Error::bad_request(format!("the query string does not fit: {place}{error}"))
        })
    }
}
