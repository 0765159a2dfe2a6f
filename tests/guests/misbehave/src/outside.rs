//! What the SDK does not offer and a component can import all the same.

#[cfg(target_family = "wasm")]
mod wasi {
    use wasip3::http::types::{Fields, Request, Scheme};
    use wasip3::sockets::types::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket};
    use wasip3::{clocks::monotonic_clock, http::client, wit_future};

    pub(crate) async fn wait(ms: u64) {
        monotonic_clock::wait_for(ms * 1_000_000).await;
    }

    /// Asks another server, and says how that went.
    pub(crate) async fn fetch() -> String {
        let (_, trailers) = wit_future::new(|| Ok(None));
        let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
        let set = request.set_scheme(Some(&Scheme::Http)).and_then(|()| request.set_authority(Some("127.0.0.1:1")));
        let set = set.and_then(|()| request.set_path_with_query(Some("/")));
        match (set, client::send(request).await) {
            (Ok(()), Ok(_)) => "granted\n".to_owned(),
            (_, Err(code)) => format!("{code:?}\n"),
            (Err(()), _) => "the request cannot be made\n".to_owned(),
        }
    }

    /// Connects to the port that the test listens on.
    pub(crate) async fn connect(port: u16) -> Result<(), ErrorCode> {
        let address = Ipv4SocketAddress { port, address: (127, 0, 0, 1) };
        TcpSocket::create(IpAddressFamily::Ipv4)?.connect(IpSocketAddress::Ipv4(address)).await
    }
}

/// Natively there is no outside; the crate only has to compile.
#[cfg(not(target_family = "wasm"))]
mod wasi {
    pub(crate) async fn wait(_ms: u64) {}

    pub(crate) async fn fetch() -> String {
        String::new()
    }

    pub(crate) async fn connect(_port: u16) -> Result<(), std::fmt::Error> {
        Ok(())
    }
}

pub(crate) use wasi::{connect, fetch, wait};
