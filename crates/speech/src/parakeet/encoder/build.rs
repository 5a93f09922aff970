//! Builds the network from the layers of a file.

use std::{cell::RefCell, sync::Arc};

use engine::{
    ComputeType, ElementType, GraphBuilder, Linear, Network, Node, OnnxFile, PostOp, Precision,
    RelativePositions, SubsamplingStage, SubsamplingWeights, Tensor,
};
use kernels::dynamic::QuantizationParameters;

use super::{
    graph::{Layer, Quantization},
    read::{Attention, Block, Convolution, FeedForward, Plan},
};
use crate::{files::broken, recognizer::Error};

/// Packs the weights of a file, one layer after the other.
pub(super) struct Builder<'a> {
    pub(super) file: &'a OnnxFile,
    pub(super) precision: Precision,
    /// Of attention and of the subsampling, which are not quantized.
    pub(super) compute_type: ComputeType,
    /// Longest input, in outputs of the encoder.
    pub(super) max_rows: usize,
    /// Weights while they are packed: one buffer, so that the heap does not fragment.
    pub(super) buffer: RefCell<Vec<f32>>,
}

/// Layer norm's epsilon in ONNX, unless a node says another.
const EPSILON: f32 = 1e-5;

impl Builder<'_> {
    /// Makes the network: `[frames, mels]` to `[frames / 8, width]`.
    pub(super) fn network(&self, plan: &Plan<'_>) -> Result<Network, Error> {
        let mut graph = GraphBuilder::default();
        let features = graph.input::<f32>("features", &["frames".into(), plan.mels.into()])?;
        let x = self.subsampling(&mut graph, plan, features)?;
        let entry = self.entry(plan)?;
        let mut x = graph.linear("entry", x, &entry, PostOp::None)?;
        let positions = self.positions(plan)?;
        for (index, block) in plan.blocks.iter().enumerate() {
            x = self.block(&mut graph, &format!("block_{index}"), plan, block, &positions, x)?;
        }
        Ok(graph.build(&[x])?)
    }

    fn block(
        &self,
        graph: &mut GraphBuilder,
        name: &str,
        plan: &Plan<'_>,
        block: &Block<'_>,
        positions: &[f32],
        x: Node,
    ) -> Result<Node, Error> {
        let [first, second] = &block.feed_forward;
        let x = self.feed_forward(graph, &format!("{name}/feed_forward_1"), first, x)?;
        let name_of_attention = format!("{name}/attention");
        let x = self.attention(graph, &name_of_attention, plan, &block.attention, positions, x)?;
        let x = self.convolution(graph, &format!("{name}/convolution"), &block.convolution, x)?;
        let x = self.feed_forward(graph, &format!("{name}/feed_forward_2"), second, x)?;
        self.norm(graph, &format!("{name}/norm"), &block.norm, x)
    }

    fn subsampling(
        &self,
        graph: &mut GraphBuilder,
        plan: &Plan<'_>,
        features: Node,
    ) -> Result<Node, Error> {
        let convolution = |layer: &Layer<'_>| -> Result<_, Error> {
            Ok((self.floats(layer)?, self.bias(layer)?.unwrap_or_else(|| vec![0.0; plan.channels])))
        };
        let (first, bias) = convolution(&plan.first)?;
        let stages = plan.stages.iter().map(|[depthwise, pointwise]| {
            let (depthwise, depthwise_bias) = convolution(depthwise)?;
            let (pointwise, pointwise_bias) = convolution(pointwise)?;
            Ok(SubsamplingStage { depthwise, depthwise_bias, pointwise, pointwise_bias })
        });
        let stages = stages.collect::<Result<_, Error>>()?;
        let weights = SubsamplingWeights { first, bias, stages };
        Ok(graph.subsampling("subsampling", features, weights, self.float_precision())?)
    }

    /// Packs the layer after the subsampling. The file has bins as the inner axis, the network
    /// channels.
    fn entry(&self, plan: &Plan<'_>) -> Result<Arc<Linear>, Error> {
        let (channels, width) = (plan.channels, plan.width);
        let bins = self.shape(plan.entry.weights)[0] / channels;
        self.pack(&[plan.entry], 1.0, |row| row % channels * bins + row / channels, width)
    }

    /// Returns the positions that the longest input needs: `[2 * max_rows - 1, width]`.
    fn positions(&self, plan: &Plan<'_>) -> Result<Vec<f32>, Error> {
        let count = 2 * self.max_rows - 1;
        Ok(self.file.with_floats(plan.positions, |table| {
            let before = (table.len() / plan.width - count) / 2;
            table[before * plan.width..][..count * plan.width].to_vec()
        })?)
    }

    fn feed_forward(
        &self,
        graph: &mut GraphBuilder,
        name: &str,
        module: &FeedForward<'_>,
        x: Node,
    ) -> Result<Node, Error> {
        let normed = self.norm(graph, &format!("{name}/norm"), &module.norm, x)?;
        let inner = self.linear(&[module.inner], 1.0)?;
        let inner = graph.linear(&format!("{name}/inner"), normed, &inner, PostOp::Silu)?;
        let outer = self.linear(&[module.outer], module.factor)?;
        Ok(graph.linear_residual(&format!("{name}/outer"), inner, &outer, x)?)
    }

    fn attention(
        &self,
        graph: &mut GraphBuilder,
        name: &str,
        plan: &Plan<'_>,
        module: &Attention<'_>,
        positions: &[f32],
        x: Node,
    ) -> Result<Node, Error> {
        let normed = self.norm(graph, &format!("{name}/norm"), &module.norm, x)?;
        let qkv = self.linear(&module.qkv, 1.0)?;
        let qkv = graph.linear(&format!("{name}/qkv"), normed, &qkv, PostOp::None)?;
        let mut projected = vec![0.0; positions.len()];
        self.linear(&[module.positions], 1.0)?.apply(positions, PostOp::None, &mut projected);
        let [content_bias, position_bias] =
            module.biases.map(|name| self.file.with_floats(name, <[f32]>::to_vec));
        let positions = RelativePositions {
            projected: &projected,
            content_bias: &content_bias?,
            position_bias: &position_bias?,
        };
        let (heads, compute_type) = (plan.heads, self.compute_type);
        let attended = graph.relative_attention(
            &format!("{name}/heads"),
            qkv,
            &positions,
            heads,
            compute_type,
        )?;
        let output = self.linear(&[module.output], 1.0)?;
        Ok(graph.linear_residual(&format!("{name}/output"), attended, &output, x)?)
    }

    fn convolution(
        &self,
        graph: &mut GraphBuilder,
        name: &str,
        module: &Convolution<'_>,
        x: Node,
    ) -> Result<Node, Error> {
        let normed = self.norm(graph, &format!("{name}/norm"), &module.norm, x)?;
        let expand = self.pointwise(&module.expand)?;
        let expanded = graph.linear(&format!("{name}/expand"), normed, &expand, PostOp::None)?;
        let weights = self.floats(&module.depthwise)?;
        let channels = self.shape(module.depthwise.weights)[0];
        let bias = self.bias(&module.depthwise)?.unwrap_or_else(|| vec![0.0; channels]);
        let gated =
            graph.gated_convolution(&format!("{name}/depthwise"), expanded, &weights, bias)?;
        let project = self.pointwise(&module.project)?;
        Ok(graph.linear_residual(&format!("{name}/project"), gated, &project, x)?)
    }

    fn norm(
        &self,
        graph: &mut GraphBuilder,
        name: &str,
        layer: &Layer<'_>,
        x: Node,
    ) -> Result<Node, Error> {
        let gamma = self.floats(layer)?;
        let beta = self.bias(layer)?.unwrap_or_else(|| vec![0.0; gamma.len()]);
        let epsilon = layer.node.float("epsilon").unwrap_or(EPSILON);
        Ok(graph.layer_norm(name, x, gamma, beta, epsilon)?)
    }

    /// Packs linear layers of the same input, their outputs one after the other and multiplied by
    /// `factor`.
    fn linear(&self, layers: &[Layer<'_>], factor: f32) -> Result<Arc<Linear>, Error> {
        let outputs = self.shape(layers[0].weights)[1];
        self.pack(layers, factor, |row| row, outputs)
    }

    /// Packs linear layers as [`Self::linear`], each of `outputs`. Their row of weights `row` is that
    /// of the file's `source(row)`.
    fn pack(
        &self,
        layers: &[Layer<'_>],
        factor: f32,
        source: impl Fn(usize) -> usize,
        outputs: usize,
    ) -> Result<Arc<Linear>, Error> {
        let mut bias = Vec::new();
        for layer in layers {
            bias.extend(self.bias(layer)?.unwrap_or_default().iter().map(|bias| bias * factor));
        }
        let bias = Some(bias).filter(|bias| !bias.is_empty());
        let all = layers.len() * outputs;
        let quantized = layers.iter().map(|layer| self.quantization(layer, outputs));
        let quantized = quantized.collect::<Result<Option<Vec<_>>, Error>>()?;
        let linear = if let Some(parameters) = quantized {
            let mut values = vec![0; self.shape(layers[0].weights)[0] * all];
            for (index, layer) in layers.iter().enumerate() {
                let flip = self.sign_bit(layer);
                self.file.with_bytes(layer.weights, |from| {
                    let columns = (all, index * outputs);
                    copy_columns(from, outputs, &source, &mut values, columns, |x| x ^ flip);
                })?;
            }
            let (mut zero_points, mut scales) = (Vec::new(), Vec::new());
            for part in parameters {
                zero_points.extend(part.zero_points);
                scales.extend(part.scales.iter().map(|scale| scale * factor));
            }
            Linear::dynamic(&values, &QuantizationParameters { zero_points, scales }, bias)?
        } else {
            let mut weights = self.buffer.take();
            weights.resize(self.shape(layers[0].weights)[0] * all, 0.0);
            for (index, layer) in layers.iter().enumerate() {
                self.file.with_floats(layer.weights, |from| {
                    let columns = (all, index * outputs);
                    copy_columns(from, outputs, &source, &mut weights, columns, |x| x * factor);
                })?;
            }
            let linear = Linear::transposed(&weights, all, bias, self.precision);
            self.buffer.replace(weights);
            linear?
        };
        Ok(Arc::new(linear))
    }

    /// Packs a convolution of single frames, as a linear layer.
    fn pointwise(&self, layer: &Layer<'_>) -> Result<Arc<Linear>, Error> {
        let &[outputs, inputs, ..] = self.shape(layer.weights) else {
            return Err(self.broken("a convolution has no channels"));
        };
        let bias = self.bias(layer)?;
        let linear = match self.quantization(layer, outputs)? {
            Some(parameters) => {
                let flip = self.sign_bit(layer);
                let values = self.file.with_bytes(layer.weights, |from| {
                    let at = |index: usize| from[index % outputs * inputs + index / outputs] ^ flip;
                    (0..from.len()).map(at).collect::<Vec<_>>()
                })?;
                Linear::dynamic(&values, &parameters, bias)?
            }
            None => self.file.with_floats(layer.weights, |weights| match self.precision {
                Precision::F32 => Linear::float(weights, outputs, bias),
                Precision::Bf16 => Linear::bf16(weights, outputs, bias),
                Precision::Int8 => Linear::quantize(weights, outputs, bias),
            })??,
        };
        Ok(Arc::new(linear))
    }

    /// Returns the precision of layers that are not quantized.
    fn float_precision(&self) -> Precision {
        match self.compute_type {
            ComputeType::F32 => Precision::F32,
            ComputeType::Bf16 => Precision::Bf16,
        }
    }

    fn broken(&self, message: &str) -> Error {
        broken(self.file.path(), message)
    }

    fn shape(&self, tensor: &str) -> &[usize] {
        self.file.constant(tensor).map_or(&[][..], Tensor::shape)
    }

    /// Reads the weights of a layer, dequantized.
    fn floats(&self, layer: &Layer<'_>) -> Result<Vec<f32>, Error> {
        let Some(QuantizationParameters { zero_points, scales }) = self.quantization(layer, 1)?
        else {
            return Ok(self.file.with_floats(layer.weights, <[f32]>::to_vec)?);
        };
        let (zero_point, scale, flip) =
            (f32::from(zero_points[0]), scales[0], self.sign_bit(layer));
        let value = |&value: &u8| (f32::from(value ^ flip) - zero_point) * scale;
        Ok(self.file.with_bytes(layer.weights, |values| values.iter().map(value).collect())?)
    }

    fn bias(&self, layer: &Layer<'_>) -> Result<Option<Vec<f32>>, Error> {
        let Some(bias) = layer.bias else { return Ok(None) };
        Ok(Some(self.file.with_floats(bias, <[f32]>::to_vec)?))
    }

    /// Reads how the file quantizes a layer, if it does: a zero point and a scale for each output.
    fn quantization(
        &self,
        layer: &Layer<'_>,
        outputs: usize,
    ) -> Result<Option<QuantizationParameters>, Error> {
        fn spread<T: Copy>(values: &[T], outputs: usize) -> Option<Vec<T>> {
            match values {
                [one] => Some(vec![*one; outputs]),
                many => (many.len() == outputs).then(|| many.to_vec()),
            }
        }
        let Some(Quantization { zero_point, scale }) = layer.quantization else { return Ok(None) };
        let flip = self.sign_bit(layer);
        let zero_points = match zero_point {
            Some(name) => self.file.with_bytes(name, |values| {
                values.iter().map(|value| value ^ flip).collect::<Vec<_>>()
            })?,
            None => vec![flip],
        };
        let scales = self.file.with_floats(scale, <[f32]>::to_vec)?;
        let parameters = spread(&zero_points, outputs).zip(spread(&scales, outputs));
        let (zero_points, scales) = parameters.ok_or_else(|| {
            let name = layer.node.name();
            self.broken(&format!("`{name}` is quantized in a way that is not supported"))
        })?;
        Ok(Some(QuantizationParameters { zero_points, scales }))
    }

    /// Returns what makes a byte of the weights unsigned: the sign bit, if they are i8. Their zero
    /// point is then 128 more, too.
    fn sign_bit(&self, layer: &Layer<'_>) -> u8 {
        if self.file.element_type(layer.weights) == Some(ElementType::I8) { 0x80 } else { 0 }
    }
}

/// Copies rows of `outputs` numbers to some columns of a wider matrix. Its row `row` is `source(row)`.
fn copy_columns<T: Copy>(
    from: &[T],
    outputs: usize,
    source: impl Fn(usize) -> usize,
    to: &mut [T],
    (width, first): (usize, usize),
    convert: impl Fn(T) -> T,
) {
    for (row, to) in to.chunks_exact_mut(width).enumerate() {
        let from = &from[source(row) * outputs..][..outputs];
        for (to, from) in to[first..][..outputs].iter_mut().zip(from) {
            *to = convert(*from);
        }
    }
}
