//! What the SDK does not offer and a component can import all the same.

#[cfg(target_family = "wasm")]
mod wasi {
    use wasip3::clocks::monotonic_clock;
    use wasip3::sockets::types::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket};

    pub(crate) async fn wait(ms: u64) {
        monotonic_clock::wait_for(ms * 1_000_000).await;
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

    pub(crate) async fn connect(_port: u16) -> Result<(), std::fmt::Error> {
        Ok(())
    }
}

pub(crate) use wasi::{connect, wait};
