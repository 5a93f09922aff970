//! Networks that are built layer by layer.

use std::sync::Arc;

use kernels::{PostOp, attention::ComputeType};
use tract_onnx::{
    tract_core::internal::*, tract_core::ops::change_axes::AxisOp, tract_core::ops::math,
};

use crate::{
    decoding::{DecoderState, EncoderMemory, KeyValueCache},
    dim::Dim,
    error::Error,
    linear::Linear,
    ops,
    runner::Runner,
};

/// A value in a [`GraphBuilder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node(OutletId);

/// Builds a [`Network`] from weights, operator by operator. Each operator has a unique name.
///
/// All methods that add an operator return [`Error::Graph`] if shapes or sizes do not fit.
///
/// # Examples
/// ```
/// use std::sync::Arc;
///
/// use engine::{GraphBuilder, Linear, PostOp};
///
/// // y = relu(x Wᵀ + b) for rows of three values.
/// let layer = Linear::float(&[1.0, 0.0, 0.0, 0.0, 1.0, -1.0], 2, Some(vec![0.5, 0.0]))?;
/// let mut graph = GraphBuilder::default();
/// let x = graph.input::<f32>("x", &["rows".into(), 3.into()])?;
/// let y = graph.linear("y", x, &Arc::new(layer), PostOp::Relu)?;
/// let network = graph.build(&[y])?;
///
/// let x = engine::tensor(&[1, 3], &[1f32, 2.0, 3.0])?;
/// let outputs = network.run(vec![x])?;
/// assert_eq!(engine::values::<f32>(&outputs[0])?, [1.5, 0.0]);
/// # Ok::<_, engine::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct GraphBuilder {
    model: TypedModel,
}

/// A network from a [`GraphBuilder`]. One instance serves all threads.
#[derive(Debug)]
pub struct Network {
    runner: Runner,
}

impl GraphBuilder {
    /// Adds an input. The network takes its inputs in the order in which they were added.
    pub fn input<T: Datum>(&mut self, name: &str, shape: &[Dim]) -> Result<Node, Error> {
        let shape: TVec<TDim> = shape
            .iter()
            .map(|dim| match dim {
                Dim::Fixed(length) => length.to_dim(),
                Dim::Symbol(name) => self.model.symbols.sym(name).to_dim(),
            })
            .collect();
        self.model.add_source(name, T::fact(&*shape)).map(Node).map_err(Error::graph)
    }

    /// Adds a constant, such as position encodings.
    pub fn constant(&mut self, name: &str, value: Tensor) -> Result<Node, Error> {
        self.model.add_const(name, value).map(Node).map_err(Error::graph)
    }

    /// Adds `a + b`.
    pub fn add(&mut self, name: &str, a: Node, b: Node) -> Result<Node, Error> {
        self.wire(name, math::add(), &[a, b])
    }

    /// Transposes `[a, b]` to `[b, a]`.
    pub fn transpose(&mut self, name: &str, x: Node) -> Result<Node, Error> {
        self.wire(name, AxisOp::Move(0, 1), &[x])
    }

    /// Adds a linear layer over the last axis: `activation(x Wᵀ + b)`. The activation is not
    /// [`PostOp::Add`]: use [`Self::linear_residual`].
    pub fn linear(
        &mut self,
        name: &str,
        x: Node,
        layer: &Arc<Linear>,
        activation: PostOp,
    ) -> Result<Node, Error> {
        if activation == PostOp::Add {
            return Err(Error::graph(format!("`{name}` has no residual to add")));
        }
        self.wire(name, ops::Linear { layer: layer.clone(), post_op: activation }, &[x])
    }

    /// Adds a linear layer with a residual over the last axis: `residual + x Wᵀ + b`.
    pub fn linear_residual(
        &mut self,
        name: &str,
        x: Node,
        layer: &Arc<Linear>,
        residual: Node,
    ) -> Result<Node, Error> {
        let op = ops::Linear { layer: layer.clone(), post_op: PostOp::Add };
        self.wire(name, op, &[x, residual])
    }

    /// Adds layer normalization over the last axis.
    pub fn layer_norm(
        &mut self,
        name: &str,
        x: Node,
        gamma: Vec<f32>,
        beta: Vec<f32>,
        epsilon: f32,
    ) -> Result<Node, Error> {
        let op = ops::LayerNorm { gamma: gamma.into(), beta: beta.into(), epsilon };
        self.wire(name, op, &[x])
    }

    /// Adds a convolution over time with "same" zero padding and GELU: `[time, channels]` to
    /// `[time.div_ceil(stride), outputs]`. `weights` are `[outputs, channels, kernel]`.
    pub fn convolution_gelu(
        &mut self,
        name: &str,
        x: Node,
        weights: &[f32],
        bias: Vec<f32>,
        kernel: usize,
        stride: usize,
    ) -> Result<Node, Error> {
        let op = ops::Convolution::new(weights, bias, kernel, stride, PostOp::Gelu)?;
        self.wire(name, op, &[x])
    }

