//! Section `output`: how transcripts are named.

use job::OutputName;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// Name of a transcript: that of its recording, or its stem. For `transcribe` and `submit`.
    pub name: OutputName,
    /// Whether the names of subtitles carry the language, unless a job says otherwise.
    pub language_suffix: bool,
    /// Whether renderings are replaced that somebody has edited since they were written.
    pub overwrite: bool,
}
