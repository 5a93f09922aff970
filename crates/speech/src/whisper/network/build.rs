//! Builds the graphs of a model file.

use std::{path::Path, sync::Arc};

use engine::{ComputeType, GraphBuilder, Linear, Node, PostOp, Precision};

use super::{Dimensions, Network, alignment_heads::default_heads};
use crate::{
    files::broken,
    recognizer::Error,
    whisper::weights::{Matrix, Weights},
};

/// Width of the two convolutions at the start of the encoder. The second one has stride 2.
const KERNEL: usize = 3;
const EMBEDDINGS: &str = "decoder/embeddings/weight";
const LAYER_NORM_EPSILON: f32 = 1e-5;
/// Width of one head in every Whisper model, for files without the number of heads.
const HEAD_WIDTH: usize = 64;
/// Limits far above every Whisper model (32 and 448), so that a broken file cannot demand a cache of
/// any size.
const MAX_LAYERS: usize = 128;
const MAX_TEXT_CONTEXT: usize = 4096;
/// CTranslate2's number for the exact GELU, the only activation of Whisper models.
const GELU: i64 = 3;

/// A model file while graphs are built from it.
struct Model {
    weights: Weights,
    precision: Precision,
    /// Number format of attention.
    attention: ComputeType,
    dimensions: Dimensions,
}

/// Reads the file and builds all graphs.
pub(super) fn network(
    path: &Path,
    precision: Precision,
    attention: ComputeType,
    alignment_heads: &[(usize, usize)],
) -> Result<Network, Error> {
    let weights = Weights::open(path)?;
    let dimensions = Dimensions::of(&weights)?;
    let model = Model { weights, precision, attention, dimensions };
    let layers = 0..model.dimensions.decoder_layers;
    let Dimensions { decoder_layers, heads, .. } = model.dimensions;
    if let Some((layer, head)) =
        alignment_heads.iter().find(|&&(layer, head)| layer >= decoder_layers || head >= heads)
    {
        let message = format!("has no alignment head {head} in layer {layer}");
        return Err(broken(path, message));
    }
    let alignment_heads = match alignment_heads {
        [] => default_heads(&model.dimensions),
        given => given.to_vec(),
    };
    let mut aligned_layers: Vec<usize> = alignment_heads.iter().map(|&(layer, _)| layer).collect();
    aligned_layers.sort_unstable();
    aligned_layers.dedup();
    Ok(Network {
        encoder: model.encoder()?,
        memories: layers.map(|layer| model.memory(layer)).collect::<Result<_, _>>()?,
        decoder: model.decoder(&aligned_layers)?,
        alignment_heads,
        aligned_layers,
        dimensions: model.dimensions,
        attention,
    })
}

