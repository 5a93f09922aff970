//! How to decode. The defaults are OpenAI's, but for the beam.

use std::path::Path;

use super::network::Precision;
use crate::recognizer::Error;

/// Settings of one opened model. All of them enter its digest.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub precision: Precision,
    /// Hypotheses kept at temperature 0; 1 is greedy search.
    pub beam_size: usize,
    /// Beam search stops after `beam_size * patience` finished hypotheses (arXiv:2204.05424).
    pub patience: f32,
    /// Hypotheses are ranked by log-probability / length^`length_penalty`.
    pub length_penalty: f32,
    /// Samples drawn at a temperature above 0, of which the likeliest is taken.
    pub best_of: usize,
    /// Tried in turn until a result passes the two thresholds below.
    pub temperatures: Vec<f32>,
    /// Text that zlib shrinks by more than this is a loop.
    pub compression_ratio_threshold: f32,
    /// Mean natural log-probability per token below which a result is not believed.
    pub log_probability_threshold: f32,
    /// A window is silence if its no-speech probability is above this and its result is not
    /// believed.
    pub no_speech_threshold: f32,
    /// The first words begin at most this many seconds into the window.
    pub max_initial_timestamp: f32,
    /// At most half of the decoder's context is used, whatever is set here.
    pub max_new_tokens: usize,
    /// When one window takes several passes, prompt each with the text so far.
    pub condition_on_previous_text: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            precision: Precision::default(),
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

impl Settings {
    /// Refuses what no search can run with.
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
        Err(Error::Model { path: model.to_owned(), message: format!("settings: {complaint}") })
    }
}

const MAX_BEAMS: usize = 64;
