//! Reads the layers from the graph of an ONNX file.
//!
//! Names of nodes and weights depend on the exporter, so layers are found by following the graph
//! from its input. Exporters fold a batch normalization into the convolution before it, or do not.

use engine::{OnnxFile, OnnxNode};
use kernels::{PostOp, convolution::Window};

use super::{
    layer::{Affine, Layer, Parts},
    network::{DenseBlock, DenseLayer, Network, ResidualBlock},
};

/// Limit of the sizes of a window. Those of CAM++ are at most 5; files of others are not trusted.
const MAX_SIZE: i64 = 32;

/// Reads the network of `bins` mel bins. Rounds its large layers to bfloat16 if `rounded`. `None`
/// if it is another kind of network, or if a weight is missing or of another shape.
pub(in super::super) fn read(file: &OnnxFile, bins: usize, rounded: bool) -> Option<Network> {
    let reader = Reader { file, rounded };
    let ([input], [output]) = (file.inputs(), file.outputs()) else { return None };
    let x = reader.next(&input.name, "Transpose", |node| node.ints("perm") == Some(&[0, 2, 1]))?;
    let x = reader.next(x, "Unsqueeze", |_| true)?;

    let (parts, x) = reader.convolution(reader.only(x, "Conv")?)?;
    let mut shape = Shape { channels: 1, height: bins };
    shape.check(&parts)?;
    // A GEMM of one channel is too small for bfloat16 to matter.
    let first = Layer::new(parts, None, PostOp::Relu, false);
    let mut x = reader.next(x, "Relu", |_| true)?;
    let mut residual_blocks = Vec::new();
    while file.consumers(x).count() > 1 {
        let (block, next) = reader.residual_block(x, &mut shape)?;
        residual_blocks.push(block);
        x = next;
    }
    let (parts, x) = reader.convolution(reader.only(x, "Conv")?)?;
    shape.check(&parts)?;
    let last = reader.layer(parts, None, PostOp::Relu);
    let x = reader.next(x, "Relu", |_| true)?;
    let x = reader.next(x, "Reshape", |_| true)?;

    let (mut parts, x) = reader.convolution(reader.only(x, "Conv")?)?;
    let reach = (parts.window.kernel[1] - 1) * parts.window.dilation[1];
    let padded = parts.window.before[1] + parts.window.after[1];
    let fits = parts.channels == shape.channels * shape.height && is_over_time(&parts);
    if !fits || padded < reach {
        return None;
    }
    swap_channels_and_bins(&mut parts, shape.channels);
    let mut channels = parts.outputs;
    let entry = reader.layer(parts, None, PostOp::Relu);
    let mut x = reader.next(x, "Relu", |_| true)?;

    let mut dense_blocks = Vec::new();
    while reader.consumer(x, "BatchNormalization").is_some() {
        let mut layers = Vec::new();
        while reader.consumer(x, "Concat").is_some() {
            let (layer, next) = reader.dense_layer(x, &mut channels)?;
            layers.push(layer);
            x = next;
        }
        let (affine, next) = reader.normalization(x, channels)?;
        let (parts, next) = reader.convolution(reader.only(next, "Conv")?)?;
        if parts.channels != channels || !parts.is_pointwise() {
            return None;
        }
        channels = parts.outputs;
        let relu = reader.only(next, "Relu");
        x = relu.map_or(next, OnnxNode::output);
        let activation = if relu.is_some() { PostOp::Relu } else { PostOp::None };
        let transition = reader.layer(parts, Some(affine), activation);
        dense_blocks.push(DenseBlock { layers, transition });
    }
    let x = reader.statistics(x)?;
    let x = reader.next(x, "Unsqueeze", |_| true)?;
    let (mut parts, x) = reader.convolution(reader.only(x, "Conv")?)?;
    if parts.channels != 2 * channels || !parts.is_pointwise() {
        return None;
    }
    let mut x = reader.next(x, "Squeeze", |_| true)?;
    if let Some(node) = reader.only(x, "BatchNormalization") {
        parts.fold(reader.affine(node, parts.outputs)?);
        x = node.output();
    }
    let embedding = Layer::new(parts, None, PostOp::None, false);
    let network = Network { first, residual_blocks, last, entry, dense_blocks, embedding };
    (x == output.name && !network.dense_blocks.is_empty()).then_some(network)
}

/// Channels and height of a plane. Its width is time.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    channels: usize,
    height: usize,
}

