//! Requests that functions send, of WASI 0.2 and 0.3 alike: `wasi:http` has one hook for both.
//!
//! ```text
//! granted? ──> a connection is free ──> look the name up once ──> addresses checked ──> connect, TLS ──> send
//! (grants)     (slots)                  (connect.rs)              (egress.rs)           (connect.rs)     (exchange.rs)
//! ```
//!
//! The connection goes to the very address that was checked: a name that answers otherwise the next time (DNS rebinding)
//! gains nothing. Redirects are answers like any other. A function that follows one sends another request, which is
//! checked like the first (decision 17).

mod connect;
mod egress;
mod exchange;
mod hooks;
mod patience;
mod target;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use spillway_types::{FunctionId, HttpGrants, Limits};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

pub(crate) use egress::Egress;
pub use egress::EgressConfig;
pub(crate) use hooks::{Hooks, add_to_linker};

use crate::host::{GuestRecord, LogSink, OutboundEnd, OutboundSink};
use crate::invocation::Invocation;
use crate::{InvocationId, outbound::patience::Patience, outbound::target::Target};

/// The outbound requests of one revision: what they may do, and what they share.
pub(crate) struct Outbound {
    function: FunctionId,
    grants: HttpGrants,
    egress: Arc<Egress>,
    /// One for each connection.
    slots: Arc<Semaphore>,
    /// One for each look-up: they take threads that the disk needs, and cannot be called off.
    lookups: Arc<Semaphore>,
    /// How long anything may take that no call's deadline ends sooner.
    most: Duration,
    log: Arc<dyn LogSink>,
    counts: Arc<dyn OutboundSink>,
}

/// Look-ups of one function at once: of the 512 threads that tokio has for what blocks, none may take all.
const LOOKUPS_MAX: usize = 8;

type IoResult = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(http::Response<WasiBody>, IoResult), Error>;

/// The call for which a request is sent. It may end before its request does.
struct Caller {
    invocation: Weak<Invocation>,
    id: InvocationId,
    patience: Patience,
}

impl Outbound {
    pub(crate) fn new(
        function: FunctionId,
        grants: HttpGrants,
        limits: &Limits,
        egress: Arc<Egress>,
        log: Arc<dyn LogSink>,
        counts: Arc<dyn OutboundSink>,
    ) -> Self {
        Self {
            function,
            grants,
            egress,
            slots: Arc::new(Semaphore::new(limits.connections as usize)),
            lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            most: limits.deadline,
            log,
            counts,
        }
    }

    /// Whether guests may set `Host`.
    fn grants_host(&self) -> bool {
        self.grants.host
    }

    fn caller(&self, invocation: &Arc<Invocation>) -> Caller {
        Caller {
            invocation: Arc::downgrade(invocation),
            id: invocation.id,
            patience: Patience::of(invocation, self.most),
        }
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Cancel safety
    /// Dropped, it closes its connection.
    async fn send(&self, request: http::Request<WasiBody>, options: RequestOptions, caller: Option<Caller>) -> Sent {
        let mut counted = Counted { counts: &*self.counts, end: OutboundEnd::Failed };
        let sent = self.try_send(request, options, caller).await;
        counted.end = match &sent {
            Ok(_) => OutboundEnd::Answered,
            Err(Error::HttpRequestDenied | Error::DestinationIpProhibited) => OutboundEnd::Refused,
            Err(error) => {
                tracing::debug!(function = %self.function, %error, "an outbound request failed");
                OutboundEnd::Failed
            }
        };
        sent
    }

    async fn try_send(
        &self,
        mut request: http::Request<WasiBody>,
        options: RequestOptions,
        caller: Option<Caller>,
    ) -> Sent {
        let target = Target::of(request.uri())?;
        let Some(may_be_private) = self.grants.covers(target.tls, &target.host, target.port) else {
            self.tell_ungranted(&target, caller.as_ref());
            return Err(Error::HttpRequestDenied);
        };
        target.address(&mut request, self.grants.host)?;
        let patience = caller.as_ref().map_or_else(|| Patience::alone(self.most), |caller| caller.patience.clone());

        let mut late = pin!(patience.out(options.connect_timeout));
        let slot = self.slots.clone().acquire_owned();
        let slot = patience::within(&mut late, Error::ConnectionLimitReached, async {
            slot.await.map_err(|_| Error::InternalError(None))
        });
        let slot = slot.await?;
        let found = connect::look_up(&target, self.lookups.clone());
        let found = patience::within(&mut late, Error::DnsTimeout, found).await?;
        let permitted: Vec<_> =
            found.iter().copied().filter(|address| self.egress.permits(*address, may_be_private)).collect();
        if permitted.is_empty() {
            let refused = found.first().ok_or(Error::DestinationNotFound)?;
            self.tell_prohibited(&target, refused.ip(), caller.as_ref());
            return Err(Error::DestinationIpProhibited);
        }
        let stream = connect::open(&target, &permitted, &self.egress);
        let stream = patience::within(&mut late, Error::ConnectionTimeout, stream).await?;
        exchange::exchange(stream, request, options, patience, slot).await
    }

    fn tell_ungranted(&self, target: &Target, caller: Option<&Caller>) {
        self.tell(caller, || {
            format!(
                "a request to {target} is not granted; add it under [capabilities] in spillway.toml: \
                 http = [\"{target}\"], or http_private where it is not on the public internet"
            )
        });
    }

    fn tell_prohibited(&self, target: &Target, address: IpAddr, caller: Option<&Caller>) {
        self.tell(caller, || {
            format!(
                "a request to {target} is refused: {address} is not on the public internet, or is this node itself; \
                 elsewhere, write http_private = [\"{target}\"] under [capabilities] in spillway.toml, and have the \
                 operator start the node with --allow-private-egress {address}"
            )
        });
    }

    /// Writes to the function's log, once for each call: a loop of refused requests says nothing new.
    fn tell(&self, caller: Option<&Caller>, message: impl FnOnce() -> String) {
        let invocation = caller.and_then(|caller| caller.invocation.upgrade());
        if invocation.is_none_or(|invocation| invocation.tells_refusal()) {
            let record = GuestRecord { level: "warn", invocation: caller.map(|c| &c.id), message: &message() };
            self.log.record(record);
        }
    }
}

/// Counts a request when it ends, and so also one that is given up.
struct Counted<'a> {
    counts: &'a dyn OutboundSink,
    end: OutboundEnd,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.counts.count(self.end);
    }
}
