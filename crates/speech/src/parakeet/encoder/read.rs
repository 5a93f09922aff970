//! Reads which layers an encoder has from its graph.

use engine::{OnnxFile, OnnxNode};

use super::graph::{Graph, Kind, Layer, Origin, other_input};

/// The layers of an encoder, in the order in which they are computed, and their sizes.
pub(super) struct Plan<'a> {
    pub(super) mels: usize,
    pub(super) channels: usize,
    pub(super) width: usize,
    pub(super) heads: usize,
    /// Convolutions over time and mel bins.
    pub(super) first: Layer<'a>,
    pub(super) stages: Vec<[Layer<'a>; 2]>,
    /// From channels of all bins to the width of the blocks.
    pub(super) entry: Layer<'a>,
    pub(super) blocks: Vec<Block<'a>>,
    /// Name of the table of positions, `[1, 2 * reach + 1, width]`.
    pub(super) positions: &'a str,
    /// Whether the subsampling masks frames after the length between its convolutions, as NeMo does
    /// since 2.5.
    pub(super) masked: bool,
}

/// A Conformer block.
pub(super) struct Block<'a> {
    pub(super) feed_forward: [FeedForward<'a>; 2],
    pub(super) attention: Attention<'a>,
    pub(super) convolution: Convolution<'a>,
    pub(super) norm: Layer<'a>,
}

/// `factor * outer(silu(inner(norm(x))))`.
pub(super) struct FeedForward<'a> {
    pub(super) norm: Layer<'a>,
    pub(super) inner: Layer<'a>,
    pub(super) outer: Layer<'a>,
    pub(super) factor: f32,
}

pub(super) struct Attention<'a> {
    pub(super) norm: Layer<'a>,
    /// Queries, keys, values.
    pub(super) qkv: [Layer<'a>; 3],
    /// Of positions.
    pub(super) positions: Layer<'a>,
    /// Constants `[heads, width of a head]` that are added to queries: before they are multiplied by
    /// keys, and by positions.
    pub(super) biases: [&'a str; 2],
    pub(super) output: Layer<'a>,
}

/// `project(silu(depthwise(glu(expand(norm(x))))))`.
pub(super) struct Convolution<'a> {
    pub(super) norm: Layer<'a>,
    pub(super) expand: Layer<'a>,
    pub(super) depthwise: Layer<'a>,
    pub(super) project: Layer<'a>,
}

/// A product of two tensors that both depend on the input.
struct Product<'a> {
    node: &'a OnnxNode,
    left: Origin<'a>,
    right: Origin<'a>,
}

struct Reader<'a> {
    graph: Graph<'a>,
    products: Vec<Product<'a>>,
    /// Indices of layers that have not been read, without those of positions.
    open: std::vec::IntoIter<usize>,
    width: usize,
}

/// Reads the layers of `file`. An error says what is not as in Parakeet's encoder.
pub(super) fn read(file: &OnnxFile) -> Result<Plan<'_>, String> {
    let input = file.inputs().first().ok_or("it has no input")?;
    let &[_, Some(mels), _] = &input.shape[..] else {
        return Err("its first input is not [batch, mels, frames]".to_owned());
    };
    let graph = Graph::new(file, &input.name);
    let is_position = |layer: &Layer<'_>| graph.produced(layer.x, "Slice").is_some();
    let open: Vec<usize> =
        (0..graph.layers.len()).filter(|&index| !is_position(&graph.layers[index])).collect();
    let products = file.nodes().iter().filter(|node| node.op() == "MatMul").filter_map(|node| {
        let (left, right) = (graph.origin(node.input(0)?)?, graph.origin(node.input(1)?)?);
        Some(Product { node, left, right })
    });
    let products = products.collect();
    Reader { graph, products, open: open.into_iter(), width: 0 }.plan(mels)
}