    /// Adds self-attention of every position to all positions: `[time, 3 * width]`, in each row
    /// queries, keys and values, to `[time, width]`.
    pub fn self_attention(
        &mut self,
        name: &str,
        qkv: Node,
        heads: usize,
        compute_type: ComputeType,
    ) -> Result<Node, Error> {
        let columns = self.model.outlet_fact(qkv.0).map_err(Error::graph)?.shape.last().cloned();
        let columns = columns.and_then(|columns| columns.to_usize().ok()).unwrap_or(0);
        if heads == 0 || columns == 0 || !columns.is_multiple_of(3 * heads) {
            return Err(Error::graph(format!(
                "{columns} columns do not hold queries, keys and values of {heads} heads"
            )));
        }
        let op = ops::Attention::self_attention(heads, columns / 3, compute_type);
        self.wire(name, op, &[qkv])
    }

    /// Adds the sum of token embeddings and position encodings: `[beams, n]` (i64) to
    /// `[beams, n, width]`. `table` has one output per token. `positions` is `[positions, width]`,
    /// of which the first one used is that after the last position in the cache.
    pub fn embedding(
        &mut self,
        name: &str,
        tokens: Node,
        table: &Arc<Linear>,
        positions: Vec<f32>,
    ) -> Result<Node, Error> {
        let op = ops::Embedding { table: table.clone(), positions: positions.into() };
        self.wire(name, op, &[tokens])
    }

    /// Adds causal self-attention with the key/value cache of `layer`: appends the keys and values
    /// of the new positions, then attends from each to all positions up to its own.
    /// `[beams, n, 3 * width]` to `[beams, n, width]`.
    pub fn cached_attention(
        &mut self,
        name: &str,
        qkv: Node,
        layer: usize,
        heads: usize,
    ) -> Result<Node, Error> {
        self.wire(name, ops::CachedAttention { layer, heads }, &[qkv])
    }

    /// Adds cross-attention to the encoder memory of `layer`: `[beams, n, width]` to the same
    /// shape.
    pub fn cross_attention(
        &mut self,
        name: &str,
        queries: Node,
        layer: usize,
        heads: usize,
    ) -> Result<Node, Error> {
        self.wire(name, ops::CrossAttention { layer, heads }, &[queries])
    }

    /// Selects the last of n positions: `[beams, n, width]` to `[beams, width]`.
    pub fn last_position(&mut self, name: &str, x: Node) -> Result<Node, Error> {
        self.wire(name, ops::LastPosition, &[x])
    }

    /// Makes the network that computes `outputs`.
    ///
    /// # Errors
    /// [`Error::Graph`] if tract cannot optimize the graph.
    pub fn build(mut self, outputs: &[Node]) -> Result<Network, Error> {
        let outputs: Vec<OutletId> = outputs.iter().map(|node| node.0).collect();
        self.model.select_output_outlets(&outputs).map_err(Error::graph)?;
        Ok(Network { runner: Runner::new(self.model).map_err(Error::graph)? })
    }

    pub(crate) fn wire(
        &mut self,
        name: &str,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[Node],
    ) -> Result<Node, Error> {
        let inputs: TVec<OutletId> = inputs.iter().map(|node| node.0).collect();
        let outlets = self.model.wire_node(name, op, &inputs).map_err(Error::graph)?;
        Ok(Node(outlets[0]))
    }
}

impl Network {
    /// Runs the network on this thread.
    ///
    /// # Errors
    /// [`Error::Input`] and [`Error::Run`] if number, types or shapes of the inputs do not fit.
    pub fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Error> {
        self.runner.run(inputs)
    }

    /// Runs a step of a decoder on this thread. `inputs[0]` are the tokens after those in the
    /// cache, `[cache.beams(), n]`; the cache holds them afterwards.
    ///
    /// # Errors
    /// As [`Self::run`], and [`Error::Input`] if the tokens do not fit the cache.
    pub fn decode(
        &self,
        cache: &mut KeyValueCache,
        memory: &Arc<EncoderMemory>,
        inputs: Vec<Tensor>,
    ) -> Result<Vec<Tensor>, Error> {
        let shape = inputs.first().map_or(&[][..], |tokens| tokens.shape());
        let &[beams, added] = shape else {
            return Err(Error::input(format!("tokens are {shape:?}, not [beams, n]")));
        };
        cache.check_step(beams, added)?;
        let state = DecoderState { cache: std::mem::take(cache), memory: memory.clone() };
        let (state, outputs) = self.runner.run_with(state, inputs);
        *cache = state.cache;
        let outputs = outputs?;
        cache.advance(added);
        Ok(outputs)
    }
}
