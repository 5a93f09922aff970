//! Whisper's encoder and decoder as graphs of the engine, with a key/value cache.
//!
//! The architecture is that of Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak
//! Supervision", and of `whisper/model.py` in openai/whisper. Names of weights and the quantization
//! rule are CTranslate2's: with int8, weights are quantized per row when loaded (or in the file),
//! and activations per row at run time, as with `compute_type="int8"`.

mod alignment_heads;
mod build;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use engine::{ComputeType, EncoderMemory, KeyValueCache, Precision};

use crate::recognizer::Error;

/// Sizes of the network, read from the weights. The numbers given are those of OpenAI's models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dimensions {
    /// Number of mel bands: 80, or 128 for large-v3.
    pub mels: usize,
    /// Number of encoder positions: 1500.
    pub audio_context: usize,
    /// Number of decoder positions: 448.
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
    /// Number format of attention.
    attention: ComputeType,
    /// Maps mel `[mels, 3000]` to states `[audio_context, width]`.
    encoder: engine::Network,
    /// Map states to keys and values `[audio_context, 2 * width]`, one per decoder layer.
    memories: Vec<engine::Network>,
    /// Maps tokens `[beams, n]` to logits `[beams, vocabulary]`, and to the queries
    /// `[beams, n, width]` of the cross-attention of each layer in `aligned_layers`.
    decoder: engine::Network,
    /// Layer and head of the cross-attention heads that follow the words through the audio.
    alignment_heads: Vec<(usize, usize)>,
    /// The layers of these heads, in order.
    aligned_layers: Vec<usize>,
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

/// Number of tokens of OpenAI's first multilingual vocabulary. The English-only one has one token less.
const MULTILINGUAL_VOCABULARY: usize = 51_865;

impl Dimensions {
    /// Returns whether the vocabulary is that of a multilingual model.
    pub fn is_multilingual(&self) -> bool {
        self.vocabulary >= MULTILINGUAL_VOCABULARY
    }

    /// Returns the number of mel frames of one window: 3000.
    pub fn frames(&self) -> usize {
        2 * self.audio_context
    }
}

impl DecoderState {
    /// Returns the number of positions decoded so far, at most [`Dimensions::text_context`].
    pub fn length(&self) -> usize {
        self.cache.length()
    }

    /// Returns the number of hypotheses.
    pub fn beams(&self) -> usize {
        self.cache.beams()
    }
}

impl Network {
    /// Opens `model.bin` in a CTranslate2 model directory. `alignment_heads` are layer and head of the
    /// cross-attention heads that follow the words through the audio; if there are none, those that
    /// OpenAI found for models of this size.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is missing or broken, or is not a Whisper model, or has no such
    /// heads.
    pub fn open(
        directory: &Path,
        precision: Precision,
        alignment_heads: &[(usize, usize)],
    ) -> Result<Self, Error> {
        // Attention need not be more exact than the linear layers around it.
        let attention = match precision {
            Precision::F32 => ComputeType::F32,
            Precision::Bf16 | Precision::Int8 => ComputeType::fastest(),
        };
        build::network(&directory.join("model.bin"), precision, attention, alignment_heads)
    }

    /// Returns the sizes of the network.
    pub fn dimensions(&self) -> &Dimensions {
        &self.dimensions
    }

    /// Encodes one 30-second window. `mel`: log-mel spectrogram as OpenAI computes it, row-major
    /// `[mels, 3000]` (two frames per encoder position).
    ///
    /// # Errors
    /// [`Error::Engine`] if `mel` has another size.
    pub fn encode(&self, mel: &[f32]) -> Result<Arc<EncodedAudio>, Error> {
        let states = self.states(mel)?;
        let mut memories = EncoderMemory::default();
        for layer in &self.memories {
            let keys_values = layer.run(vec![states.clone()])?;
            memories.push(first(&keys_values)?, self.dimensions.heads, self.attention)?;
        }
        Ok(Arc::new(EncodedAudio { memories: Arc::new(memories) }))
    }

    /// Returns the encoder's output, `[audio_context, width]`.
    fn states(&self, mel: &[f32]) -> Result<engine::Tensor, Error> {
        let mel = engine::tensor(&[self.dimensions.mels, self.dimensions.frames()], mel)?;
        let outputs = self.encoder.run(vec![mel])?;
        outputs.into_iter().next().ok_or_else(no_output)
    }

    /// Creates the state of a decoder over `audio`, with an empty cache and one hypothesis.
    pub fn start(&self, audio: Arc<EncodedAudio>) -> DecoderState {
        let Dimensions { decoder_layers, heads, width, text_context, .. } = self.dimensions;
        DecoderState {
            cache: KeyValueCache::new(decoder_layers, heads, width, text_context),
            memories: audio.memories.clone(),
        }
    }

    /// Feeds `tokens` (row-major `[beams, n]` with `n >= 1`), and writes the logits of the last
    /// position, `[beams, vocabulary]`, to `logits`.
    ///
    /// # Errors
    /// [`Error::Engine`] if there are more tokens than positions left, if a token is not in the
    /// vocabulary, or if the number of tokens is not a multiple of the number of beams. The state
    /// does not change then.
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

    /// Feeds `tokens` at once and calls `each` with the weights with which they attend to the first
    /// `positions` positions of `audio` in each alignment head, row-major `[tokens, positions]`.
    ///
    /// # Errors
    /// [`Error::Engine`] if there are more tokens or positions than the network has, or none, or if a
    /// token is not in the vocabulary.
    pub fn attention(
        &self,
        audio: &Arc<EncodedAudio>,
        tokens: &[u32],
        positions: usize,
        mut each: impl FnMut(&[f32]),
    ) -> Result<(), Error> {
        let mut state = self.start(audio.clone());
        let tokens: Vec<i64> = tokens.iter().map(|&token| token.into()).collect();
        let tokens = engine::tensor(&[1, tokens.len()], &tokens)?;
        let outputs = self.decoder.decode(&mut state.cache, &state.memories, vec![tokens])?;
        for &(layer, head) in &self.alignment_heads {
            let place = self.aligned_layers.iter().position(|&aligned| aligned == layer);
            let queries = place.and_then(|place| outputs.get(1 + place)).ok_or_else(no_output)?;
            each(&state.memories.weights((layer, head), queries, positions)?);
        }
        Ok(())
    }

    /// Replaces beam `i` by a copy of the former beam `parents[i]`. The number of beams becomes that
    /// of `parents`.
    ///
    /// # Errors
    /// [`Error::Engine`] if a parent does not exist, or if there are no parents.
    pub fn reorder(&self, state: &mut DecoderState, parents: &[usize]) -> Result<(), Error> {
        Ok(state.cache.reorder(parents)?)
    }
}

fn first(outputs: &[engine::Tensor]) -> Result<&engine::Tensor, Error> {
    outputs.first().ok_or_else(no_output)
}

fn no_output() -> Error {
    Error::Network("a graph has no output".into())
}
