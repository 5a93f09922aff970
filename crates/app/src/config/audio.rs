//! Section `audio`.

use std::{path::PathBuf, time::Duration};

use audio::{Fallback, Ffmpeg};
use serde::{Deserialize, Serialize};
use worker::convert;

use crate::{ConfigError, environment};

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
    /// Audio track by number or language; by default the default track, else the first that decodes.
    pub track: Option<String>,
    /// Transcribe the available part of a recording that ends before its header says.
    pub allow_truncated: bool,
    /// Whether ffmpeg decodes what this program cannot.
    pub fallback: FallbackMode,
    /// Directory of the copies in which ffmpeg seeks; by default the system's for temporary files.
    pub spool_directory: Option<PathBuf>,
    /// Largest such copy, in bytes.
    pub max_spool_bytes: u64,
}

/// Values of `audio.fallback`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FallbackMode {
    /// If ffmpeg is installed.
    Auto,
    Off,
    /// Always; without ffmpeg the program does not start.
    Ffmpeg,
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
            track: None,
            allow_truncated: false,
            fallback: FallbackMode::Auto,
            spool_directory: None,
            max_spool_bytes: 8 << 30,
        }
    }
}

impl AudioConfig {
    /// Returns the options of the decoder. Looks for ffmpeg, if it may be used.
    ///
    /// # Errors
    /// Names the key whose value cannot be used.
    pub fn options(&self) -> Result<audio::DecodeOptions, ConfigError> {
        let track = self.track.as_deref().map(str::parse).transpose();
        Ok(audio::DecodeOptions {
            limits: audio::Limits {
                max_bytes: self.max_bytes,
                max_duration: Duration::from_secs(self.max_seconds),
                max_channels: self.max_channels,
                max_packet_bytes: self.max_packet_bytes,
            },
            channels: convert::channel_mode(self.channels),
            allow_truncated: self.allow_truncated,
            track: track
                .map_err(|error: String| ConfigError::new(format!("audio.track: {error}")))?,
            fallback: self.find_fallback()?,
        })
    }

    fn find_fallback(&self) -> Result<Fallback, ConfigError> {
        let missing = |why: &str| ConfigError::new(format!("audio.fallback: {why}"));
        if self.fallback == FallbackMode::Off {
            return Ok(Fallback::Off);
        }
        let required = self.fallback == FallbackMode::Ffmpeg;
        let Some(path) = environment::find_program("ffmpeg") else {
            if required {
                return Err(missing("no program `ffmpeg` in PATH; install the package ffmpeg"));
            }
            return Ok(Fallback::Missing);
        };
        let spool = self.spool_directory.clone().unwrap_or_else(environment::temporary_directory);
        match Ffmpeg::open(&path, spool, self.max_spool_bytes) {
            Ok(ffmpeg) => Ok(Fallback::Ffmpeg(ffmpeg)),
            Err(error) if required => Err(ConfigError::caused("audio.fallback", error)),
            Err(error) => {
                let error = errors::Chain(&error).to_string();
                tracing::warn!(error, "ffmpeg is installed and cannot be used");
                Ok(Fallback::Missing)
            }
        }
    }
}
