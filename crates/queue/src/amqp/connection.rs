//! A connection to the broker that reconnects.

use std::{sync::Arc, time::Duration};

use lapin::{Channel, Connection, ConnectionProperties};
use tokio::{sync::Mutex, time::Instant};

use super::{
    backoff::Backoff,
    config::{AmqpConfig, AmqpUrl},
    deadline::Deadline,
    error::broker_error,
    tls::Certificates,
    topology::Topology,
};
use crate::{Error, ErrorKind};

/// Limit of one attempt, from the DNS lookup to the declaration of the queues.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// After a connection has lived this long, the delays of the next outage start short again.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// A connection to the broker, opened on first use and reopened after it is lost.
#[derive(Debug)]
pub(super) struct BrokerConnection {
    url: AmqpUrl,
    certificates: Certificates,
    heartbeat_seconds: u16,
    /// Name in the broker's list of connections.
    name: String,
    topology: Arc<Topology>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    current: Option<Established>,
    failed_attempts: u32,
    backoff: Backoff,
    /// Earliest time of the next attempt.
    not_before: Instant,
}

#[derive(Debug)]
struct Established {
    connection: Connection,
    since: Instant,
}

impl BrokerConnection {
    pub(super) fn new(config: &AmqpConfig, purpose: &str, topology: Arc<Topology>) -> Self {
        let state = State {
            current: None,
            failed_attempts: 0,
            backoff: Backoff::new(),
            not_before: Instant::now(),
        };
        Self {
            url: config.url.clone(),
            certificates: Certificates::new(config),
            heartbeat_seconds: config.heartbeat_seconds,
            name: format!("{} {purpose}, process {}", config.prefix, std::process::id()),
            topology,
            state: Mutex::new(state),
        }
    }

    /// Returns whether there is a connection. While somebody connects, there is none.
    pub(super) fn is_connected(&self) -> bool {
        self.state.try_lock().is_ok_and(|state| {
            state.current.as_ref().is_some_and(|current| current.connection.status().connected())
        })
    }

    /// Opens a channel, connecting first if necessary. While the broker cannot be reached, retries
    /// until the deadline and logs each failure. Returns permanent errors at once.
    pub(super) async fn channel(&self, deadline: Deadline) -> Result<Channel, Error> {
        // The task that holds the lock connects; the others wait for the result.
        let mut state = deadline.bound(self.state.lock()).await.ok_or_else(|| self.timed_out())?;
        loop {
            if let Some(current) = &state.current {
                match self.attempt(deadline, open_channel(&current.connection)).await {
                    Ok(channel) => return Ok(channel),
                    Err(error) => state.disconnected(&error),
                }
            }
            deadline.bound(tokio::time::sleep_until(state.not_before)).await;
            match self.attempt(deadline, self.connect()).await {
                Ok(connection) => state.connected(connection),
                Err(error) => {
                    let delay = state.attempt_failed();
                    if !error.is_transient() || deadline.is_before(state.not_before) {
                        return Err(error);
                    }
                    tracing::warn!(
                        broker = %self.url,
                        attempt = state.failed_attempts,
                        retry_in_ms = delay.as_millis() as u64,
                        error = %format_args!("{error:#}"),
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
            Some(Err(_)) | None => Err(self.timed_out()),
        }
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let mut uri = self.url.to_uri()?;
        uri.query.connection_timeout.get_or_insert(ATTEMPT_TIMEOUT.as_millis() as u64);
        if self.heartbeat_seconds > 0 {
            uri.query.heartbeat = Some(self.heartbeat_seconds);
        }
        let properties =
            ConnectionProperties::default().with_connection_name(self.name.as_str().into());
        let connecting = |error| broker_error(format!("connecting to {}", self.url), error);
        let certificates = self.certificates.read().await?;
        let runtime = lapin::runtime::default_runtime().map_err(connecting)?;
        let connection =
            Connection::connect_uri_with_config(uri, properties, certificates, runtime)
                .await
                .map_err(connecting)?;
        let channel = open_channel(&connection).await?;
        self.topology.declare(&channel).await?;
        Ok(connection)
    }

    fn timed_out(&self) -> Error {
        Error::new(ErrorKind::Unavailable, format!("no answer in time from {}", self.url))
    }
}

async fn open_channel(connection: &Connection) -> Result<Channel, Error> {
    connection.create_channel().await.map_err(|error| broker_error("opening a channel", error))
}

impl State {
    fn connected(&mut self, connection: Connection) {
        if self.failed_attempts > 0 {
            tracing::info!(attempts = self.failed_attempts, "reconnected to the broker");
        }
        self.failed_attempts = 0;
        self.current = Some(Established { connection, since: Instant::now() });
    }

    fn disconnected(&mut self, error: &Error) {
        let Some(established) = self.current.take() else { return };
        if established.since.elapsed() >= STABLE_AFTER {
            self.backoff = Backoff::new();
        }
        let delay = self.schedule_attempt();
        let retry_in_ms = delay.as_millis() as u64;
        tracing::warn!(retry_in_ms, error = %format_args!("{error:#}"), "lost the connection to the broker");
    }

    fn attempt_failed(&mut self) -> Duration {
        self.failed_attempts += 1;
        self.schedule_attempt()
    }

    fn schedule_attempt(&mut self) -> Duration {
        let delay = self.backoff.next_delay();
        self.not_before = Instant::now() + delay;
        delay
    }
}
