//! Certificates for connections to the broker.

use std::path::{Path, PathBuf};

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};

use super::config::AmqpConfig;
use crate::{Error, ErrorKind};

/// Files with certificates. They are read for each connection, because they are renewed while a
/// worker runs.
#[derive(Debug, Clone)]
pub(super) struct Certificates {
    ca: Option<PathBuf>,
    /// Certificate and key of this process.
    identity: Option<(PathBuf, PathBuf)>,
}

impl Certificates {
    pub(super) fn new(config: &AmqpConfig) -> Self {
        let identity = config.certificate_file.clone().zip(config.key_file.clone());
        Self { ca: config.ca_file.clone(), identity }
    }

    pub(super) async fn read(&self) -> Result<OwnedTLSConfig, Error> {
        let cert_chain = match &self.ca {
            Some(path) => {
                let text = String::from_utf8(read(path).await?);
                Some(text.map_err(|error| unreadable(path).with_source(error))?)
            }
            None => None,
        };
        let identity = match &self.identity {
            Some((certificate, key)) => {
                Some(OwnedIdentity::PKCS8 { pem: read(certificate).await?, key: read(key).await? })
            }
            None => None,
        };
        Ok(OwnedTLSConfig { identity, cert_chain })
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, Error> {
    tokio::fs::read(path).await.map_err(|error| unreadable(path).with_source(error))
}

fn unreadable(path: &Path) -> Error {
    Error::new(ErrorKind::Other, format!("reading {}", path.display()))
}
