use std::sync::Arc;

use tract_onnx::{
    tract_core::internal::*, tract_core::ops::change_axes::AxisOp, tract_core::ops::math,
};

use crate::{
    Dim, Error, Linear,
    decoding::{Decoding, KeyValueCache, Memories},
    ops,
    runner::Runner,
};

pub use kernels::{PostOp, attention::ComputeType};

/// A value in a [`GraphBuilder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node(OutletId);

/// Builds a [`Network`] from weights, operator by operator. Names must be unique.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    model: TypedModel,
}

/// A network that was built; one instance serves all threads.
#[derive(Debug)]
pub struct Network {
    runner: Runner,
}

impl GraphBuilder {
    /// An input; inputs are given to the network in the order in which they were added.
    pub fn input<T: Datum>(&mut self, name: &str, shape: &[Dim]) -> Result<Node, Error> {
        let shape: TVec<TDim> = shape
            .iter()
            .map(|dim| match dim {
                Dim::Fixed(length) => length.to_dim(),
                Dim::Symbol(name) => self.model.symbols.sym(name).to_dim(),
            })
            .collect();
        self.model.add_source(name, T::fact(&*shape)).map(Node).map_err(graph_error)
    }

    /// A constant, such as position encodings.
    pub fn constant(&mut self, name: &str, value: Tensor) -> Result<Node, Error> {
        self.model.add_const(name, value).map(Node).map_err(graph_error)
    }

    pub fn add(&mut self, name: &str, a: Node, b: Node) -> Result<Node, Error> {
        self.wire(name, math::add(), &[a, b])
    }

    /// `[a, b]` to `[b, a]`.
    pub fn transpose(&mut self, name: &str, x: Node) -> Result<Node, Error> {
        self.wire(name, AxisOp::Move(0, 1), &[x])
    }

    /// `activation(x Wᵀ + b)` over the last axis; [`PostOp::Add`] is [`Self::linear_residual`]'s.
    pub fn linear(
        &mut self,
        name: &str,
        x: Node,
        layer: &Arc<Linear>,
        activation: PostOp,
    ) -> Result<Node, Error> {
        if activation == PostOp::Add {
            return Err(Error::Graph(format!("`{name}` has nothing to add to")));
        }
        self.wire(name, ops::Linear { layer: layer.clone(), post_op: activation }, &[x])
    }

    /// `residual + x Wᵀ + b` over the last axis.
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

    /// Layer norm over the last axis.
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

    /// Convolution over time with "same" zero padding and GELU, `[time, channels]` to
    /// `[time.div_ceil(stride), outputs]`. `weights`: `[outputs, channels, kernel]`.
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

    /// Every position attends to all: `[time, 3 * width]` (queries, keys, values side by side) to
    /// `[time, width]`.
    pub fn self_attention(
        &mut self,
        name: &str,
        qkv: Node,
        heads: usize,
        products: ComputeType,
    ) -> Result<Node, Error> {
        let columns = self.model.outlet_fact(qkv.0).map_err(graph_error)?.shape.last().cloned();
        let columns = columns.and_then(|columns| columns.to_usize().ok()).unwrap_or(0);
        if heads == 0 || columns == 0 || !columns.is_multiple_of(3 * heads) {
            return Err(Error::Graph(format!("{columns} columns for q, k and v of {heads} heads")));
        }
        self.wire(name, ops::Attention::to_itself(heads, columns / 3, products), &[qkv])
    }

    /// Rows of a table plus position encodings `[positions, width]`, from where the cache ends:
    /// `[beams, n]` (i64) to `[beams, n, width]`.
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

    /// Appends keys and values to the cache of `layer`, and attends to all up to the own position:
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

    /// Attends to the memory of `layer`: `[beams, n, width]` to the same.
    pub fn memory_attention(
        &mut self,
        name: &str,
        queries: Node,
        layer: usize,
        heads: usize,
    ) -> Result<Node, Error> {
        self.wire(name, ops::MemoryAttention { layer, heads }, &[queries])
    }

    /// `[beams, n, width]` to the last of the n, `[beams, width]`.
    pub fn last_position(&mut self, name: &str, x: Node) -> Result<Node, Error> {
        self.wire(name, ops::LastPosition, &[x])
    }

    pub fn finish(mut self, outputs: &[Node]) -> Result<Network, Error> {
        let outputs: Vec<OutletId> = outputs.iter().map(|node| node.0).collect();
        self.model.select_output_outlets(&outputs).map_err(graph_error)?;
        Ok(Network { runner: Runner::new(self.model).map_err(graph_error)? })
    }

    fn wire(
        &mut self,
        name: &str,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[Node],
    ) -> Result<Node, Error> {
        let inputs: TVec<OutletId> = inputs.iter().map(|node| node.0).collect();
        let outlets = self.model.wire_node(name, op, &inputs).map_err(graph_error)?;
        Ok(Node(outlets[0]))
    }
}

impl Network {
    /// Runs the network on this thread.
    pub fn run(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Error> {
        self.runner.run(inputs)
    }

    /// Runs a decoder: `inputs[0]` are tokens, `[cache.beams(), n]`, that follow those in the cache;
    /// afterwards the cache holds them too.
    pub fn decode(
        &self,
        cache: &mut KeyValueCache,
        memories: &Arc<Memories>,
        inputs: Vec<Tensor>,
    ) -> Result<Vec<Tensor>, Error> {
        let &[beams, added] = inputs.first().map_or(&[][..], |tokens| tokens.shape()) else {
            return Err(Error::Input("tokens are [beams, n]".into()));
        };
        cache.make_room(beams, added)?;
        let decoding = Decoding { cache: std::mem::take(cache), memories: memories.clone() };
        let (decoding, outputs) = self.runner.run_with(decoding, inputs);
        *cache = decoding.cache;
        let outputs = outputs?;
        cache.advance(added);
        Ok(outputs)
    }
}

fn graph_error(error: TractError) -> Error {
    Error::Graph(format!("{error:#}"))
}
