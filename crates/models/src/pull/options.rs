//! Options and results of a pull.

use std::ffi::OsString;
use std::time::Duration;

use crate::pins::Pin;
use crate::{Mirrors, ModelDirectory};

/// Called with the number of bytes that have arrived and, if known, the total.
pub(super) type Report<'a> = &'a (dyn Fn(u64, Option<u64>) + Send + Sync);

/// How pulls reach their sources.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// The Python interpreter whose `-m pip download` fetches packages.
    pub python: OsString,
    /// Time within which a server must accept a connection. Short, because there is another source
    /// to try.
    pub connect_timeout: Duration,
    /// Time within which a transfer must bring more bytes.
    pub stall_timeout: Duration,
    /// Number of consecutive attempts that bring no bytes, after which a source is given up.
    pub attempts: u32,
    /// Delay before the second attempt. Later delays double, with jitter.
    pub retry_delay: Duration,
    /// Servers that replace those of the catalogue.
    pub mirrors: Mirrors,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            python: "python3".into(),
            connect_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(30),
            attempts: 3,
            retry_delay: Duration::from_millis(500),
            mirrors: Mirrors::default(),
        }
    }
}

/// A model that was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    pub model: ModelDirectory,
    /// Files whose checksum the catalogue did not know and that this pull pinned: from now on they
    /// must not change.
    pub pinned: Vec<Pin>,
}

/// Progress of one file.
#[derive(Debug, Clone, Copy)]
pub struct PullProgress<'a> {
    pub file: &'a str,
    /// Bytes, including those of earlier pulls.
    pub done: u64,
    /// `None` if neither the catalogue nor the server says.
    pub total: Option<u64>,
}
