//! Whisper's encoder and decoder as tract graphs, with a key/value cache.
//!
//! The architecture is that of Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak
//! Supervision", and of `whisper/model.py` in openai/whisper; names of weights and the quantization
//! rule are CTranslate2's.

use std::{path::Path, sync::Arc};

use engine::{Finish, GraphBuilder, KeyValueCache, Linear, Memories, Node};

use super::weights::{Matrix, Weights};
use crate::recognizer::Error;

/// Mel frames of one 30-second window.
const FRAMES: usize = 3000;
/// Of the convolutions of the front end; the second one has stride 2.
const KERNEL: usize = 3;
const LAYER_NORM_EPSILON: f32 = 1e-5;
/// Width of one head in every Whisper model, for files that do not say how many heads there are.
const HEAD_WIDTH: usize = 64;
/// CTranslate2's number for the exact GELU, the only activation of Whisper models.
const GELU: i64 = 3;

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
#[derive(Debug)]
pub struct Network {
    dimensions: Dimensions,
    /// Mel `[mels, 3000]` to states `[audio_context, width]`.
    encoder: engine::Network,
    /// Per decoder layer: states to keys and values `[audio_context, 2 * width]`.
    memories: Vec<engine::Network>,
    /// Tokens `[beams, n]` to logits `[beams, vocabulary]`.
    decoder: engine::Network,
}

/// Keys and values of the audio for every decoder layer, shared by the beams of one window.
pub struct EncodedAudio {
    memories: Arc<Memories>,
}

