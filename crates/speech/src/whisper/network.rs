//! Whisper's encoder and decoder as tract graphs, with a key/value cache.
//!
//! The architecture is that of Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak
//! Supervision", and of `whisper/model.py` in openai/whisper; names of weights and the quantization
//! rule are CTranslate2's.

mod build;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use engine::{ComputeType, EncoderMemory, KeyValueCache};

use crate::recognizer::Error;

/// Number format of the linear layers' products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    F32,
    /// Weights rounded when loaded, activations on the fly, sums in f32.
    Bf16,
    /// Weights quantized per row when loaded (or as the file holds them), activations per row on
    /// the fly, as CTranslate2 does with `compute_type="int8"`.
    #[default]
    Int8,
}

impl Precision {
    /// In attention. What is quantized or rounded is far from exact already.
    fn products(self) -> ComputeType {
        match self {
            Self::F32 => ComputeType::Float,
            Self::Bf16 | Self::Int8 => ComputeType::fastest(),
        }
    }
}

/// Sizes read from the weights. The numbers are OpenAI's.
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
#[derive(Debug)]
pub struct Network {
    dimensions: Dimensions,
    products: ComputeType,
    /// Mel `[mels, 3000]` to states `[audio_context, width]`.
    encoder: engine::Network,
    /// Per decoder layer: states to keys and values `[audio_context, 2 * width]`.
    memories: Vec<engine::Network>,
    /// Tokens `[beams, n]` to logits `[beams, vocabulary]`.
    decoder: engine::Network,
}

/// Keys and values of the audio for every decoder layer, shared by the beams of one window.
pub struct EncodedAudio {
    memories: Arc<EncoderMemory>,
}

/// Key/value cache of `beams` hypotheses over one window.
pub struct DecoderState {
    cache: KeyValueCache,
    memories: Arc<EncoderMemory>,
}

impl Dimensions {
    /// Mel frames of one window: 3000.
    pub fn frames(&self) -> usize {
        2 * self.audio_context
    }
}

impl DecoderState {
    /// Positions decoded so far; no more than [`Dimensions::text_context`].
    pub fn length(&self) -> usize {
        self.cache.length()
    }

    pub fn beams(&self) -> usize {
        self.cache.beams()
    }
}

impl Network {
    /// Opens `model.bin` in a CTranslate2 model directory.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is missing, broken, or no Whisper model.
    pub fn open(directory: &Path, precision: Precision) -> Result<Self, Error> {
        build::network(&directory.join("model.bin"), precision, precision.products())
    }

    pub fn dimensions(&self) -> &Dimensions {
        &self.dimensions
    }

    /// Encodes one 30-second window. `mel`: log-mel as OpenAI's, row-major `[mels, 3000]`
    /// (two frames for each of the encoder's positions).
    ///
    /// # Errors
    /// [`Error::Network`] if `mel` has another size.
    pub fn encode(&self, mel: &[f32]) -> Result<Arc<EncodedAudio>, Error> {
        let states = self.states(mel)?;
        let mut memories = EncoderMemory::default();
        for layer in &self.memories {
            let keys_values = layer.run(vec![states.clone()])?;
            memories.push(first(&keys_values)?, self.dimensions.heads, self.products)?;
        }
        Ok(Arc::new(EncodedAudio { memories: Arc::new(memories) }))
    }

    /// The encoder's output, `[audio_context, width]`.
    fn states(&self, mel: &[f32]) -> Result<engine::Tensor, Error> {
        let mel = engine::tensor(&[self.dimensions.mels, self.dimensions.frames()], mel)?;
        let outputs = self.encoder.run(vec![mel])?;
        outputs.into_iter().next().ok_or_else(no_output)
    }

    /// A decoder over `audio` with an empty cache and one hypothesis.
    pub fn start(&self, audio: Arc<EncodedAudio>) -> DecoderState {
        let Dimensions { decoder_layers, heads, width, text_context, .. } = self.dimensions;
        DecoderState {
            cache: KeyValueCache::new(decoder_layers, heads, width, text_context),
            memories: audio.memories.clone(),
        }
    }

    /// Feeds `tokens` (row-major `[beams, n]`, all beams the same `n >= 1`), and writes the logits
    /// of the last position, `[beams, vocabulary]`, to `logits`.
    ///
    /// # Errors
    /// [`Error::Network`] if there are more tokens than positions left, if a token is not in the
    /// vocabulary, or if `tokens` is no multiple of the beams. The state stays as it was.
    pub fn step(
        &self,
        state: &mut DecoderState,
        tokens: &[u32],
        logits: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let beams = state.cache.beams();
        let tokens: Vec<i64> = tokens.iter().map(|&token| token.into()).collect();
        let tokens = engine::tensor(&[beams, tokens.len() / beams.max(1)], &tokens)?;
        let outputs = self.decoder.decode(&mut state.cache, &state.memories, vec![tokens])?;
        logits.clear();
        logits.extend_from_slice(engine::values(first(&outputs)?)?);
        Ok(())
    }

    /// Makes beam `i` a copy of what was beam `parents[i]`; also changes the number of beams.
    ///
    /// # Errors
    /// [`Error::Network`] if there is no such parent, or none at all.
    pub fn reorder(&self, state: &mut DecoderState, parents: &[usize]) -> Result<(), Error> {
        Ok(state.cache.reorder(parents)?)
    }
}

fn first(outputs: &[engine::Tensor]) -> Result<&engine::Tensor, Error> {
    outputs.first().ok_or_else(no_output)
}

fn no_output() -> Error {
    Error::Network("a graph gave no output".into())
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        Self::Network(error.to_string())
    }
}
