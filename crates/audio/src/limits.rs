//! Limits above which a recording is refused.

use std::time::Duration;

/// Limits above which a recording is refused.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Limits the size of the file, if it is known in advance, and the bytes read.
    pub max_bytes: u64,
    pub max_duration: Duration,
    pub max_channels: usize,
    /// Limits the size of a packet or another element of a container that must be read whole. Headers
    /// may be eight times as large.
    pub max_packet_bytes: u64,
}

impl Default for Limits {
    /// No real recording needs more.
    fn default() -> Self {
        Self {
            max_bytes: 32 << 30,
            max_duration: Duration::from_secs(24 * 3600),
            max_channels: 32,
            max_packet_bytes: 16 << 20,
        }
    }
}
