//! Stands between the binary and a service, for outages.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// Serves a connection of a client with one to the service.
pub(crate) type Relay = Arc<dyn Fn(TcpStream, TcpStream) -> BoxFuture<'static, ()> + Send + Sync>;

/// A TCP proxy that can be cut and restored.
pub(crate) struct Proxy {
    port: u16,
    target: String,
    relay: Relay,
    serving: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy to the address `target`.
    pub(crate) async fn start(target: &str) -> Self {
        let mut proxy = Self::cut_off(target).await;
        proxy.restore().await;
        proxy
    }

    /// Returns a proxy that refuses connections until it is restored.
    pub(crate) async fn cut_off(target: &str) -> Self {
        let copy = |mut client: TcpStream, mut server: TcpStream| {
            async move {
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
            .boxed()
        };
        Self::with_relay(target, Arc::new(copy)).await
    }

    /// Returns a proxy that refuses connections until it is restored, and then serves each with `relay`.
    pub(crate) async fn with_relay(target: &str, relay: Relay) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        Self { port, target: target.to_owned(), relay, serving: None }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Breaks all connections, and refuses new ones.
    pub(crate) async fn cut(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ = serving.await;
        }
    }

    /// Accepts connections.
    pub(crate) async fn restore(&mut self) {
        self.cut().await;
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        let (target, relay) = (self.target.clone(), Arc::clone(&self.relay));
        self.serving = Some(tokio::spawn(async move {
            // Dropped with the task, and all connections with it.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (target, relay) = (target.clone(), Arc::clone(&relay));
                connections.spawn(async move {
                    if let Ok(server) = TcpStream::connect(target).await {
                        relay(client, server).await;
                    }
                });
            }
        }));
    }
}
