//! Section `models`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::environment;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelsConfig {
    /// Directory of pulled models.
    pub directory: PathBuf,
    /// Default for jobs that name no model: a preset, a recognizer's model by name, or a model's
    /// directory.
    pub recognizer: String,
    /// Further presets and models that jobs may ask for by name.
    pub also: Vec<String>,
    /// Model by name or by directory, in place of the preset's.
    pub vad: Option<String>,
    /// As `vad`; `none`: no punctuation model.
    pub punctuation: Option<String>,
    /// As `vad`; `none`: no diarization.
    pub speakers: Option<String>,
    /// As `vad`, for diarization; `none`: speech of several people at once is not told apart.
    pub speaker_segmentation: Option<String>,
    /// As `vad`; `none`: numbers stay words.
    pub normalization: Option<String>,
    /// URL prefixes and their replacements: `https://huggingface.co=https://mirror`.
    pub mirrors: Vec<String>,
    /// Pull a model of the catalogue when `transcribe` needs it and it is not installed.
    pub auto_pull: bool,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        Self {
            directory: environment::data_directory().join("models"),
            recognizer: models::DEFAULT_RECOGNIZER.to_owned(),
            also: Vec::new(),
            vad: None,
            punctuation: None,
            speakers: None,
            speaker_segmentation: None,
            normalization: None,
            mirrors: Vec::new(),
            auto_pull: true,
        }
    }
}
