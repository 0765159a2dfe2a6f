//! One request through a handler: the same steps in a component and in a native test.

use std::future::Future;

use crate::{FromRequest, IntoResponse, Request, Response, logging};

pub(crate) async fn dispatch<A, R, F>(request: Request, handler: impl FnOnce(A) -> F) -> Response
where
    A: FromRequest,
    R: IntoResponse,
    F: Future<Output = R>,
{
    logging::install();
    match A::from_request(request).await {
        Ok(argument) => handler(argument).await.into_response(),
        Err(error) => error.into_response(),
    }
}
