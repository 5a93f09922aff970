//! Stands between the binary and a service, for outages.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A TCP proxy that can be cut and restored.
pub(crate) struct Proxy {
    port: u16,
    target: String,
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
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        Self { port, target: target.to_owned(), serving: None }
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
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        let target = self.target.clone();
        self.serving = Some(tokio::spawn(async move {
            // Dropped with the task, and all connections with it.
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let target = target.clone();
                connections.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(target).await {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        }));
    }
}
