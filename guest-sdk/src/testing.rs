//! Runs handlers on the development machine, in ordinary `#[test]`s.
//!
//! With feature `native`, models come from the `path` of `[models.NAME]` in the crate's `spillway.toml` and run on the
//! node's own inference crate; configuration comes from its `[config]`, key-value buckets live in memory (one set per
//! process), and log records go to standard error.
//!
//! ```toml
//! [dev-dependencies]
//! spillway-sdk = { version = "0.1", features = ["native"] }
//! ```

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::dispatch::dispatch;
use crate::{Body, FromRequest, IntoResponse, Request, Response};

/// Runs `request` through `handler` as a node would.
///
/// ```
/// use spillway_sdk::{Request, StatusCode, testing};
///
/// async fn handle(name: String) -> String {
///     format!("Hello, {name}!")
/// }
///
/// let response = testing::call(handle, Request::new("Ada".into()));
/// assert_eq!(response.status(), StatusCode::OK);
/// assert_eq!(testing::block_on(response.into_body().text()).unwrap(), "Hello, Ada!");
/// ```
pub fn call<A, R, F>(handler: impl FnOnce(A) -> F, request: http::Request<impl Into<Body>>) -> Response
where
    A: FromRequest,
    R: IntoResponse,
    F: Future<Output = R>,
{
    let request: Request = request.map(Into::into);
    block_on(dispatch(request, handler))
}

/// Waits for `future` on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        thread::park();
    }
}
