//! Whisper's encoder and decoder as tract graphs, with a key/value cache.

use std::{path::Path, sync::Arc};

use crate::recognizer::Error;

/// Number format of the linear layers' products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    F32,
    /// Weights quantized per row when loaded (or as the file holds them), activations per row on
    /// the fly, as CTranslate2 does with `compute_type="int8"`.
    #[default]
    Int8,
}

/// Sizes read from the weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dimensions {
    /// 80, or 128 for large-v3.
    pub mels: usize,
    /// Encoder positions: 1500.
    pub audio_context: usize,
    /// Decoder positions: 448.
    pub text_context: usize,
    pub vocabulary: usize,
    pub width: usize,
    pub heads: usize,
    pub encoder_layers: usize,
    pub decoder_layers: usize,
}

/// Weights and graphs, shared by all threads.
pub struct Network {
    dimensions: Dimensions,
}

/// Keys and values of the audio for every decoder layer, shared by the beams of one window.
pub struct EncodedAudio {}

/// Key/value cache of `beams` hypotheses over one window.
pub struct DecoderState {}

impl Network {
    /// Opens `model.bin` in a CTranslate2 model directory.
    pub fn open(_directory: &Path, _precision: Precision) -> Result<Self, Error> {
        unimplemented!()
    }

    pub fn dimensions(&self) -> &Dimensions {
        &self.dimensions
    }

    /// Encodes one 30-second window. `mel`: log-mel as OpenAI's, row-major `[mels, 3000]`.
    pub fn encode(&self, _mel: &[f32]) -> Result<Arc<EncodedAudio>, Error> {
        unimplemented!()
    }

    /// A decoder over `audio` with an empty cache and one hypothesis.
    pub fn start(&self, _audio: Arc<EncodedAudio>) -> DecoderState {
        unimplemented!()
    }

    /// Feeds `tokens` (row-major `[beams, n]`, all beams the same `n >= 1`), and writes the logits
    /// of the last position, `[beams, vocabulary]`, to `logits`.
    pub fn step(
        &self,
        _state: &mut DecoderState,
        _tokens: &[u32],
        _logits: &mut Vec<f32>,
    ) -> Result<(), Error> {
        unimplemented!()
    }

    /// Makes beam `i` a copy of what was beam `parents[i]`; also changes the number of beams.
    pub fn reorder(&self, _state: &mut DecoderState, _parents: &[usize]) -> Result<(), Error> {
        unimplemented!()
    }
}
