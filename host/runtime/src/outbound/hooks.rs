//! Where `wasi:http` hands over what guests send, and what it lets through.

use std::sync::Arc;

use http::HeaderName;
use http::header::HOST;
use wasmtime::component::{Accessor, HasData, Linker, Resource};
use wasmtime::{AsContextMut as _, Result};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::p3::bindings::http::client::{self, HostWithStore};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttp, WasiHttpCtxView,
    WasiHttpHooks, WasiHttpView as _,
};
use wasmtime_wasi_http::{p2, p3};

use super::{IoResult, Outbound, Sent};
use crate::invocation::Invocation;
use crate::sandbox::{self, Attribution, SandboxState};

/// The hooks of one sandbox.
pub(crate) struct Hooks {
    outbound: Arc<Outbound>,
    attribution: Attribution,
    /// Whose the next request is, where that is known better than `attribution` could say.
    next: Option<Arc<Invocation>>,
}

impl Hooks {
    pub(crate) fn new(outbound: Arc<Outbound>, attribution: Attribution) -> Self {
        Self { outbound, attribution, next: None }
    }
}

impl WasiHttpHooks for Hooks {
    // Asked for each field of each request, where the filter below would be made anew.
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name, self.outbound.grants_host())
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        let grants_host = self.outbound.grants_host();
        Arc::new(move |name| is_forbidden(name, grants_host))
    }

    /// Ours, since the guest's has to be considered.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _io: IoResult,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let invocation = self.next.take().or_else(|| self.attribution.only());
        let caller = invocation.map(|invocation| self.outbound.caller(&invocation));
        let outbound = self.outbound.clone();
        Box::new(async move { outbound.send(request, options.unwrap_or_default(), caller).await })
    }

    // The guest hears of it and its author asks; the node's own log is not the place.
    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> p2::bindings::http::types::ErrorCode {
        tracing::debug!(%error, "an outbound request failed");
        p2::bindings::http::types::ErrorCode::HttpProtocolError
    }

    fn p3_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode {
        tracing::debug!(%error, "an outbound request failed");
        ErrorCode::HttpProtocolError
    }
}

/// Fields that guests neither see nor set.
fn is_forbidden(name: &HeaderName, grants_host: bool) -> bool {
    DEFAULT_FORBIDDEN_HEADERS.contains(name) && !(grants_host && name == HOST)
}

/// `wasi:http/client@0.3`, which names the invocation first: only the store knows which of those in a shared sandbox it is.
struct Client;

impl HasData for Client {
    type Data<'a> = WasiHttpCtxView<'a>;
}

impl HostWithStore<SandboxState> for Client {
    async fn send(
        store: &Accessor<SandboxState, Self>,
        request: Resource<p3::Request>,
    ) -> Result<Resource<p3::Response>, TrappableError<ErrorCode>> {
        store.with(|mut store| {
            let invocation = sandbox::invocation(&mut store);
            store.as_context_mut().data_mut().hooks().next = invocation;
        });
        // It takes the request out of the store, and so comes to the hook, before it waits for the first time.
        let theirs = store.with_getter::<WasiHttp>(SandboxState::http);
        let sent = <WasiHttp as HostWithStore<SandboxState>>::send(&theirs, request).await;
        // What is no request never comes to the hook; the next one is not to be taken for this call's.
        store.with(|mut store| store.as_context_mut().data_mut().hooks().next = None);
        sent
    }
}

/// Links `wasi:http@0.3`.
pub(crate) fn add_to_linker(linker: &mut Linker<SandboxState>) -> Result<()> {
    client::add_to_linker::<_, Client>(linker, SandboxState::http)?;
    p3::bindings::http::types::add_to_linker::<_, WasiHttp>(linker, SandboxState::http)
}

/// What hyper's errors are in the words of `wasi:http`.
pub(super) fn of_hyper(error: hyper::Error) -> Error {
    if error.is_timeout() {
        Error::HttpResponseTimeout
    } else if error.is_parse_too_large() {
        Error::HttpResponseHeaderSectionSize(None)
    } else if error.is_incomplete_message() {
        Error::HttpResponseIncomplete
    } else if error.is_parse() || error.is_user() {
        // In the guest's own body lies an error of `wasi:http`, which is found in there.
        Error::Hyper(error)
    } else {
        Error::ConnectionTerminated
    }
}