/// Key/value cache of `beams` hypotheses over one window.
pub struct DecoderState {
    cache: KeyValueCache,
    memories: Arc<Memories>,
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
        Model::open(&directory.join("model.bin"), precision)?.network()
    }

    pub fn dimensions(&self) -> &Dimensions {
        &self.dimensions
    }

    /// Encodes one 30-second window. `mel`: log-mel as OpenAI's, row-major `[mels, 3000]`.
    ///
    /// # Errors
    /// [`Error::Network`] if `mel` has another size.
    pub fn encode(&self, mel: &[f32]) -> Result<Arc<EncodedAudio>, Error> {
        let states = self.states(mel)?;
        let mut memories = Memories::default();
        for layer in &self.memories {
            let keys_values = layer.run(vec![states.clone()])?;
            memories.push(first(&keys_values)?, self.dimensions.heads)?;
        }
        Ok(Arc::new(EncodedAudio { memories: Arc::new(memories) }))
    }

    /// The encoder's output, `[audio_context, width]`.
    fn states(&self, mel: &[f32]) -> Result<engine::Tensor, Error> {
        let mel = engine::tensor(&[self.dimensions.mels, FRAMES], mel)?;
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

/// A model file while graphs are built from it.
struct Model {
    weights: Weights,
    precision: Precision,
    dimensions: Dimensions,
}

impl Model {
    fn open(path: &Path, precision: Precision) -> Result<Self, Error> {
        let weights = Weights::open(path)?;
        let dimensions = Dimensions::of(&weights)?;
        Ok(Self { weights, precision, dimensions })
    }

    fn network(&self) -> Result<Network, Error> {
        let layers = 0..self.dimensions.decoder_layers;
        Ok(Network {
            dimensions: self.dimensions.clone(),
            encoder: self.encoder()?,
            memories: layers.map(|layer| self.memory(layer)).collect::<Result<_, _>>()?,
            decoder: self.decoder()?,
        })
    }

    fn encoder(&self) -> Result<engine::Network, Error> {
        let Dimensions { mels, audio_context, width, encoder_layers, heads, .. } = self.dimensions;
        let mut graph = GraphBuilder::default();
        let mel = graph.input::<f32>("mel", &[mels.into(), FRAMES.into()])?;
        let mut x = graph.transpose("frames", mel)?;
        for (name, channels, stride) in [("conv1", mels, 1), ("conv2", width, 2)] {
            let name = format!("encoder/{name}");
            let shape = [width, channels, KERNEL];
            let weights = self.weights.floats(&format!("{name}/weight"), &shape)?;
            let bias = self.weights.floats(&format!("{name}/bias"), &[width])?;
            x = graph.convolution_gelu(&name, x, &weights, bias, KERNEL, stride)?;
        }
        let positions = self.positions("encoder", audio_context)?;
        let positions = engine::tensor(&[audio_context, width], &positions)?;
        let positions = graph.constant("positions", positions)?;
        x = graph.add("positioned", x, positions)?;
        for layer in 0..encoder_layers {
            let name = format!("encoder/layer_{layer}");
            let attention = format!("{name}/self_attention");
            let qkv = self.normed_linear(&mut graph, &attention, 0, x, [3 * width, width])?;
            let heard = graph.self_attention(&attention, qkv, heads)?;
            x = self.residual(&mut graph, &format!("{attention}/linear_1"), heard, x, width)?;
            x = self.feed_forward(&mut graph, &name, x)?;
        }
        let x = self.layer_norm(&mut graph, "encoder/layer_norm", x)?;
        Ok(graph.finish(&[x])?)
    }

    fn memory(&self, layer: usize) -> Result<engine::Network, Error> {
        let Dimensions { audio_context, width, .. } = self.dimensions;
        let mut graph = GraphBuilder::default();
        let states = graph.input::<f32>("states", &[audio_context.into(), width.into()])?;
        let name = format!("decoder/layer_{layer}/attention/linear_1");
        let linear = self.linear(&name, [2 * width, width])?;
        let keys_values = graph.linear(&name, states, &linear, Finish::Store)?;
        Ok(graph.finish(&[keys_values])?)
    }

    fn decoder(&self) -> Result<engine::Network, Error> {
        let Dimensions { text_context, vocabulary, width, heads, decoder_layers, .. } =
            self.dimensions;
        let mut graph = GraphBuilder::default();
        let tokens = graph.input::<i64>("tokens", &["beams".into(), "added".into()])?;
        let projection = self.linear("decoder/projection", [vocabulary, width])?;
        let positions = self.positions("decoder", text_context)?;
        let mut x = graph.embedding("decoder/embeddings", tokens, &projection, positions)?;
        for layer in 0..decoder_layers {
            let name = format!("decoder/layer_{layer}");
            let attention = format!("{name}/self_attention");
            let qkv = self.normed_linear(&mut graph, &attention, 0, x, [3 * width, width])?;
            let recalled = graph.cached_attention(&attention, qkv, layer, heads)?;
            x = self.residual(&mut graph, &format!("{attention}/linear_1"), recalled, x, width)?;
            let attention = format!("{name}/attention");
            let queries = self.normed_linear(&mut graph, &attention, 0, x, [width, width])?;
            let heard = graph.memory_attention(&attention, queries, layer, heads)?;
            x = self.residual(&mut graph, &format!("{attention}/linear_2"), heard, x, width)?;
            x = self.feed_forward(&mut graph, &name, x)?;
        }
        let x = graph.last_position("last", x)?;
        let x = self.layer_norm(&mut graph, "decoder/layer_norm", x)?;
        let logits = graph.linear("decoder/projection", x, &projection, Finish::Store)?;
        Ok(graph.finish(&[logits])?)
    }

    /// `x + W2 gelu(W1 norm(x))`.
    fn feed_forward(&self, graph: &mut GraphBuilder, name: &str, x: Node) -> Result<Node, Error> {
        let (name, width) = (format!("{name}/ffn"), self.dimensions.width);
        let inner = *self.weights.shape(&format!("{name}/linear_0/weight"))?.first().unwrap_or(&0);
        let normed = self.layer_norm(graph, &format!("{name}/layer_norm"), x)?;
        let linear = self.linear(&format!("{name}/linear_0"), [inner, width])?;
        let hidden = graph.linear(&format!("{name}/linear_0"), normed, &linear, Finish::Gelu)?;
        self.residual(graph, &format!("{name}/linear_1"), hidden, x, inner)
    }

    /// A block's layer norm and its linear layer `index`.
    fn normed_linear(
        &self,
        graph: &mut GraphBuilder,
        block: &str,
        index: usize,
        x: Node,
        shape: [usize; 2],
    ) -> Result<Node, Error> {
        let normed = self.layer_norm(graph, &format!("{block}/layer_norm"), x)?;
        let name = format!("{block}/linear_{index}");
        Ok(graph.linear(&name, normed, &self.linear(&name, shape)?, Finish::Store)?)
    }

    /// `residual + W x`, from `inputs` to the width of the model.
    fn residual(
        &self,
        graph: &mut GraphBuilder,
        name: &str,
        x: Node,
        residual: Node,
        inputs: usize,
    ) -> Result<Node, Error> {
        let linear = self.linear(name, [self.dimensions.width, inputs])?;
        Ok(graph.linear_residual(name, x, &linear, residual)?)
    }

    fn layer_norm(&self, graph: &mut GraphBuilder, name: &str, x: Node) -> Result<Node, Error> {
        let width = [self.dimensions.width];
        let gamma = self.weights.floats(&format!("{name}/gamma"), &width)?;
        let beta = self.weights.floats(&format!("{name}/beta"), &width)?;
        Ok(graph.layer_norm(name, x, gamma, beta, LAYER_NORM_EPSILON)?)
    }

    fn positions(&self, side: &str, context: usize) -> Result<Vec<f32>, Error> {
        let name = format!("{side}/position_encodings/encodings");
        self.weights.floats(&name, &[context, self.dimensions.width])
    }

    fn linear(&self, name: &str, shape: [usize; 2]) -> Result<Arc<Linear>, Error> {
        let weights = self.weights.matrix(&format!("{name}/weight"), shape)?;
        let bias = format!("{name}/bias");
        let bias = match self.weights.contains(&bias) {
            true => Some(self.weights.floats(&bias, &[shape[0]])?),
            false => None,
        };
        let linear = match (self.precision, weights) {
            (Precision::Int8, Matrix::Int8 { values, scales }) => {
                Linear::int8(&values, &scales, bias)
            }
            (Precision::Int8, Matrix::Float(weights)) => {
                Linear::quantize(&weights, shape[0], bias)
            }
            (Precision::F32, weights) => Linear::float(&weights.into_floats(), shape[0], bias),
        };
        Ok(Arc::new(linear?))
    }
}

impl Dimensions {
    fn of(weights: &Weights) -> Result<Self, Error> {
        let of_shape = |name: &str, rank: usize| {
            let shape = weights.shape(name)?;
            match shape.len() == rank && shape.iter().all(|&dim| dim > 0) {
                true => Ok(shape),
                false => Err(weights.fail(format!("`{name}` has shape {shape:?}"))),
            }
        };
        let mels = of_shape("encoder/conv1/weight", 3)?[1];
        let encoder = of_shape("encoder/position_encodings/encodings", 2)?;
        let decoder = of_shape("decoder/position_encodings/encodings", 2)?;
        let vocabulary = of_shape("decoder/embeddings/weight", 2)?[0];
        let width = encoder[1];
        if encoder[0] != FRAMES / 2 {
            return Err(weights.fail(format!("{} audio positions, not 1500", encoder[0])));
        }
        let layers = |side: &str, probe: &str| {
            (0..).take_while(|layer| weights.contains(&format!("{side}/layer_{layer}/{probe}"))).count()
        };
        let heads = |side: &str| match weights.integer(&format!("{side}/num_heads"))? {
            Some(heads) => Ok(usize::try_from(heads).unwrap_or(0)),
            None => Ok::<_, Error>(width / HEAD_WIDTH),
        };
        let (encoder_heads, decoder_heads) = (heads("encoder")?, heads("decoder")?);
        if encoder_heads == 0 || encoder_heads != decoder_heads || width % encoder_heads != 0 {
            let message = format!("{encoder_heads} and {decoder_heads} heads of width {width}");
            return Err(weights.fail(message));
        }
        if let Some(activation) = weights.integer("decoder/activation")?
            && activation != GELU
        {
            return Err(weights.fail(format!("activation {activation} is not GELU")));
        }
        Ok(Self {
            mels,
            audio_context: encoder[0],
            text_context: decoder[0],
            vocabulary,
            width,
            heads: encoder_heads,
            encoder_layers: layers("encoder", "self_attention/linear_0/weight"),
            decoder_layers: layers("decoder", "self_attention/linear_0/weight"),
        })
    }
}