impl Shape {
    /// Becomes the shape of a convolution's output, which must be as long as its input.
    fn check(&mut self, parts: &Parts) -> Option<()> {
        if parts.channels != self.channels || !parts.keeps_time() {
            return None;
        }
        let [height, _] = parts.window.output([self.height, 1])?;
        *self = Self { channels: parts.outputs, height };
        Some(())
    }
}

struct Reader<'a> {
    file: &'a OnnxFile,
    rounded: bool,
}

impl<'a> Reader<'a> {
    /// Returns the only node that uses `tensor`, besides those that use its shape, if it is an `op`.
    fn only(&self, tensor: &str, op: &str) -> Option<&'a OnnxNode> {
        let mut nodes = self.file.consumers(tensor).filter(|node| node.op() != "Shape");
        let node = nodes.next().filter(|node| node.op() == op)?;
        nodes.next().is_none().then_some(node)
    }

    /// Returns the only `op` among the nodes that use `tensor`.
    fn consumer(&self, tensor: &str, op: &str) -> Option<&'a OnnxNode> {
        let mut nodes = self.file.consumers(tensor).filter(|node| node.op() == op);
        let node = nodes.next()?;
        nodes.next().is_none().then_some(node)
    }

    /// Returns the output of the only node that uses `tensor`, if it is an `op` that `fits`.
    fn next(&self, tensor: &str, op: &str, fits: fn(&OnnxNode) -> bool) -> Option<&'a str> {
        self.only(tensor, op).filter(|node| fits(node)).map(OnnxNode::output)
    }

    fn layer(&self, parts: Parts, normalization: Option<Affine>, activation: PostOp) -> Layer {
        Layer::new(parts, normalization, activation, self.rounded)
    }

    /// Returns the values of a constant of this length.
    fn vector(&self, name: Option<&str>, length: usize) -> Option<Vec<f32>> {
        let values = engine::values::<f32>(self.file.constant(name?)?).ok()?;
        (values.len() == length).then(|| values.to_vec())
    }

    /// Returns scale and shift of a batch normalization.
    fn affine(&self, node: &OnnxNode, channels: usize) -> Option<Affine> {
        let vector = |input| self.vector(node.input(input), channels);
        let (gamma, beta, mean, variance) = (vector(1)?, vector(2)?, vector(3)?, vector(4)?);
        let epsilon = node.float("epsilon").unwrap_or(1e-5);
        let scale: Vec<f32> =
            gamma.iter().zip(variance).map(|(gamma, v)| gamma / (v + epsilon).sqrt()).collect();
        let shift = beta.iter().zip(mean).zip(&scale).map(|((b, mean), s)| b - mean * s).collect();
        Some((scale, shift))
    }

    /// Reads a convolution and a batch normalization that only follows it. Also returns the output.
    fn convolution(&self, node: &'a OnnxNode) -> Option<(Parts, &'a str)> {
        let weights = self.file.constant(node.input(1)?)?;
        let (&[outputs, channels, ..], axes) =
            (weights.shape(), weights.shape().len().checked_sub(2)?)
        else {
            return None;
        };
        let kernel: Vec<i64> =
            weights.shape()[2..].iter().map(|&size| size.try_into().ok()).collect::<Option<_>>()?;
        let padding = node.text("auto_pad").unwrap_or("NOTSET");
        let plain = node.op() == "Conv" && node.int("group").unwrap_or(1) == 1;
        if !plain || padding != "NOTSET" || outputs == 0 || channels == 0 {
            return None;
        }
        let pads = node.ints("pads").map_or_else(|| vec![0; 2 * axes], <[i64]>::to_vec);
        let (before, after) = pads.split_at_checked(axes)?;
        let list = |name| node.ints(name).map_or_else(|| vec![1; axes], <[i64]>::to_vec);
        let window = Window {
            kernel: sizes(&kernel, 1, 1)?,
            stride: sizes(&list("strides"), 1, 1)?,
            dilation: sizes(&list("dilations"), 1, 1)?,
            before: sizes(before, 0, 0)?,
            after: sizes(after, 0, 0)?,
        };
        let bias = match node.input(2) {
            None => None,
            name => Some(self.vector(name, outputs)?),
        };
        let weights = engine::values::<f32>(weights).ok()?.to_vec();
        let mut parts = Parts { weights, outputs, channels, window, bias };
        let mut output = node.output();
        if let Some(norm) = self.only(output, "BatchNormalization") {
            parts.fold(self.affine(norm, outputs)?);
            output = norm.output();
        }
        Some((parts, output))
    }

    /// Reads a batch normalization with ReLU. Also returns the output.
    fn normalization(&self, x: &str, channels: usize) -> Option<(Affine, &'a str)> {
        let node = self.consumer(x, "BatchNormalization")?;
        let output = self.next(node.output(), "Relu", |_| true)?;
        Some((self.affine(node, channels)?, output))
    }

    /// Reads a block of two convolutions and what is added to their output.
    fn residual_block(&self, x: &'a str, shape: &mut Shape) -> Option<(ResidualBlock, &'a str)> {
        let before = *shape;
        let mut convolutions = self.file.consumers(x).filter(|node| node.op() == "Conv");
        let (mut main, mut shortcut) = (convolutions.next()?, convolutions.next());
        // The shortcut has no ReLU before the sum.
        if let Some(other) = shortcut {
            let (_, output) = self.convolution(main)?;
            if self.only(output, "Relu").is_none() {
                (main, shortcut) = (other, Some(main));
            }
        }
        let (first, hidden) = self.convolution(main)?;
        shape.check(&first)?;
        let hidden = self.next(hidden, "Relu", |_| true)?;
        let (second, output) = self.convolution(self.only(hidden, "Conv")?)?;
        shape.check(&second)?;
        let (mut added, mut added_shape) = (x, before);
        let shortcut = match shortcut {
            None => None,
            Some(node) => {
                let (parts, output) = self.convolution(node)?;
                added_shape.check(&parts)?;
                added = output;
                Some(self.layer(parts, None, PostOp::None))
            }
        };
        let sum = self.only(output, "Add")?;
        let adds = sum.inputs().len() == 2
            && [output, added].iter().all(|term| sum.inputs().iter().any(|input| input == term));
        if !adds || output == added || added_shape != *shape {
            return None;
        }
        let block = ResidualBlock {
            first: self.layer(first, None, PostOp::Relu),
            second: self.layer(second, None, PostOp::Relu),
            shortcut,
        };
        Some((block, self.next(sum.output(), "Relu", |_| true)?))
    }

    /// Reads a layer that appends channels to `x`.
    fn dense_layer(&self, x: &'a str, channels: &mut usize) -> Option<(DenseLayer, &'a str)> {
        let (affine, normalized) = self.normalization(x, *channels)?;
        let (reduce, hidden) = self.convolution(self.only(normalized, "Conv")?)?;
        let hidden = self.next(hidden, "Relu", |_| true)?;
        let (local, output) = self.convolution(self.consumer(hidden, "Conv")?)?;
        let (width, added) = (reduce.outputs, local.outputs);
        let fits = reduce.channels == *channels
            && reduce.is_pointwise()
            && local.channels == width
            && is_over_time(&local)
            && local.keeps_time();
        let product = self.only(output, "Mul").filter(|_| fits)?;
        let weights = product.inputs().iter().find(|input| *input != output)?;
        let producer = |tensor: &str, op| self.file.producer(tensor).filter(|node| node.op() == op);
        let excite = producer(producer(weights, "Sigmoid")?.input(0)?, "Conv")?;
        let squeeze = producer(producer(excite.input(0)?, "Relu")?.input(0)?, "Conv")?;
        let segment = self.context(squeeze.input(0)?, hidden)?;
        let ((squeeze, _), (excite, _)) = (self.convolution(squeeze)?, self.convolution(excite)?);
        let fits = squeeze.is_pointwise()
            && excite.is_pointwise()
            && squeeze.channels == width
            && excite.channels == squeeze.outputs
            && excite.outputs == added;
        let concat = self.only(product.output(), "Concat").filter(|_| fits)?;
        if concat.inputs() != [x, product.output()] || concat.int("axis") != Some(1) {
            return None;
        }
        *channels += added;
        let layer = DenseLayer {
            reduce: self.layer(reduce, Some(affine), PostOp::Relu),
            local: self.layer(local, None, PostOp::None),
            context: [(squeeze, PostOp::Relu), (excite, PostOp::None)]
                .map(|(parts, activation)| Layer::new(parts, None, activation, false)),
            segment,
        };
        Some((layer, concat.output()))
    }

    /// Returns the frames per segment, if `tensor` is the sum of the mean of `hidden` over time and
    /// of its means over segments, each repeated for all frames of the segment.
    fn context(&self, tensor: &str, hidden: &str) -> Option<usize> {
        let sum = self.file.producer(tensor).filter(|node| node.op() == "Add")?;
        let [a, b] = sum.inputs() else { return None };
        let is_mean = |tensor: &str| self.mean(tensor, 1) == Some(hidden);
        let repeated = if is_mean(a) { b } else { Some(a).filter(|_| is_mean(b))? };
        let mut node = self.file.producer(repeated)?;
        for op in ["Slice", "Reshape", "Expand", "Unsqueeze"] {
            node = self.file.producer(node.input(0)?).filter(|_| node.op() == op)?;
        }
        let &[segment] = node.ints("kernel_shape")? else { return None };
        let fits = node.op() == "AveragePool"
            && node.input(0)? == hidden
            && node.ints("strides") == Some(&[segment])
            && node.int("ceil_mode") == Some(1)
            && node.ints("pads").is_none_or(|pads| pads.iter().all(|&pad| pad == 0));
        (fits && segment > 0).then(|| segment.try_into().ok())?
    }

    /// Returns what `tensor` is the mean over time of.
    fn mean(&self, tensor: &str, keeps: i64) -> Option<&'a str> {
        let node = self.file.producer(tensor).filter(|node| node.op() == "ReduceMean")?;
        let over_time = matches!(node.ints("axes"), Some([-1] | [2]));
        let fits = over_time && node.int("keepdims").unwrap_or(1) == keeps;
        node.input(0).filter(|_| fits)
    }

    /// Returns the tensor of mean and unbiased standard deviation of `x` over time.
    fn statistics(&self, x: &str) -> Option<&'a str> {
        let nodes = self.file.downstream(x);
        let concat = nodes.iter().find(|node| node.op() == "Concat")?;
        let [mean, deviation] = concat.inputs() else { return None };
        let producer = |tensor: &str, op| self.file.producer(tensor).filter(|node| node.op() == op);
        // sqrt(mean((x - mean(x))²) * n / (n - 1))
        let variance = producer(producer(deviation, "Sqrt")?.input(0)?, "Div")?;
        let (sum, count) =
            (producer(variance.input(0)?, "Mul")?, producer(variance.input(1)?, "Sub")?);
        let square = producer(self.mean(sum.input(0)?, 0)?, "Mul")?;
        let difference = producer(square.input(0)?, "Sub")?;
        let one = self.file.constant(count.input(1)?)?;
        let fits = self.mean(mean, 0) == Some(x)
            && sum.input(1) == count.input(0)
            && engine::values::<f32>(one).ok()? == [1.0]
            && square.input(0) == square.input(1)
            && difference.input(0) == Some(x)
            && self.mean(difference.input(1)?, 1) == Some(x)
            && matches!(concat.int("axis"), Some(-1 | 1));
        fits.then(|| concat.output())
    }
}