impl<'a> Reader<'a> {
    fn plan(mut self, mels: usize) -> Result<Plan<'a>, String> {
        let first = self.next(Kind::Convolution, "the first convolution", &[])?;
        let channels = match *self.graph.shape(first.weights) {
            [channels, 1, 3, 3] if channels > 0 && mels > 0 && halves(first.node) => channels,
            _ => return Err("its first convolution is not 3 x 3 with stride 2".to_owned()),
        };
        let (mut stages, mut bins, mut masked) = (Vec::new(), mels.div_ceil(2), false);
        let entry = loop {
            let index = self.take("the layer after the convolutions")?;
            let layer = self.graph.layers[index];
            if layer.kind() == Kind::Linear {
                self.check(&layer, "the layer after the convolutions", &["Relu"])?;
                break layer;
            }
            let what = "a convolution of the subsampling";
            let between = self.graph.between(layer.x);
            masked |= between.iter().any(|node| matches!(node.op(), "Mul" | "Where"));
            self.check(&layer, what, &["Relu"])?;
            let pointwise = self.next(Kind::Convolution, what, &[])?;
            let fits = *self.graph.shape(layer.weights) == [channels, 1, 3, 3]
                && halves(layer.node)
                && layer.node.int("group") == Some(channels as i64)
                && *self.graph.shape(pointwise.weights) == [channels, channels, 1, 1]
                && is_plain(pointwise.node);
            if !fits {
                return Err(format!("{what} has another shape"));
            }
            bins = bins.div_ceil(2);
            stages.push([layer, pointwise]);
        };
        let width = match *self.graph.shape(entry.weights) {
            [inputs, width] if inputs == channels * bins && width > 0 => width,
            _ => return Err("the layer after the convolutions has another shape".to_owned()),
        };
        self.width = width;
        // NeMo's `xscaling`, which Parakeet does not have.
        let scaled = self.graph.only(entry.output, "Mul").is_some();
        if scaled {
            return Err("it scales the input of its first block".to_owned());
        }
        let mut blocks: Vec<Block<'a>> = Vec::new();
        while !self.open.as_slice().is_empty() {
            blocks.push(self.block()?);
        }
        let attention = &blocks.first().ok_or("it has no blocks")?.attention;
        let [heads, _] = *self.graph.shape(attention.biases[0]) else {
            return Err("the biases of its queries are not [heads, width]".to_owned());
        };
        let slice = self.graph.produced(attention.positions.x, "Slice");
        let positions = slice.and_then(|node| node.input(0)).unwrap_or_default();
        match *self.graph.shape(positions) {
            [1, rows, columns] if columns == width && !rows.is_multiple_of(2) => {}
            _ => return Err("it has no table of positions".to_owned()),
        }
        Ok(Plan { mels, channels, width, heads, first, stages, entry, blocks, positions, masked })
    }

    fn block(&mut self) -> Result<Block<'a>, String> {
        let first = self.feed_forward()?;
        let attention = self.attention()?;
        let convolution = self.convolution()?;
        let second = self.feed_forward()?;
        let norm = self.norm()?;
        Ok(Block { feed_forward: [first, second], attention, convolution, norm })
    }

    fn feed_forward(&mut self) -> Result<FeedForward<'a>, String> {
        let norm = self.norm()?;
        let inner = self.linear("the first layer of a feed-forward module", &[])?;
        let outer = self.linear("the second layer of a feed-forward module", &["Sigmoid"])?;
        let [inputs, inside] = *self.graph.shape(inner.weights) else { return Err(shapes()) };
        if inputs != self.width || *self.graph.shape(outer.weights) != [inside, self.width] {
            return Err(shapes());
        }
        let scaled = self.graph.only(outer.output, "Mul");
        let factor = scaled.and_then(|node| self.graph.scalar(other_input(node, outer.output)?));
        let output = scaled.map_or(outer.output, OnnxNode::output);
        let factor = factor.unwrap_or(1.0);
        if self.graph.only(output, "Add").is_none() {
            return Err("a feed-forward module is not added to its input".to_owned());
        }
        Ok(FeedForward { norm, inner, outer, factor })
    }

    fn attention(&mut self) -> Result<Attention<'a>, String> {
        let norm = self.norm()?;
        let mut taken = Vec::new();
        for _ in 0..3 {
            let index = self.take("a layer of attention")?;
            let layer = self.graph.layers[index];
            self.check(&layer, "a layer of attention", &[])?;
            let fits = layer.kind() == Kind::Linear
                && *self.graph.shape(layer.weights) == [self.width, self.width]
                && layer.x == norm.output;
            if !fits {
                return Err(
                    "attention has other layers than those of queries, keys and values".into()
                );
            }
            taken.push(index);
        }
        let unknown = || "the products of attention are others".to_owned();
        let layer_of = |origin: Origin<'a>| match origin {
            Origin::Layer { index, added } => Some((index, added)),
            Origin::Softmax => None,
        };
        let of_block = |index: usize| taken.contains(&index);
        let (mut query_key, mut values) = (None, None);
        for product in &self.products {
            match (layer_of(product.left), layer_of(product.right)) {
                (Some((query, bias)), Some((key, None))) if of_block(query) && of_block(key) => {
                    query_key = Some((query, key, bias, product.node));
                }
                (None, Some((index, None))) if of_block(index) => values = Some(index),
                _ => {}
            }
        }
        let ((query, key, content_bias, product), value) =
            query_key.zip(values).ok_or_else(unknown)?;
        let position = self.products.iter().find_map(|product| {
            let (left, bias) = layer_of(product.left)?;
            let (right, added) = layer_of(product.right)?;
            let is_position = !of_block(right) && added.is_none() && left == query;
            is_position.then_some((right, bias))
        });
        let (positions, position_bias) = position.ok_or_else(unknown)?;
        let layers = &self.graph.layers;
        let positions = layers[positions];
        let biases = content_bias.zip(position_bias).ok_or_else(unknown)?;
        let biases: [&str; 2] = biases.into();
        let [heads, width] = *self.graph.shape(biases[0]) else { return Err(unknown()) };
        let fits = query != key
            && query != value
            && key != value
            && heads * width == self.width
            && *self.graph.shape(biases[1]) == [heads, width]
            && *self.graph.shape(positions.weights) == [self.width, self.width]
            && self.is_scaled(product, width);
        if !fits {
            return Err(unknown());
        }
        let qkv = [layers[query], layers[key], layers[value]];
        let output = self.linear("the last layer of attention", &["Softmax"])?;
        if *self.graph.shape(output.weights) != [self.width, self.width] {
            return Err(shapes());
        }
        Ok(Attention { norm, qkv, positions, biases, output })
    }

    /// Returns whether the sum of `product` and another one is divided by the root of `width`.
    fn is_scaled(&self, product: &OnnxNode, width: usize) -> bool {
        let root = (width as f32).sqrt();
        let scale = || {
            let sum = self.graph.only(product.output(), "Add")?;
            let divided = self.graph.only(sum.output(), "Div");
            let node = divided.or_else(|| self.graph.only(sum.output(), "Mul"))?;
            let factor = self.graph.scalar(other_input(node, sum.output())?)?;
            Some(if divided.is_some() { factor } else { 1.0 / factor })
        };
        scale().is_some_and(|scale: f32| (scale - root).abs() < 1e-4 * root)
    }

    fn convolution(&mut self) -> Result<Convolution<'a>, String> {
        let what = "a layer of a convolution module";
        let norm = self.norm()?;
        let expand = self.next(Kind::Convolution, what, &[])?;
        let depthwise = self.next(Kind::Convolution, what, &["Sigmoid"])?;
        let project = self.next(Kind::Convolution, what, &["Sigmoid"])?;
        let width = self.width;
        let taps = match *self.graph.shape(depthwise.weights) {
            [channels, 1, taps] if channels == width && !taps.is_multiple_of(2) => taps,
            _ => return Err(format!("{what} has another shape")),
        };
        let fits = *self.graph.shape(expand.weights) == [2 * width, width, 1]
            && *self.graph.shape(project.weights) == [width, width, 1]
            && depthwise.node.int("group") == Some(width as i64)
            && [&expand, &depthwise, &project].iter().all(|layer| is_plain(layer.node));
        if !fits || !self.is_gated(&expand, &depthwise) || !self.is_centred(&depthwise, taps) {
            return Err(format!("{what} computes something else"));
        }
        Ok(Convolution { norm, expand, depthwise, project })
    }

    /// Returns whether the first half of `expand`'s channels is multiplied by the sigmoids of the
    /// second.
    fn is_gated(&self, expand: &Layer<'a>, depthwise: &Layer<'a>) -> bool {
        let Some(split) = self.graph.only(expand.output, "Split") else { return false };
        let [values, gates] = split.outputs() else { return false };
        let sigmoid = self.graph.only(gates, "Sigmoid");
        let product = self.graph.only(values, "Mul");
        let between = self.graph.between(depthwise.x);
        sigmoid.zip(product).is_some_and(|(sigmoid, product)| {
            other_input(product, values) == Some(sigmoid.output())
                && between.iter().any(|node| node.output() == product.output())
        })
    }

    /// Returns whether a convolution over time has as many zeros before as after the input.
    fn is_centred(&self, layer: &Layer<'a>, taps: usize) -> bool {
        let half = (taps / 2) as i64;
        let pads = layer.node.ints("pads").unwrap_or(&[0, 0]);
        if let Some(pad) = self.graph.produced(layer.x, "Pad") {
            // The exporter reorders a constant of zeros before and after.
            let amounts = pad.input(1).unwrap_or_default();
            let mut constants = vec![amounts];
            let nodes = self.graph.between(amounts);
            constants.extend(nodes.iter().flat_map(|node| node.inputs()).map(String::as_str));
            let is_half = |name: &&str| {
                let constant = self.graph.file.constant(name);
                let values = constant.and_then(|tensor| engine::values::<i64>(tensor).ok());
                values.is_some_and(|values| match values {
                    [a, b] => [*a, *b] == [half, half],
                    [0, 0, a, 0, 0, b] => [*a, *b] == [half, half],
                    _ => false,
                })
            };
            return *pads == [0, 0] && constants.iter().any(is_half);
        }
        *pads == [half, half]
    }

    fn norm(&mut self) -> Result<Layer<'a>, String> {
        let norm = self.next(Kind::Norm, "a layer norm", &[])?;
        if *self.graph.shape(norm.weights) != [self.width] {
            return Err(shapes());
        }
        Ok(norm)
    }

    fn linear(&mut self, what: &str, functions: &[&str]) -> Result<Layer<'a>, String> {
        self.next(Kind::Linear, what, functions)
    }

    /// Takes the next layer, which must be of this kind, and of these functions of earlier layers.
    fn next(&mut self, kind: Kind, what: &str, functions: &[&str]) -> Result<Layer<'a>, String> {
        let index = self.take(what)?;
        let layer = self.graph.layers[index];
        if layer.kind() != kind {
            return Err(format!("{what} is missing: `{}` is in its place", layer.node.name()));
        }
        self.check(&layer, what, functions)?;
        Ok(layer)
    }

    /// Takes the index of the next layer.
    fn take(&mut self, what: &str) -> Result<usize, String> {
        self.open.next().ok_or_else(|| format!("{what} is missing"))
    }

    /// Checks that a layer is applied to these functions of earlier layers.
    fn check(&self, layer: &Layer<'a>, what: &str, functions: &[&str]) -> Result<(), String> {
        if !self.graph.applies(layer, functions) {
            let name = layer.node.name();
            return Err(format!("{what} (`{name}`) is applied to another function"));
        }
        Ok(())
    }
}

/// Returns whether a convolution over both axes halves them, with "same" zero padding.
fn halves(node: &OnnxNode) -> bool {
    node.ints("strides") == Some(&[2, 2])
        && node.ints("pads") == Some(&[1; 4])
        && node.ints("dilations").is_none_or(|dilations| dilations.iter().all(|&d| d == 1))
}

/// Returns whether a convolution takes every input, and adds no zeros to a kernel of one.
fn is_plain(node: &OnnxNode) -> bool {
    let ones = |name| node.ints(name).is_none_or(|values| values.iter().all(|&value| value == 1));
    let is_pointwise = node.ints("kernel_shape").is_none_or(|sizes| sizes.iter().all(|&s| s == 1));
    let padded = node.ints("pads").is_some_and(|pads| pads.iter().any(|&pad| pad != 0));
    ones("strides") && ones("dilations") && !(is_pointwise && padded)
}

fn shapes() -> String {
    "a layer has another shape".to_owned()
}
