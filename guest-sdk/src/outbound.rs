//! Requests to other servers, as far as the manifest grants them.
//!
//! ```toml
//! [capabilities]
//! http = ["https://api.example.com"]
//! ```
//!
//! Answers stream, and so do the bodies of requests: sending on the body of the function's own request moves no byte through
//! the sandbox. A redirect is an answer like any other; a function that follows one sends another request, which has to be
//! granted as well.

use std::time::Duration;

use crate::{Body, HostError, Request, Response};

/// How long parts of a request may take; none of them longer than the function's own deadline.
///
/// Put it among the extensions of a request.
///
/// ```
/// use std::time::Duration;
/// use spillway_sdk::{Request, outbound::Timeouts};
///
/// let mut request = Request::new("".into());
/// request.extensions_mut().insert(Timeouts { first_byte: Some(Duration::from_secs(1)), ..Timeouts::default() });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Looking up the name and connecting.
    pub connect: Option<Duration>,
    /// From then on until the head of the answer is there.
    pub first_byte: Option<Duration>,
    /// Each wait for another piece of the answer's body.
    pub between_bytes: Option<Duration>,
}

/// Sends a request, whose URI has scheme and host, and waits for the head of the answer.
///
/// ```no_run
/// # async fn f() -> spillway_sdk::Result<()> {
/// use spillway_sdk::{http, outbound};
///
/// let answer = outbound::send(http::Request::get("https://api.example.com/rates").body("")?).await?;
/// let rates = answer.into_body().text().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`NotGranted`](crate::HostErrorCode::NotGranted) where the manifest or the node does not allow it,
/// [`TimedOut`](crate::HostErrorCode::TimedOut), [`Unreachable`](crate::HostErrorCode::Unreachable), or
/// [`InvalidArgument`](crate::HostErrorCode::InvalidArgument) for what is no request.
///
/// # Cancel safety
/// Dropping the future gives the request up.
pub async fn send(request: http::Request<impl Into<Body>>) -> Result<Response, HostError> {
    let request: Request = request.map(Into::into);
    #[cfg(target_family = "wasm")]
    return crate::wasi::send_out(request).await;
    #[cfg(not(target_family = "wasm"))]
    {
        let message = format!("{} cannot be asked: outbound requests need a node", request.uri());
        Err(HostError::new(crate::HostErrorCode::Unreachable, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostErrorCode;

    #[test]
    fn without_a_node_there_is_nobody_to_ask() {
        let sent = send(http::Request::get("https://api.example.com/rates").body("").unwrap());
        let error = crate::testing::block_on(sent).map(|_| ()).unwrap_err();
        assert_eq!(error.code(), HostErrorCode::Unreachable);
        assert!(error.to_string().contains("https://api.example.com/rates"), "{error}");
    }
}
