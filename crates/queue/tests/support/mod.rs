//! Shared by the tests of the queues: access to a broker, and a proxy that breaks connections.

#![allow(dead_code, reason = "each test binary uses only some of it")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use queue::{AmqpConfig, AmqpQueue, Lease, Message, Queue, QueueDepth};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Returns the broker's URL. Without services, prints that the test is skipped and returns `None`.
pub(crate) fn broker() -> Option<String> {
    init_log();
    let url = std::env::var("SCRIPTORIUM_TEST_AMQP_URL").ok();
    if url.is_none() {
        let required = std::env::var("SCRIPTORIUM_TEST_SERVICES").is_ok_and(|value| value == "1");
        assert!(!required, "SCRIPTORIUM_TEST_SERVICES=1 but SCRIPTORIUM_TEST_AMQP_URL is not set");
        println!("skipped: SCRIPTORIUM_TEST_AMQP_URL is not set (make test starts a broker)");
    }
    url
}

/// Returns a configuration with queues of their own and one retry delay of a second.
pub(crate) fn config(url: &str) -> AmqpConfig {
    AmqpConfig {
        url: url.parse().unwrap(),
        prefix: format!("test.{}", uuid::Uuid::now_v7()),
        delivery_limit: 3,
        retry_delays_seconds: vec![1],
        lease_seconds: 1,
        connect_timeout_seconds: Some(30),
        publish_timeout_seconds: 20,
        heartbeat_seconds: 5,
        ..AmqpConfig::default()
    }
}

pub(crate) async fn delete_queues(config: AmqpConfig) {
    AmqpQueue::connect(config).await.unwrap().delete_queues().await.unwrap();
}

/// A TCP proxy in front of the broker that can break connections and simulate an outage.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    broker: String,
    disconnects: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy to the broker at `url`.
    pub(crate) async fn start(url: &str) -> Self {
        Self::start_at(url, "127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn start_at(url: &str, address: SocketAddr) -> Self {
        let broker = authority(url).to_owned();
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (disconnects, _) = watch::channel(0);
        let accepting = tokio::spawn(accept(listener, broker.clone(), disconnects.clone()));
        Self { address, broker, disconnects, accepting }
    }

    /// Returns the broker's URL with the address of this proxy.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replace(&self.broker, &self.address.to_string())
    }

    /// Breaks all connections.
    pub(crate) fn disconnect(&self) {
        self.disconnects.send_modify(|count| *count += 1);
    }

    /// Breaks all connections and accepts no new ones. Returns the address, to start again at it.
    pub(crate) async fn stop(self) -> SocketAddr {
        self.accepting.abort();
        let _ = self.accepting.await;
        self.disconnects.send_modify(|count| *count += 1);
        self.address
    }
}

async fn accept(listener: TcpListener, broker: String, disconnects: watch::Sender<u64>) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else { continue };
        let mut disconnected = disconnects.subscribe();
        let broker = broker.clone();
        tokio::spawn(async move {
            let Ok(mut upstream) = TcpStream::connect(&broker).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut upstream) => {}
                _ = disconnected.changed() => {}
            }
        });
    }
}

fn authority(url: &str) -> &str {
    let rest = url.split_once("://").unwrap().1;
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap()
}

/// Prints the queue's log lines in the output of a failing test.
fn init_log() {
    // Fails if another test of this process has done it.
    let _ = tracing_subscriber::fmt().with_test_writer().with_env_filter("queue=debug").try_init();
}

pub(crate) fn message(id: &str) -> Message {
    Message::new(id, format!("body of {id}"))
}

pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Long enough to conclude that no message comes.
pub(crate) const PAUSE: Duration = Duration::from_millis(300);

pub(crate) async fn lease(consumer: &mut Box<dyn queue::Consumer>) -> Box<dyn Lease> {
    let lease = tokio::time::timeout(SOON, consumer.next()).await;
    lease.expect("no lease in time").expect("the consumer has stopped")
}

pub(crate) async fn no_lease(consumer: &mut Box<dyn queue::Consumer>) {
    let lease = tokio::time::timeout(PAUSE, consumer.next()).await;
    assert!(lease.is_err(), "unexpected: {lease:?}");
}

/// Waits until the depth is as expected, because brokers count with a delay.
pub(crate) async fn expect_depth(queue: &dyn Queue, expected: QueueDepth) {
    let start = Instant::now();
    loop {
        let depth = queue.depth().await.unwrap();
        if depth == expected {
            return;
        }
        assert!(start.elapsed() < SOON, "depth is {depth:?}, expected {expected:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
