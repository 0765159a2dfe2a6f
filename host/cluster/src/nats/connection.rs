//! The connection to NATS: it comes back by itself, and whoever waits for an answer does not wait for ever.

use std::future::Future;
use std::time::Duration;

use async_nats::{Client, Event, jetstream};
use tokio::sync::watch;

use super::config::{NatsConfig, NatsConfigError, without_secrets};
use super::failure::Failure;

/// How long a server may take to answer. A healthy one takes milliseconds; beyond this, callers go on without it.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How often a silent server is asked whether it is there. It is given up after the second time without an answer.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// How long to wait at most before the next attempt to connect.
const RECONNECT_MAX: Duration = Duration::from_secs(1);

/// The first version with all that we use: expiry of single messages with markers left behind (2.11), and a consistent
/// answer to a wrong sequence in clusters (2.12).
const SERVER_MIN: (i64, i64, i64) = (2, 12, 0);

/// A connection to NATS.
pub(super) struct Connection {
    client: Client,
    /// JetStream over it.
    pub(super) context: jetstream::Context,
    /// The servers, for messages.
    pub(super) servers: String,
    /// What the client says of itself.
    link: watch::Receiver<Link>,
}

/// The state of a connection.
#[derive(Clone, Debug, Default)]
struct Link {
    connected: bool,
    /// Counts connections: what was learned on one does not hold on the next.
    epoch: u64,
    /// What went wrong last.
    problem: Option<String>,
}

impl Connection {
    /// Starts to connect. It succeeds without a server, too: a node starts when NATS is down.
    pub(super) async fn open(config: &NatsConfig) -> Result<Self, NatsConfigError> {
        let servers = config.servers()?;
        let (sender, link) = watch::channel(Link::default());
        let client = config
            .options()
            .await?
            .name("spillway")
            .retry_on_initial_connect()
            .connection_timeout(ANSWER_MAX)
            .request_timeout(Some(ANSWER_MAX))
            .ping_interval(PING_INTERVAL)
            .reconnect_delay_callback(|attempt| {
                Duration::from_millis(50).saturating_mul(1 << attempt.min(10)).min(RECONNECT_MAX)
            })
            .event_callback(move |event| {
                sender.send_modify(|link| link.hear(&event));
                std::future::ready(())
            })
            .connect(&servers[..])
            .await
            .map_err(|error| NatsConfigError::Files {
                what: "connection to NATS".to_owned(),
                problem: error.to_string(),
            })?;
        let context = jetstream::context::ContextBuilder::new()
            .timeout(ANSWER_MAX)
            // Bounded by whoever waits: a chunk of a blob may take longer than an entry.
            .ack_timeout(Duration::from_secs(60))
            .build(client.clone());
        let servers = config.urls.iter().map(|url| without_secrets(url)).collect::<Vec<_>>().join(",");
        Ok(Self { client, context, servers, link })
    }

    /// Waits for the connection and returns its number. A write is handed to the client only then: the client would keep
    /// it and send it whenever the server is back.
    pub(super) async fn ready(&self) -> Result<u64, Failure> {
        let mut link = self.link.clone();
        let state = link.wait_for(|link| link.connected).await;
        let epoch = state.map_err(|_| Failure::Other("the client has stopped".to_owned()))?.epoch;
        // The client says that it is connected a moment before it knows to whom.
        let version = loop {
            match self.client.try_server_info() {
                Some(server) => break server.version,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let (major, minor, patch) = SERVER_MIN;
        if !self.client.is_server_compatible(major, minor, patch) {
            return Err(Failure::Other(format!("version {version} is too old; run {major}.{minor} or later")));
        }
        Ok(epoch)
    }

    /// Bounds the time of `work`.
    pub(super) async fn answer<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match tokio::time::timeout(ANSWER_MAX, work).await {
            Ok(answer) => answer,
            Err(_) => Err(self.silent(ANSWER_MAX)),
        }
    }

    /// What to say of a server that has not answered.
    pub(super) fn silent(&self, waited: Duration) -> Failure {
        let link = self.link.borrow();
        match &link.problem {
            Some(problem) if !link.connected => Failure::Unreachable(format!("not connected ({problem})")),
            _ if !link.connected => Failure::Unreachable("not connected".to_owned()),
            _ => Failure::Unreachable(format!("no answer in {} s", waited.as_secs())),
        }
    }

    /// Ends when the connection with this number has.
    pub(super) fn lost(&self, epoch: u64) -> impl Future<Output = Failure> + Send + use<> {
        let mut link = self.link.clone();
        async move {
            // An error means that the client has stopped, which loses the connection as well.
            link.wait_for(|link| !link.connected || link.epoch != epoch).await.ok();
            Failure::Unreachable("the connection was lost".to_owned())
        }
    }

    /// A subject for answers.
    pub(super) fn inbox(&self) -> String {
        self.client.new_inbox()
    }

    /// A name that nobody else has.
    pub(super) fn unique(&self) -> String {
        let inbox = self.client.new_inbox();
        inbox.rsplit('.').next().unwrap_or(&inbox).to_owned()
    }
}

impl Link {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Connected => *self = Self { connected: true, epoch: self.epoch + 1, problem: None },
            Event::Disconnected | Event::Closed => self.connected = false,
            Event::ServerError(error) => self.problem = Some(error.to_string()),
            Event::ClientError(error) => self.problem = Some(error.to_string()),
            Event::LameDuckMode | Event::Draining | Event::SlowConsumer(_) => {}
        }
    }
}
