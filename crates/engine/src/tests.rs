//! Networks of fused operators compared with the same networks of tract's operators.

use kernels::Epilogue;
use tract_onnx::{
    tract_core::internal::*,
    tract_core::ops::{
        array::Slice,
        change_axes::wire_with_rank_broadcast,
        einsum::EinSum,
        math,
        nn::{Reduce, Reducer, Softmax},
    },
};

use crate::{GraphBuilder, Linear, PostOp, runner::Runner, tensor, values};

const TIME: usize = 37;
const WIDTH: usize = 24;
const HEADS: usize = 3;
const INNER: usize = 40;
const EPSILON: f32 = 1e-5;

/// Returns pseudo-random numbers in [-1, 1) that depend only on the seed.
pub(crate) fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn assert_close(actual: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(actual.len(), expected.len());
    for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        assert!(
            (actual - expected).abs() < tolerance,
            "at {index}: {actual} instead of {expected}"
        );
    }
}

/// Weights of `x + W1 attention(W0 norm(x))`, then `x + W3 gelu(W2 norm(x))`.
struct Block {
    linears: [(Vec<f32>, Vec<f32>); 4],
    norms: [(Vec<f32>, Vec<f32>); 2],
}

impl Block {
    fn new() -> Self {
        let linear = |seed, outputs, inputs| {
            let weights = numbers(seed, outputs * inputs).iter().map(|w| w * 0.5).collect();
            (weights, numbers(seed + 1, outputs))
        };
        Self {
            linears: [
                linear(1, 3 * WIDTH, WIDTH),
                linear(3, WIDTH, WIDTH),
                linear(5, INNER, WIDTH),
                linear(7, WIDTH, INNER),
            ],
            norms: [9, 11].map(|seed| (numbers(seed, WIDTH), numbers(seed + 1, WIDTH))),
        }
    }

    fn fused(&self, int8: bool) -> Vec<f32> {
        let linear = |index: usize| {
            let (weights, bias) = &self.linears[index];
            let make = if int8 { Linear::quantize } else { Linear::float };
            Arc::new(make(weights, bias.len(), Some(bias.clone())).expect("linear"))
        };
        let mut graph = GraphBuilder::default();
        let mut build = || {
            let x = graph.input::<f32>("x", &["time".into(), WIDTH.into()])?;
            let (gamma, beta) = self.norms[0].clone();
            let normed = graph.layer_norm("norm_0", x, gamma, beta, EPSILON)?;
            let qkv = graph.linear("linear_0", normed, &linear(0), PostOp::None)?;
            let attended =
                graph.self_attention("attention", qkv, HEADS, crate::ComputeType::F32)?;
            let x = graph.linear_residual("linear_1", attended, &linear(1), x)?;
            let (gamma, beta) = self.norms[1].clone();
            let normed = graph.layer_norm("norm_1", x, gamma, beta, EPSILON)?;
            let hidden = graph.linear("linear_2", normed, &linear(2), PostOp::Gelu)?;
            graph.linear_residual("linear_3", hidden, &linear(3), x)
        };
        let output = build().expect("graph");
        let network = graph.build(&[output]).expect("network");
        let x = tensor(&[TIME, WIDTH], &numbers(13, TIME * WIDTH)).expect("tensor");
        values(&network.run(vec![x]).expect("run")[0]).expect("floats").to_vec()
    }

