//! Options of decoding. The defaults are OpenAI's, except that search is greedy.

use std::path::Path;

use crate::{
    files::broken,
    recognizer::{Error, Precision},
};

const MAX_BEAMS: usize = 64;

/// Options of one opened model. All of them are part of its digest.
#[derive(Debug, Clone, PartialEq)]
pub struct WhisperOptions {
    pub precision: Precision,
    /// Number of hypotheses kept at temperature 0; 1 is greedy search.
    pub beam_size: usize,
    /// Beam search stops after `beam_size * patience` finished hypotheses (arXiv:2204.05424).
    pub patience: f32,
    /// Hypotheses are ranked by log-probability / length^`length_penalty`.
    pub length_penalty: f32,
    /// Number of hypotheses sampled at a temperature above 0; the most probable one is taken.
    pub best_of: usize,
    /// Temperatures tried one after the other until a result passes the two thresholds below.
    pub temperatures: Vec<f32>,
    /// A result is rejected as a repetition loop if zlib compresses its text by more than this
    /// factor.
    pub compression_ratio_threshold: f32,
    /// A result is rejected if its mean natural log-probability per token is below this.
    pub log_probability_threshold: f32,
    /// A window is silence if its no-speech probability is above this and the log-probability of its
    /// result is below the threshold.
    pub no_speech_threshold: f32,
    /// The first timestamp is at most this many seconds after the start of the window.
    pub max_initial_timestamp: f32,
    /// Longest result in tokens. It is also limited to half of the decoder's context.
    pub max_new_tokens: usize,
    /// When one window takes several passes, prompt each pass with the text so far.
    pub condition_on_previous_text: bool,
}

impl Default for WhisperOptions {
    fn default() -> Self {
        Self {
            precision: Precision::Int8,
            beam_size: 1,
            patience: 1.0,
            length_penalty: 1.0,
            best_of: 5,
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            compression_ratio_threshold: 2.4,
            log_probability_threshold: -1.0,
            no_speech_threshold: 0.6,
            max_initial_timestamp: 1.0,
            max_new_tokens: 224,
            condition_on_previous_text: true,
        }
    }
}

impl WhisperOptions {
    /// Checks that decoding can run with these options.
    pub(super) fn validate(&self, model: &Path) -> Result<(), Error> {
        let complaint = if self.beam_size == 0 || self.best_of == 0 || self.max_new_tokens == 0 {
            "beam_size, best_of and max_new_tokens must be at least 1"
        } else if self.beam_size > MAX_BEAMS || self.best_of > MAX_BEAMS {
            "beam_size and best_of must be at most 64"
        } else if self.temperatures.is_empty()
            || !self.temperatures.iter().all(|t| (0.0..=10.0).contains(t))
        {
            "temperatures must be given, each between 0 and 10"
        } else if !(0.01..=10.0).contains(&self.patience) {
            "patience must be between 0.01 and 10"
        } else if !(-10.0..=10.0).contains(&self.length_penalty) {
            "length_penalty must be between -10 and 10"
        } else if !(0.0..=30.0).contains(&self.max_initial_timestamp) {
            "max_initial_timestamp must be between 0 and 30"
        } else {
            return Ok(());
        };
        Err(broken(model, format!("settings: {complaint}")))
    }

    /// Returns the text that enters the model's digest. It is spelled out because fingerprints of
    /// transcripts depend on it: it must not change with the names in the code.
    pub(super) fn digest_text(&self) -> String {
        let Self {
            precision,
            beam_size,
            patience,
            length_penalty,
            best_of,
            temperatures,
            compression_ratio_threshold,
            log_probability_threshold,
            no_speech_threshold,
            max_initial_timestamp,
            max_new_tokens,
            condition_on_previous_text,
        } = self;
        let precision = match precision {
            Precision::F32 => "F32",
            Precision::Bf16 => "Bf16",
            Precision::Int8 => "Int8",
        };
        format!(
            "Settings {{ precision: {precision}, beam_size: {beam_size}, patience: {patience:?}, \
             length_penalty: {length_penalty:?}, best_of: {best_of}, \
             temperatures: {temperatures:?}, \
             compression_ratio_threshold: {compression_ratio_threshold:?}, \
             log_probability_threshold: {log_probability_threshold:?}, \
             no_speech_threshold: {no_speech_threshold:?}, \
             max_initial_timestamp: {max_initial_timestamp:?}, max_new_tokens: {max_new_tokens}, \
             condition_on_previous_text: {condition_on_previous_text} }}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_text_is_that_of_existing_transcripts() {
        assert_eq!(
            WhisperOptions::default().digest_text(),
            "Settings { precision: Int8, beam_size: 1, patience: 1.0, length_penalty: 1.0, \
             best_of: 5, temperatures: [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], \
             compression_ratio_threshold: 2.4, log_probability_threshold: -1.0, \
             no_speech_threshold: 0.6, max_initial_timestamp: 1.0, max_new_tokens: 224, \
             condition_on_previous_text: true }"
        );
    }
}
