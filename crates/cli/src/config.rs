//! What can be configured; [`layers`] says where values come from.

mod layers;

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use speech::recognizer::Precision;
use worker::convert;

pub(crate) use self::layers::{Layered, load};
use crate::logging;

/// Everything that can be configured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) log: logging::Options,
    pub(crate) compute: Compute,
    pub(crate) models: Models,
    pub(crate) recognizer: Recognizer,
    pub(crate) audio: Audio,
    pub(crate) segmentation: speech::segmenter::Options,
    pub(crate) queue: queue::AmqpConfig,
    pub(crate) store: store::StoreConfig,
    pub(crate) worker: worker::Options,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Compute {
    /// Cores to use; 0: all that this process may use (the cgroup's quota counts).
    pub(crate) threads: usize,
    /// Bind each thread to one CPU of those that this process may use (Linux).
    pub(crate) pin: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Models {
    /// Where pulled models live.
    pub(crate) directory: PathBuf,
    /// What transcribes unless a job asks for something else: a preset or a recognizer's model by
    /// name, or a model's directory.
    pub(crate) recognizer: String,
    /// Others that jobs may ask for by name.
    pub(crate) also: Vec<String>,
    /// By name or by directory, instead of what the preset names.
    pub(crate) vad: Option<String>,
    /// As `vad`; `none`: no marks are set.
    pub(crate) punctuation: Option<String>,
    /// As `vad`; `none`: no speakers are told apart.
    pub(crate) speakers: Option<String>,
    /// As `vad`; `none`: numbers stay words.
    pub(crate) normalization: Option<String>,
    /// Beginnings of addresses, and what to ask instead: `https://huggingface.co=https://mirror`.
    pub(crate) mirrors: Vec<String>,
    /// Fetch a model of the catalogue when `transcribe` needs it and it is not there.
    pub(crate) auto_pull: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Recognizer {
    pub(crate) precision: Precision,
    /// Hypotheses that the search keeps; 1 is greedy.
    pub(crate) beam_size: usize,
    /// Words and names to expect in every recording.
    pub(crate) hotwords: Vec<String>,
    /// Write numbers, dates and amounts as digits, unless a job says otherwise.
    pub(crate) normalize: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Audio {
    /// Recordings with more bytes are refused.
    pub(crate) max_bytes: u64,
    /// Recordings longer than this are refused, in seconds.
    pub(crate) max_seconds: u64,
    pub(crate) max_channels: usize,
    pub(crate) channels: job::ChannelMode,
    /// Transcribe what is there of a recording that ends before its header says.
    pub(crate) allow_truncated: bool,
}

impl Default for Models {
    fn default() -> Self {
        Self {
            directory: data_directory().join("models"),
            recognizer: models::DEFAULT_RECOGNIZER.to_owned(),
            also: Vec::new(),
            vad: None,
            punctuation: None,
            speakers: None,
            normalization: None,
            mirrors: Vec::new(),
            auto_pull: true,
        }
    }
}

impl Default for Recognizer {
    fn default() -> Self {
        Self { precision: Precision::Auto, beam_size: 1, hotwords: Vec::new(), normalize: false }
    }
}

impl Default for Audio {
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

impl Audio {
    pub(crate) fn options(&self) -> audio::Options {
        audio::Options {
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

/// `$XDG_DATA_HOME/scriptorium`, by default `~/.local/share/scriptorium`.
fn data_directory() -> PathBuf {
    home_directory("XDG_DATA_HOME", ".local/share")
}

/// `$XDG_STATE_HOME/scriptorium`, by default `~/.local/state/scriptorium`.
pub(crate) fn state_directory() -> PathBuf {
    home_directory("XDG_STATE_HOME", ".local/state")
}

fn home_directory(variable: &str, fallback: &str) -> PathBuf {
    let set = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    set.unwrap_or_else(|| home().join(fallback)).join("scriptorium")
}
