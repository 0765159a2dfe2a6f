//! Ways to a server of NATS that a test has started.

use spillway_cluster::NatsConfig;
pub(crate) use spillway_tests::NatsServer as Server;

/// How to reach a server.
pub(crate) trait Reach {
    /// As Spillway does.
    fn config(&self) -> NatsConfig;

    /// Beside Spillway.
    async fn jetstream(&self) -> async_nats::jetstream::Context;
}

impl Reach for Server {
    fn config(&self) -> NatsConfig {
        NatsConfig::new(self.url(), "acme".parse().expect("cluster name"))
    }

    async fn jetstream(&self) -> async_nats::jetstream::Context {
        let client = async_nats::connect(self.url()).await.expect("a connection");
        async_nats::jetstream::new(client)
    }
}
