//! Builds the network from the layers of a file.

use std::sync::Arc;

use engine::{
    ComputeType, GraphBuilder, Linear, Network, Node, OnnxFile, PostOp, Precision,
    RelativePositions, SubsamplingStage, SubsamplingWeights, Tensor,
};

use super::{
    graph::Layer,
    read::{Attention, Block, Convolution, FeedForward, Plan},
};
use crate::{files::broken, recognizer::Error};

/// Packs the weights of a file, one layer after the other.
pub(super) struct Builder<'a> {
    pub(super) file: &'a OnnxFile,
    pub(super) precision: Precision,
    /// Of convolutions, which stay in floats, and of attention.
    pub(super) compute_type: ComputeType,
    /// Longest input, in outputs of the encoder.
    pub(super) max_rows: usize,
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
        let bias = self.bias(&plan.entry)?;
        fn by_bin<T: Copy>(weights: &[T], channels: usize, width: usize) -> Vec<T> {
            let bins = weights.len() / (channels * width);
            let rows = (0..bins).flat_map(|bin| (0..channels).map(move |c| c * bins + bin));
            rows.flat_map(|row| &weights[row * width..][..width]).copied().collect()
        }
        let linear = match self.quantized(&plan.entry)? {
            Some(weights) => {
                let values = by_bin(&weights.values, channels, width);
                let (zero_points, scales) = weights.parameters(width);
                Linear::dynamic(&values, &zero_points, &scales, bias)?
            }
            None => {
                let weights = by_bin(&self.floats(&plan.entry)?, channels, width);
                Linear::transposed(&weights, width, bias, self.precision)?
            }
        };
        Ok(Arc::new(linear))
    }

    /// Returns the positions that the longest input needs: `[2 * max_rows - 1, width]`.
    fn positions(&self, plan: &Plan<'_>) -> Result<Vec<f32>, Error> {
        let table = self.file.load(plan.positions)?;
        let table = engine::values::<f32>(&table)?;
        let count = 2 * self.max_rows - 1;
        let before = (table.len() / plan.width - count) / 2;
        Ok(table[before * plan.width..][..count * plan.width].to_vec())
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
        let projected = self.linear(&[module.positions], 1.0)?.project(positions);
        let [content_bias, position_bias] = module.biases.map(|name| self.file.load(name));
        let (content_bias, position_bias) = (content_bias?, position_bias?);
        let positions = RelativePositions {
            projected: &projected,
            content_bias: engine::values(&content_bias)?,
            position_bias: engine::values(&position_bias)?,
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
        let mut bias = Vec::new();
        for layer in layers {
            bias.extend(self.bias(layer)?.unwrap_or_default().iter().map(|bias| bias * factor));
        }
        let bias = Some(bias).filter(|bias| !bias.is_empty());
        let inputs = self.shape(layers[0].weights)[0];
        let quantized = layers.iter().map(|layer| self.quantized(layer));
        let quantized = quantized.collect::<Result<Option<Vec<Quantized>>, Error>>()?;
        let linear = match quantized {
            Some(parts) => {
                let values: Vec<&[u8]> = parts.iter().map(|part| &part.values[..]).collect();
                let values = beside(&values, inputs);
                let (mut zero_points, mut scales) = (Vec::new(), Vec::new());
                for part in &parts {
                    let (points, steps) = part.parameters(part.values.len() / inputs);
                    zero_points.extend(points);
                    scales.extend(steps.iter().map(|scale| scale * factor));
                }
                Linear::dynamic(&values, &zero_points, &scales, bias)?
            }
            None => {
                let parts = layers.iter().map(|layer| self.floats(layer));
                let parts = parts.collect::<Result<Vec<_>, _>>()?;
                let parts: Vec<&[f32]> = parts.iter().map(|part| &part[..]).collect();
                let mut weights = beside(&parts, inputs);
                if factor != 1.0 {
                    weights.iter_mut().for_each(|weight| *weight *= factor);
                }
                let outputs = weights.len() / inputs;
                Linear::transposed(&weights, outputs, bias, self.precision)?
            }
        };
        Ok(Arc::new(linear))
    }

    /// Packs a convolution of single frames, as a linear layer.
    fn pointwise(&self, layer: &Layer<'_>) -> Result<Arc<Linear>, Error> {
        let &[outputs, inputs, ..] = self.shape(layer.weights) else {
            return Err(self.broken("a convolution has no channels"));
        };
        let bias = self.bias(layer)?;
        let linear = match self.quantized(layer)? {
            Some(weights) => {
                let at = |index: usize| index % outputs * inputs + index / outputs;
                let values: Vec<u8> =
                    (0..weights.values.len()).map(|index| weights.values[at(index)]).collect();
                let (zero_points, scales) = weights.parameters(outputs);
                Linear::dynamic(&values, &zero_points, &scales, bias)?
            }
            None => {
                let weights = self.floats(layer)?;
                match self.float_precision() {
                    Precision::Bf16 => Linear::bf16(&weights, outputs, bias)?,
                    _ => Linear::float(&weights, outputs, bias)?,
                }
            }
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
        let Some(weights) = self.quantized(layer)? else {
            return Ok(engine::values::<f32>(&self.file.load(layer.weights)?)?.to_vec());
        };
        let first = |index: usize| index % weights.zero_points.len().max(weights.scales.len());
        if first(1) != 0 {
            return Err(self.broken("a convolution is quantized per channel"));
        }
        let (zero_point, scale) = (f32::from(weights.zero_points[0]), weights.scales[0]);
        Ok(weights.values.iter().map(|&value| (f32::from(value) - zero_point) * scale).collect())
    }

    fn bias(&self, layer: &Layer<'_>) -> Result<Option<Vec<f32>>, Error> {
        let Some(bias) = layer.bias else { return Ok(None) };
        Ok(Some(engine::values::<f32>(&self.file.load(bias)?)?.to_vec()))
    }

    /// Reads the weights of a layer that the file quantizes, as u8.
    fn quantized(&self, layer: &Layer<'_>) -> Result<Option<Quantized>, Error> {
        let Some(quantization) = layer.quantization else { return Ok(None) };
        let bytes = |name: &str| -> Result<Vec<u8>, Error> {
            let tensor = self.file.load(name)?;
            match engine::values::<u8>(&tensor) {
                Ok(values) => Ok(values.to_vec()),
                // The same numbers with a zero point that is 128 more.
                Err(_) => {
                    let values = engine::values::<i8>(&tensor)?;
                    Ok(values.iter().map(|&value| (value as u8) ^ 0x80).collect())
                }
            }
        };
        let values = bytes(layer.weights)?;
        let zero_points = match quantization.zero_point {
            Some(name) => bytes(name)?,
            None => vec![0],
        };
        let scales = engine::values::<f32>(&self.file.load(quantization.scale)?)?.to_vec();
        if zero_points.is_empty() || scales.is_empty() {
            return Err(self.broken("a layer has no scale"));
        }
        Ok(Some(Quantized { values, zero_points, scales }))
    }
}

/// Quantized weights, with one zero point and scale for all, or for each output.
struct Quantized {
    values: Vec<u8>,
    zero_points: Vec<u8>,
    scales: Vec<f32>,
}

impl Quantized {
    /// Returns the zero point and the scale of each output.
    fn parameters(&self, outputs: usize) -> (Vec<u8>, Vec<f32>) {
        fn spread<T: Copy>(values: &[T], outputs: usize) -> Vec<T> {
            match values {
                [one] => vec![*one; outputs],
                many => many.to_vec(),
            }
        }
        (spread(&self.zero_points, outputs), spread(&self.scales, outputs))
    }
}

/// Puts row-major matrices of as many rows beside one another.
fn beside<T: Copy>(matrices: &[&[T]], rows: usize) -> Vec<T> {
    let row = |matrix: &&'_ [T], row: usize| {
        let columns = matrix.len() / rows;
        row * columns..(row + 1) * columns
    };
    let all = (0..rows)
        .flat_map(|index| matrices.iter().flat_map(move |matrix| &matrix[row(matrix, index)]));
    all.copied().collect()
}
