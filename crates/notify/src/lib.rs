//! Delivers signed webhooks to hosts that the configuration allows, and never to private addresses unless
//! that is allowed, too.
//!
//! A URL comes from whoever submits a batch, so nothing about it is trusted. [`Webhooks`] checks the host
//! against the list of the configuration, and each address when a connection is made to it, so that a name
//! that resolves to another address the second time gets nobody past the check. It follows no redirects
//! and uses no proxies.
//!
//! Signatures are those of Standard Webhooks (standardwebhooks.com, version 1.0.0), for which there are
//! libraries in many languages.

mod config;
mod policy;
mod send;
mod signature;
mod url;

pub use secret::Secret;

pub use self::{
    config::{ConfigError, NotifyConfig},
    policy::Refusal,
    send::{Answer, Error, Request, Webhooks},
    url::{InvalidUrl, MAX_URL_BYTES, WebhookUrl},
};
