//! Connections with TLS: a private authority, and a certificate of the client. A proxy that speaks TLS
//! stands in front of the broker.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

mod support;

use std::{fs, sync::Arc};

use queue::{AmqpConfig, AmqpQueue, ErrorKind, Queue};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use support::{broker, config, delete_queues, message};
use tokio::{io::copy_bidirectional, net::TcpListener, net::TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier},
};

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Returns certificate and key, both as PEM.
fn signed(
    authority: &CertifiedIssuer<'static, KeyPair>,
    name: &str,
) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.signed_by(&key, authority).unwrap(), key)
}

/// Starts a proxy that requires a certificate of the client; returns its port.
async fn start_proxy(authority: &CertifiedIssuer<'static, KeyPair>, broker: String) -> u16 {
    let (certificate, key) = signed(authority, "localhost");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.der().to_vec())).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, broker) = (acceptor.clone(), broker.clone());
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(socket).await else { return };
                let Ok(mut upstream) = TcpStream::connect(broker).await else { return };
                let _ = copy_bidirectional(&mut client, &mut upstream).await;
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connects_with_a_private_authority_and_a_certificate_of_its_own() {
    let Some(broker) = broker() else { return };
    let plain = config(&broker);
    let authority = authority();
    let (_, rest) = broker.split_once("://").unwrap();
    let (user, place) = rest.rsplit_once('@').unwrap();
    let (address, vhost) = place.split_once('/').unwrap();
    let port = start_proxy(&authority, address.to_owned()).await;
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: String| {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        Some(path)
    };
    let (certificate, key) = signed(&authority, "worker");
    let tls = AmqpConfig {
        url: format!("amqps://{user}@localhost:{port}/{vhost}").parse().unwrap(),
        connect_timeout_seconds: Some(3),
        ca_file: file("ca.pem", authority.pem()),
        certificate_file: file("worker.pem", certificate.pem()),
        key_file: file("worker.key", key.serialize_pem()),
        ..plain.clone()
    };
    let queue = AmqpQueue::connect(tls.clone()).await.unwrap();
    queue.publish(message("a")).await.unwrap();
    assert_eq!(queue.depth().await.unwrap().ready, 1);

    let untrusted = AmqpConfig { ca_file: None, ..tls.clone() };
    assert!(AmqpQueue::connect(untrusted).await.is_err());
    let unknown = AmqpConfig { certificate_file: None, key_file: None, ..tls.clone() };
    assert!(AmqpQueue::connect(unknown).await.is_err());
    let half = AmqpConfig { key_file: None, ..tls.clone() };
    assert!(AmqpQueue::connect(half).await.unwrap_err().to_string().contains("belong together"));
    let missing = AmqpConfig { ca_file: Some("/nonexistent/ca.pem".into()), ..tls };
    let error = AmqpQueue::connect(missing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(format!("{error:#}").contains("/nonexistent/ca.pem"), "{error:#}");
    delete_queues(plain).await;
}
