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
    pub channels: job::ChannelMode,
    /// Transcribe the available part of a recording that ends before its header says.
    pub allow_truncated: bool,
}

impl Default for AudioConfig {
    fn default() -> Self {
        Self {
            max_bytes: 32 << 30,
            max_seconds: 24 * 3600,
            max_channels: 32,
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
            },
            channels: convert::channel_mode(self.channels),
            allow_truncated: self.allow_truncated,
        }
    }
}