    fn unfused(&self) -> Vec<f32> {
        let mut graph = UnfusedGraph::default();
        let x = graph.model.add_source("x", f32::fact([TIME, WIDTH])).expect("source");
        let normed = graph.layer_norm(x, &self.norms[0]);
        let qkv = graph.linear(normed, &self.linears[0]);
        let [queries, keys, rows] = [0, 1, 2].map(|part| {
            let part = graph.op(Slice::new(1, part * WIDTH, (part + 1) * WIDTH), &[qkv]);
            let heads = tvec![HEADS.to_dim(), (WIDTH / HEADS).to_dim()];
            graph.op(AxisOp::Reshape(1, tvec![WIDTH.to_dim()], heads), &[part])
        });
        let scores = graph.einsum("qhd,khd->hqk", &[queries, keys]);
        let scores = graph.with_scalar(math::mul(), scores, ((WIDTH / HEADS) as f32).powf(-0.5));
        let softmax = Softmax { axes: tvec![2], ..Softmax::default() };
        let weights = graph.op(softmax, &[scores]);
        let attended = graph.einsum("hqk,khd->qhd", &[weights, rows]);
        let heads = tvec![HEADS.to_dim(), (WIDTH / HEADS).to_dim()];
        let attended = graph.op(AxisOp::Reshape(1, heads, tvec![WIDTH.to_dim()]), &[attended]);
        let attended = graph.linear(attended, &self.linears[1]);
        let x = graph.op(math::add(), &[x, attended]);
        let normed = graph.layer_norm(x, &self.norms[1]);
        let hidden = graph.linear(normed, &self.linears[2]);
        let hidden = graph.gelu(hidden);
        let hidden = graph.linear(hidden, &self.linears[3]);
        let x = graph.op(math::add(), &[x, hidden]);
        graph.model.select_output_outlets(&[x]).expect("output");
        let runner = Runner::new(graph.model).expect("runner");
        let x = tensor(&[TIME, WIDTH], &numbers(13, TIME * WIDTH)).expect("tensor");
        values(&runner.run(vec![x]).expect("run")[0]).expect("floats").to_vec()
    }
}

/// A graph of tract's operators.
#[derive(Default)]
struct UnfusedGraph {
    model: TypedModel,
}

impl UnfusedGraph {
    fn op(&mut self, op: impl Into<Box<dyn TypedOp>>, inputs: &[OutletId]) -> OutletId {
        let name = format!("node_{}", self.model.nodes().len());
        self.model.wire_node(name, op, inputs).expect("node")[0]
    }

    fn constant(&mut self, shape: &[usize], values: &[f32]) -> OutletId {
        let name = format!("constant_{}", self.model.nodes().len());
        self.model.add_const(name, tensor(shape, values).expect("tensor")).expect("constant")
    }

    fn einsum(&mut self, axes: &str, inputs: &[OutletId]) -> OutletId {
        self.op(EinSum::new(axes.parse().expect("axes"), f32::datum_type()), inputs)
    }

    fn with_scalar(
        &mut self,
        op: impl Into<Box<dyn TypedOp>>,
        x: OutletId,
        scalar: f32,
    ) -> OutletId {
        let scalar = self.constant(&[], &[scalar]);
        let name = format!("node_{}", self.model.nodes().len());
        wire_with_rank_broadcast(name, &mut self.model, op, &[x, scalar]).expect("node")[0]
    }

    fn linear(&mut self, x: OutletId, (weights, bias): &(Vec<f32>, Vec<f32>)) -> OutletId {
        let inputs = weights.len() / bias.len();
        let weights = self.constant(&[bias.len(), inputs], weights);
        let bias = self.constant(&[1, bias.len()], bias);
        let output = self.einsum("ti,oi->to", &[x, weights]);
        self.op(math::add(), &[output, bias])
    }

    fn layer_norm(&mut self, x: OutletId, (gamma, beta): &(Vec<f32>, Vec<f32>)) -> OutletId {
        let sum = self.op(Reduce { axes: tvec![1], reducer: Reducer::Sum }, &[x]);
        let mean = self.with_scalar(math::mul(), sum, 1.0 / WIDTH as f32);
        let centered = self.op(math::sub(), &[x, mean]);
        let squares = Reduce { axes: tvec![1], reducer: Reducer::MeanOfSquares };
        let variance = self.op(squares, &[centered]);
        let variance = self.with_scalar(math::add(), variance, EPSILON);
        let scale = self.op(math::rsqrt(), &[variance]);
        let normed = self.op(math::mul(), &[centered, scale]);
        let gamma = self.constant(&[1, WIDTH], gamma);
        let beta = self.constant(&[1, WIDTH], beta);
        let scaled = self.op(math::mul(), &[normed, gamma]);
        self.op(math::add(), &[scaled, beta])
    }

    fn gelu(&mut self, x: OutletId) -> OutletId {
        let inner = self.with_scalar(math::mul(), x, std::f32::consts::FRAC_1_SQRT_2);
        let erf = self.op(math::erf(), &[inner]);
        let half = self.with_scalar(math::add(), erf, 1.0);
        let half = self.with_scalar(math::mul(), half, 0.5);
        self.op(math::mul(), &[x, half])
    }
}

