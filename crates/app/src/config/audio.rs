//! Section `audio`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use worker::convert;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AudioConfig {
    /// Largest recording accepted, in bytes.
    pub max_bytes: u64,
    /// Longest recording accepted, in seconds.
    pub max_seconds: u64,
    /// Largest number of channels accepted.
    pub max_channels: usize,
    /// Largest packet of a container accepted, in bytes; its header may be eight times as large.
    pub max_packet_bytes: u64,
    pub channels: job::ChannelMode,
    /// Transcribe the available part of a recording that ends before its header says.
    pub allow_truncated: bool,
}

impl Default for AudioConfig {
    fn default() -> Self {
        let limits = audio::Limits::default();
        Self {
            max_bytes: limits.max_bytes,
            max_seconds: limits.max_duration.as_secs(),
            max_channels: limits.max_channels,
            max_packet_bytes: limits.max_packet_bytes,
            channels: job::ChannelMode::Mix,
            allow_truncated: false,
        }
    }
}

impl AudioConfig {
    /// Returns the options of the decoder.
    pub fn options(&self) -> audio::DecodeOptions {
        audio::DecodeOptions {
            limits: audio::Limits {
                max_bytes: self.max_bytes,
                max_duration: Duration::from_secs(self.max_seconds),
                max_channels: self.max_channels,
                max_packet_bytes: self.max_packet_bytes,
            },
            channels: convert::channel_mode(self.channels),
            allow_truncated: self.allow_truncated,
        }
    }
}