impl Model {
    fn encoder(&self) -> Result<engine::Network, Error> {
        let Dimensions { mels, audio_context, width, encoder_layers, heads, .. } = self.dimensions;
        let mut graph = GraphBuilder::default();
        let mel = graph.input::<f32>("mel", &[mels.into(), self.dimensions.frames().into()])?;
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
            let attended = graph.self_attention(&attention, qkv, heads, self.attention)?;
            x = self.residual(&mut graph, &format!("{attention}/linear_1"), attended, x, width)?;
            x = self.feed_forward(&mut graph, &name, x)?;
        }
        let x = self.layer_norm(&mut graph, "encoder/layer_norm", x)?;
        Ok(graph.build(&[x])?)
    }

    fn memory(&self, layer: usize) -> Result<engine::Network, Error> {
        let Dimensions { audio_context, width, .. } = self.dimensions;
        let mut graph = GraphBuilder::default();
        let states = graph.input::<f32>("states", &[audio_context.into(), width.into()])?;
        let name = format!("decoder/layer_{layer}/attention/linear_1");
        let linear = self.linear(&name, [2 * width, width])?;
        let keys_values = graph.linear(&name, states, &linear, PostOp::None)?;
        Ok(graph.build(&[keys_values])?)
    }

    fn decoder(&self, aligned_layers: &[usize]) -> Result<engine::Network, Error> {
        let Dimensions { text_context, vocabulary, width, heads, decoder_layers, .. } =
            self.dimensions;
        let mut graph = GraphBuilder::default();
        let tokens = graph.input::<i64>("tokens", &["beams".into(), "added".into()])?;
        let projection = self.linear("decoder/projection", [vocabulary, width])?;
        let positions = self.positions("decoder", text_context)?;
        // OpenAI's models have one matrix for both.
        let table = match self.weights.same("decoder/projection/weight", EMBEDDINGS)? {
            true => projection.clone(),
            false => self.linear("decoder/embeddings", [vocabulary, width])?,
        };
        let mut x = graph.embedding("decoder/embeddings", tokens, &table, positions)?;
        let mut aligned = Vec::new();
        for layer in 0..decoder_layers {
            let name = format!("decoder/layer_{layer}");
            let attention = format!("{name}/self_attention");
            let qkv = self.normed_linear(&mut graph, &attention, 0, x, [3 * width, width])?;
            let attended = graph.cached_attention(&attention, qkv, layer, heads)?;
            x = self.residual(&mut graph, &format!("{attention}/linear_1"), attended, x, width)?;
            let attention = format!("{name}/attention");
            let queries = self.normed_linear(&mut graph, &attention, 0, x, [width, width])?;
            if aligned_layers.contains(&layer) {
                aligned.push(queries);
            }
            let attended = graph.cross_attention(&attention, queries, layer, heads)?;
            x = self.residual(&mut graph, &format!("{attention}/linear_2"), attended, x, width)?;
            x = self.feed_forward(&mut graph, &name, x)?;
        }
        let x = graph.last_position("last", x)?;
        let x = self.layer_norm(&mut graph, "decoder/layer_norm", x)?;
        let logits = graph.linear("decoder/projection", x, &projection, PostOp::None)?;
        Ok(graph.build(&[&[logits], &aligned[..]].concat())?)
    }

    /// Adds `x + W2 gelu(W1 norm(x))`.
    fn feed_forward(&self, graph: &mut GraphBuilder, name: &str, x: Node) -> Result<Node, Error> {
        let (name, width) = (format!("{name}/ffn"), self.dimensions.width);
        let inner = *self.weights.shape(&format!("{name}/linear_0/weight"))?.first().unwrap_or(&0);
        let normed = self.layer_norm(graph, &format!("{name}/layer_norm"), x)?;
        let linear = self.linear(&format!("{name}/linear_0"), [inner, width])?;
        let hidden = graph.linear(&format!("{name}/linear_0"), normed, &linear, PostOp::Gelu)?;
        self.residual(graph, &format!("{name}/linear_1"), hidden, x, inner)
    }

    /// Adds the layer norm of a block and its linear layer `index`.
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
        Ok(graph.linear(&name, normed, &self.linear(&name, shape)?, PostOp::None)?)
    }

    /// Adds `residual + W x`, where `W` maps `inputs` values to the width of the model.
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
            (Precision::Int8, Matrix::Float(weights)) => Linear::quantize(&weights, shape[0], bias),
            (Precision::Bf16, weights) => Linear::bf16(&weights.into_floats(), shape[0], bias),
            (Precision::F32, weights) => Linear::float(&weights.into_floats(), shape[0], bias),
        };
        Ok(Arc::new(linear?))
    }
}

impl Dimensions {
    /// Reads the sizes from the shapes of the arrays.
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
        let vocabulary = of_shape(EMBEDDINGS, 2)?[0];
        let width = encoder[1];
        let layers = |side: &str| {
            let probe = |n| format!("{side}/layer_{n}/self_attention/linear_0/weight");
            (0..).take_while(|&layer: &usize| weights.contains(&probe(layer))).count()
        };
        let (encoder_layers, decoder_layers) = (layers("encoder"), layers("decoder"));
        if encoder_layers.max(decoder_layers) > MAX_LAYERS || decoder[0] > MAX_TEXT_CONTEXT {
            return Err(weights.fail(format!(
                "has {encoder_layers} + {decoder_layers} layers and {} positions: it is not a \
                 Whisper model",
                decoder[0]
            )));
        }
        let heads = |side: &str| match weights.integer(&format!("{side}/num_heads"))? {
            Some(heads) => Ok(usize::try_from(heads).unwrap_or(0)),
            None => Ok::<_, Error>(width / HEAD_WIDTH),
        };
        let (encoder_heads, decoder_heads) = (heads("encoder")?, heads("decoder")?);
        if encoder_heads == 0 || encoder_heads != decoder_heads || width % encoder_heads != 0 {
            let message = format!("has {encoder_heads} and {decoder_heads} heads of width {width}");
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
            encoder_layers,
            decoder_layers,
        })
    }
}
