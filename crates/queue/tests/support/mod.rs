//! What the tests of the AMQP queue share: a broker to talk to, and a wire that can be cut.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use queue::{AmqpConfig, AmqpQueue, Depth, Lease, Message, Queue};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// The broker's URL; `None`, said aloud, where the tests run without services.
pub(crate) fn broker() -> Option<String> {
    show_log();
    let url = std::env::var("SCRIPTORIUM_TEST_AMQP_URL").ok();
    if url.is_none() {
        let required = std::env::var("SCRIPTORIUM_TEST_SERVICES").is_ok_and(|value| value == "1");
        assert!(!required, "SCRIPTORIUM_TEST_SERVICES=1 but SCRIPTORIUM_TEST_AMQP_URL is not set");
        println!("skipped: SCRIPTORIUM_TEST_AMQP_URL is not set (make test starts a broker)");
    }
    url
}

/// Queues of the test's own, with one delay of a second.
pub(crate) fn config(url: &str) -> AmqpConfig {
    AmqpConfig {
        url: url.parse().unwrap(),
        prefix: format!("test.{}", uuid::Uuid::now_v7()),
        delivery_limit: 3,
        retry_delays_seconds: vec![1],
        connect_timeout_seconds: Some(30),
        publish_timeout_seconds: 20,
        heartbeat_seconds: 5,
    }
}

pub(crate) async fn delete_queues(config: AmqpConfig) {
    AmqpQueue::connect(config).await.unwrap().destroy().await.unwrap();
}

/// A TCP proxy before the broker, to break connections and to be down.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    broker: String,
    cuts: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// `url` is the broker's.
    pub(crate) async fn start(url: &str) -> Self {
        Self::start_at(url, "127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn start_at(url: &str, address: SocketAddr) -> Self {
        let broker = authority(url).to_owned();
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cuts, _) = watch::channel(0);
        let accepting = tokio::spawn(accept(listener, broker.clone(), cuts.clone()));
        Self { address, broker, cuts, accepting }
    }

    /// The broker's URL by way of this proxy.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replace(&self.broker, &self.address.to_string())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection there is.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Breaks every connection and accepts no more.
    pub(crate) async fn shut(self) -> SocketAddr {
        self.accepting.abort();
        let _ = self.accepting.await;
        self.cuts.send_modify(|cuts| *cuts += 1);
        self.address
    }
}

async fn accept(listener: TcpListener, broker: String, cuts: watch::Sender<u64>) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else { continue };
        let mut cut = cuts.subscribe();
        let broker = broker.clone();
        tokio::spawn(async move {
            let Ok(mut upstream) = TcpStream::connect(&broker).await else { return };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut upstream) => {}
                _ = cut.changed() => {}
            }
        });
    }
}

fn authority(url: &str) -> &str {
    let rest = url.split_once("://").unwrap().1;
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap()
}

/// Shows the queue's log lines in the output of a failing test.
fn show_log() {
    // Fails where another test of this process has done it.
    let _ = tracing_subscriber::fmt().with_test_writer().with_env_filter("queue=debug").try_init();
}

pub(crate) fn message(id: &str) -> Message {
    Message { id: id.to_owned(), body: Bytes::from(format!("body of {id}")), attempt: 0 }
}

pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Long enough to see that nothing comes.
pub(crate) const PAUSE: Duration = Duration::from_millis(300);

pub(crate) async fn lease(consumer: &mut Box<dyn queue::Consumer>) -> Box<dyn Lease> {
    let lease = tokio::time::timeout(SOON, consumer.next()).await;
    lease.expect("no lease in time").expect("the consumer has stopped")
}

pub(crate) async fn no_lease(consumer: &mut Box<dyn queue::Consumer>) {
    let lease = tokio::time::timeout(PAUSE, consumer.next()).await;
    assert!(lease.is_err(), "unexpected: {lease:?}");
}

/// Brokers count with a delay.
pub(crate) async fn expect_depth(queue: &dyn Queue, expected: Depth) {
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
