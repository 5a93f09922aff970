//! The client of an S3 service.

use aws_config::{
    BehaviorVersion, environment::region::EnvironmentVariableRegionProvider,
    meta::region::RegionProviderChain, profile::region::ProfileFileRegionProvider,
    retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_s3::{
    Client,
    config::{Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation},
};
use std::time::Duration;
use tokio::sync::OnceCell;

use crate::{Checksums, Error, ErrorKind, S3Config};

/// Region for servers that have none: signatures need one.
const DEFAULT_REGION: &str = "us-east-1";

/// The client that all buckets share. It is created on the first use, because finding region and
/// credentials needs a runtime.
#[derive(Debug)]
pub(crate) struct Service {
    config: S3Config,
    client: OnceCell<Client>,
}

impl Service {
    pub(crate) fn new(config: S3Config) -> Self {
        Self { config, client: OnceCell::new() }
    }

    pub(super) fn config(&self) -> &S3Config {
        &self.config
    }

    pub(super) async fn client(&self) -> Result<&Client, Error> {
        self.client.get_or_try_init(|| connect(&self.config)).await
    }
}

async fn connect(config: &S3Config) -> Result<Client, Error> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(config.connect_timeout_seconds))
        .read_timeout(config.read_timeout())
        .operation_timeout(Duration::from_secs(config.operation_timeout_seconds))
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(config.max_attempts));
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    } else if config.endpoint.is_some() {
        // Without the instance's metadata service: outside of Amazon it only costs time.
        let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new())
            .or_else(DEFAULT_REGION);
        loader = loader.region(chain);
    }
    if let Some(endpoint) = &config.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let (Some(access), Some(secret)) = (&config.access_key, &config.secret_key) {
        let token = config.session_token.as_ref().map(|token| token.reveal().to_owned());
        let credentials =
            Credentials::new(access, secret.reveal(), token, None, "scriptorium configuration");
        loader = loader.credentials_provider(credentials);
    }

    let shared = loader.load().await;
    let mut s3 = aws_sdk_s3::config::Builder::from(&shared)
        .force_path_style(config.force_path_style)
        .request_checksum_calculation(match config.checksums {
            Checksums::WhenRequired => RequestChecksumCalculation::WhenRequired,
            Checksums::WhenSupported => RequestChecksumCalculation::WhenSupported,
        })
        .response_checksum_validation(match config.checksums {
            Checksums::WhenRequired => ResponseChecksumValidation::WhenRequired,
            Checksums::WhenSupported => ResponseChecksumValidation::WhenSupported,
        });
    if shared.region().is_none() {
        if shared.endpoint_url().is_none() {
            let message = "no region: set it here, in AWS_REGION or in an AWS profile";
            return Err(Error::new(
                ErrorKind::Misconfigured,
                "configure",
                "store.s3.region",
                message,
            ));
        }
        s3 = s3.region(Region::from_static(DEFAULT_REGION));
    }
    Ok(Client::from_conf(s3.build()))
}
