//! Section `recognizer`.

use serde::{Deserialize, Serialize};
use speech::recognizer::Precision;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecognizerConfig {
    /// Number format of linear layers. `None`, spelled `auto`, is the fastest.
    #[serde(with = "super::precision")]
    pub precision: Option<Precision>,
    /// Hypotheses that beam search keeps; 1 is greedy decoding.
    pub beam_size: usize,
    /// Hotwords for every recording.
    pub hotwords: Vec<String>,
    /// Write numbers, dates and amounts as digits, unless a job says otherwise.
    pub normalize: bool,
}

impl Default for RecognizerConfig {
    fn default() -> Self {
        Self { precision: None, beam_size: 1, hotwords: Vec::new(), normalize: false }
    }
}