#[test]
fn fused_equals_unfused() {
    assert_close(&Block::new().fused(false), &Block::new().unfused(), 2e-5);
}

#[test]
fn int8_is_close_to_unfused() {
    // Two roundings to 1/254 of the largest value, in two blocks with sums of about 30 terms.
    assert_close(&Block::new().fused(true), &Block::new().unfused(), 0.2);
}

#[test]
fn convolution_equals_a_plain_sum() {
    let (time, channels, outputs, kernel) = (11, 5, 7, 3);
    let (x, weights) = (numbers(1, time * channels), numbers(2, outputs * channels * kernel));
    let bias = numbers(3, outputs);
    let identity = kernels::float::Weights::pack(&[1.0], 1, 1);
    for stride in [1, 2, 3] {
        let mut graph = GraphBuilder::default();
        let input = graph.input::<f32>("x", &["time".into(), channels.into()]).expect("input");
        let output = graph
            .convolution_gelu("convolution", input, &weights, bias.clone(), kernel, stride)
            .expect("convolution");
        let network = graph.build(&[output]).expect("network");
        let out = network.run(vec![tensor(&[time, channels], &x).expect("tensor")]).expect("run");
        assert_eq!(out[0].shape(), [time.div_ceil(stride), outputs]);
        let mut expected = Vec::new();
        for center in (0..time).step_by(stride) {
            for output in 0..outputs {
                let mut sum = bias[output];
                for (channel, tap) in (0..channels).flat_map(|c| (0..kernel).map(move |k| (c, k))) {
                    let time_index = (center + tap).wrapping_sub(kernel / 2);
                    let value = x.get(time_index.wrapping_mul(channels).wrapping_add(channel));
                    let value = value.filter(|_| time_index < time).unwrap_or(&0.0);
                    sum += value * weights[(output * channels + channel) * kernel + tap];
                }
                let mut gelu = [0.0];
                let epilogue = Epilogue { bias: None, post_op: PostOp::Gelu };
                identity.apply(&[sum], 1, 1, epilogue, &mut gelu);
                expected.extend(gelu);
            }
        }
        assert_close(values(&out[0]).expect("floats"), &expected, 1e-5);
    }
}

#[test]
fn invalid_graphs_are_errors() {
    let weights = [0.0; 6];
    assert!(Linear::float(&weights, 4, None).is_err(), "6 weights for 4 outputs");
    assert!(Linear::float(&weights, 0, None).is_err(), "no outputs");
    assert!(Linear::quantize(&weights, 2, Some(vec![0.0])).is_err(), "one bias for 2 outputs");
    assert!(Linear::int8(&[], &[], None).is_err(), "nothing");
    assert!(Linear::int8(&[1; 50_000], &[1.0], None).is_err(), "50,000 inputs overflow i32");
    assert!(Linear::quantize(&[1.0; 50_000], 1, None).is_err(), "50,000 inputs overflow i32");
    let mut graph = GraphBuilder::default();
    let x = graph.input::<f32>("x", &["time".into(), 4.into()]).expect("input");
    let linear = Arc::new(Linear::float(&weights, 2, None).expect("linear"));
    assert!(graph.linear("linear", x, &linear, PostOp::None).is_err(), "4 columns for 3 inputs");
    assert!(graph.linear("linear", x, &linear, PostOp::Add).is_err(), "no residual");
    assert!(
        graph.self_attention("attention", x, 1, crate::ComputeType::F32).is_err(),
        "4 columns for q, k and v"
    );
    assert!(graph.self_attention("attention", x, 0, crate::ComputeType::F32).is_err(), "no heads");
    assert!(graph.layer_norm("norm", x, vec![1.0], vec![0.0], EPSILON).is_err(), "width 1 of 4");
    assert!(graph.convolution_gelu("conv", x, &weights, vec![0.0; 2], 3, 1).is_err(), "1 channel");
    assert!(graph.convolution_gelu("conv", x, &weights, vec![], 3, 0).is_err(), "no outputs");
}