/// Returns sizes over height and width. Those of one axis are over width.
fn sizes(list: &[i64], height: usize, least: i64) -> Option<[usize; 2]> {
    let size = |size: i64| {
        (least..=MAX_SIZE).contains(&size).then(|| usize::try_from(size).ok()).flatten()
    };
    match *list {
        [width] => Some([height, size(width)?]),
        [height, width] => Some([size(height)?, size(width)?]),
        _ => None,
    }
}

/// Returns whether a convolution has no height.
fn is_over_time(parts: &Parts) -> bool {
    let Window { kernel, stride, before, after, .. } = parts.window;
    (kernel[0], stride[0], before[0], after[0]) == (1, 1, 0, 0)
}

/// Reorders the inputs of a convolution over time from `[channels, bins]` to `[bins, channels]`.
fn swap_channels_and_bins(parts: &mut Parts, channels: usize) {
    let kernel = parts.window.kernel[1];
    let bins = parts.channels / channels;
    let old = parts.weights.clone();
    let inputs = parts.channels * kernel;
    for (row, old) in parts.weights.chunks_exact_mut(inputs).zip(old.chunks_exact(inputs)) {
        for (input, to) in row.chunks_exact_mut(kernel).enumerate() {
            let (bin, channel) = (input / channels, input % channels);
            to.copy_from_slice(&old[(channel * bins + bin) * kernel..][..kernel]);
        }
    }
}
