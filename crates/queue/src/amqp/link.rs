use std::{sync::Arc, time::Duration};

use lapin::{Channel, Connection, ConnectionProperties};
use tokio::{sync::Mutex, time::Instant};

use super::{
    backoff::Backoff,
    config::{AmqpConfig, AmqpUrl},
    deadline::Deadline,
    failure::failure,
    topology::Topology,
};
use crate::{Error, Kind};

/// One try, from the name look-up to the declared queues.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection that lived this long was a good one: the next outage starts with short delays.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// A connection to the broker: made when first needed, made anew when lost.
#[derive(Debug)]
pub(super) struct Link {
    url: AmqpUrl,
    heartbeat_seconds: u16,
    /// Shown in the broker's list of connections.
    name: String,
    topology: Arc<Topology>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    live: Option<Live>,
    failed_attempts: u32,
    backoff: Backoff,
    /// No attempt before this moment.
    not_before: Instant,
}

#[derive(Debug)]
struct Live {
    connection: Connection,
    since: Instant,
}

impl Link {
    pub(super) fn new(config: &AmqpConfig, purpose: &str, topology: Arc<Topology>) -> Self {
        let state = State {
            live: None,
            failed_attempts: 0,
            backoff: Backoff::new(),
            not_before: Instant::now(),
        };
        Self {
            url: config.url.clone(),
            heartbeat_seconds: config.heartbeat_seconds,
            name: format!("{} {purpose}, process {}", config.prefix, std::process::id()),
            topology,
            state: Mutex::new(state),
        }
    }

    /// A new channel, connecting first if need be. While the broker cannot be reached this waits
    /// and tries again, and says so in the log; what waiting does not mend it returns at once.
    pub(super) async fn channel(&self, deadline: Deadline) -> Result<Channel, Error> {
        // Whoever holds the lock is connecting; the others wait for the outcome.
        let mut state = deadline.bound(self.state.lock()).await.ok_or_else(|| self.too_late())?;
        loop {
            if let Some(live) = &state.live {
                match self.attempt(deadline, open_channel(&live.connection)).await {
                    Ok(channel) => return Ok(channel),
                    Err(error) => state.lost(&error),
                }
            }
            deadline.bound(tokio::time::sleep_until(state.not_before)).await;
            match self.attempt(deadline, self.connect()).await {
                Ok(connection) => state.connected(connection),
                Err(error) => {
                    let delay = state.failed();
                    if !error.is_transient() || deadline.is_before(state.not_before) {
                        return Err(error);
                    }
                    tracing::warn!(
                        broker = %self.url,
                        attempt = state.failed_attempts,
                        retry_in_ms = delay.as_millis() as u64,
                        %error,
                        "cannot reach the broker, trying again"
                    );
                }
            }
        }
    }

    async fn attempt<T>(
        &self,
        deadline: Deadline,
        attempt: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match deadline.bound(tokio::time::timeout(ATTEMPT_TIMEOUT, attempt)).await {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) | None => Err(self.too_late()),
        }
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let connecting = format!("connecting to {}", self.url);
        let mut uri = self.url.to_uri()?;
        uri.query.connection_timeout.get_or_insert(ATTEMPT_TIMEOUT.as_millis() as u64);
        if self.heartbeat_seconds > 0 {
            uri.query.heartbeat = Some(self.heartbeat_seconds);
        }
        let properties =
            ConnectionProperties::default().with_connection_name(self.name.as_str().into());
        let connection = Connection::connect_uri(uri, properties)
            .await
            .map_err(|error| failure(&connecting, &error))?;
        let channel = open_channel(&connection).await?;
        self.topology.declare(&channel).await?;
        Ok(connection)
    }

    fn too_late(&self) -> Error {
        Error::new(Kind::Unavailable, format!("no answer in time from {}", self.url))
    }
}

async fn open_channel(connection: &Connection) -> Result<Channel, Error> {
    connection.create_channel().await.map_err(|error| failure("opening a channel", &error))
}

impl State {
    fn connected(&mut self, connection: Connection) {
        if self.failed_attempts > 0 {
            tracing::info!(attempts = self.failed_attempts, "the broker is back");
        }
        self.failed_attempts = 0;
        self.live = Some(Live { connection, since: Instant::now() });
    }

    fn lost(&mut self, error: &Error) {
        let Some(live) = self.live.take() else { return };
        if live.since.elapsed() >= STABLE_AFTER {
            self.backoff = Backoff::new();
        }
        let delay = self.delay();
        let retry_in_ms = delay.as_millis() as u64;
        tracing::warn!(retry_in_ms, %error, "lost the connection to the broker");
    }

    fn failed(&mut self) -> Duration {
        self.failed_attempts += 1;
        self.delay()
    }

    fn delay(&mut self) -> Duration {
        let delay = self.backoff.delay();
        self.not_before = Instant::now() + delay;
        delay
    }
}
