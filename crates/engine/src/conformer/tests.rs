//! The layers compared with plain loops.

use std::sync::Arc;

use super::*;
use crate::{Linear, Network, PostOp, tensor, tests::numbers, values};

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let allowed = tolerance * expected.abs().max(1.0);
        assert!((found - expected).abs() < allowed, "{index}: {found}, not {expected}");
    }
}

fn network(columns: usize, layer: impl Fn(&mut GraphBuilder, Node) -> Node) -> Network {
    let mut graph = GraphBuilder::default();
    let x = graph.input::<f32>("x", &["time".into(), columns.into()]).expect("an input");
    let y = layer(&mut graph, x);
    graph.build(&[y]).expect("a network")
}

fn run(network: &Network, columns: usize, x: &[f32]) -> Vec<f32> {
    let x = tensor(&[x.len() / columns, columns], x).expect("a tensor");
    let outputs = network.run(vec![x]).expect("a run");
    values::<f32>(&outputs[0]).expect("floats").to_vec()
}

/// Convolves `[channels][time][bins]` planes; `weights` are `[outputs][inputs][3][3]`, or
/// `[channels][3][3]` if `depthwise`.
fn convolved(
    planes: &[Vec<Vec<f32>>],
    weights: &[f32],
    bias: &[f32],
    depthwise: bool,
) -> Vec<Vec<Vec<f32>>> {
    let (time, bins) = (planes[0].len(), planes[0][0].len());
    let inputs = if depthwise { 1 } else { planes.len() };
    let value = |output: usize, t: usize, b: usize| {
        let mut sum = bias[output];
        for input in 0..inputs {
            let plane = &planes[if depthwise { output } else { input }];
            for tap in 0..9 {
                let (t, b) = ((2 * t + tap / 3).wrapping_sub(1), (2 * b + tap % 3).wrapping_sub(1));
                if t < time && b < bins {
                    sum += weights[(output * inputs + input) * 9 + tap] * plane[t][b];
                }
            }
        }
        sum
    };
    let row = |output, t| (0..bins.div_ceil(2)).map(|b| value(output, t, b)).collect();
    let plane = |output| (0..time.div_ceil(2)).map(|t| row(output, t)).collect();
    (0..bias.len()).map(plane).collect()
}

#[test]
fn subsampling_equals_its_convolutions() {
    const CHANNELS: usize = 5;
    const BINS: usize = 13;
    let stage = |seed: u32| SubsamplingStage {
        depthwise: numbers(seed, CHANNELS * 9),
        depthwise_bias: numbers(seed + 1, CHANNELS),
        pointwise: numbers(seed + 2, CHANNELS * CHANNELS),
        pointwise_bias: numbers(seed + 3, CHANNELS),
    };
    let weights = SubsamplingWeights {
        first: numbers(1, CHANNELS * 9),
        bias: numbers(2, CHANNELS),
        stages: vec![stage(10), stage(20)],
    };
    let of = |precision| {
        network(BINS, |graph, x| {
            graph.subsampling("s", x, weights.clone(), precision).expect("a layer")
        })
    };
    let (float, rounded) = (of(Precision::F32), of(Precision::Bf16));
    let relu = |planes: &mut Vec<Vec<Vec<f32>>>| {
        planes.iter_mut().flatten().flatten().for_each(|x| *x = x.max(0.0));
    };
    for time in [1, 2, 3, 7, 8, 9, 31, 32, 33, 34, 65, 100] {
        let x = numbers(time as u32, time * BINS);
        let mut planes = vec![x.chunks(BINS).map(<[f32]>::to_vec).collect::<Vec<_>>()];
        planes = convolved(&planes, &weights.first, &weights.bias, false);
        relu(&mut planes);
        for stage in &weights.stages {
            planes = convolved(&planes, &stage.depthwise, &stage.depthwise_bias, true);
            let inputs = planes.clone();
            for (output, plane) in planes.iter_mut().enumerate() {
                for (t, row) in plane.iter_mut().enumerate() {
                    for (b, x) in row.iter_mut().enumerate() {
                        let weights = &stage.pointwise[output * CHANNELS..][..CHANNELS];
                        let terms = inputs.iter().zip(weights);
                        let sum: f32 = terms.map(|(plane, weight)| plane[t][b] * weight).sum();
                        *x = sum + stage.pointwise_bias[output];
                    }
                }
            }
            relu(&mut planes);
        }
        let rows = 0..planes[0].len();
        let at = |t: usize| {
            let planes = &planes;
            (0..planes[0][0].len()).flat_map(move |b| planes.iter().map(move |plane| plane[t][b]))
        };
        let expected: Vec<f32> = rows.flat_map(at).collect();
        assert_close(&run(&float, BINS, &x), &expected, 1e-5);
        assert_close(&run(&rounded, BINS, &x), &expected, 0.1);
    }
}

#[test]
fn gated_convolution_equals_its_formula() {
    const CHANNELS: usize = 6;
    for taps in [1, 3, 9] {
        let (weights, bias) = (numbers(3, CHANNELS * taps), numbers(4, CHANNELS));
        let network = network(2 * CHANNELS, |graph, x| {
            graph.gated_convolution("c", x, &weights, bias.clone()).expect("a layer")
        });
        for time in [1, 2, 5, 20] {
            let x = numbers(time as u32, time * 2 * CHANNELS);
            let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
            let gated = |t: usize, channel: usize| {
                let row = &x[t * 2 * CHANNELS..];
                row[channel] * sigmoid(row[CHANNELS + channel])
            };
            let value = |at: usize| {
                let (t, channel) = (at / CHANNELS, at % CHANNELS);
                let mut sum = bias[channel];
                for tap in 0..taps {
                    let source = (t + tap).wrapping_sub(taps / 2);
                    if source < time {
                        sum += weights[channel * taps + tap] * gated(source, channel);
                    }
                }
                sum * sigmoid(sum)
            };
            let expected: Vec<f32> = (0..time * CHANNELS).map(value).collect();
            assert_close(&run(&network, 2 * CHANNELS, &x), &expected, 1e-5);
        }
    }
}

/// The kernel is tested by itself: this is about heads.
#[test]
fn heads_attend_by_their_own_columns() {
    const WIDTH: usize = 12;
    const REACH: usize = 9;
    let projected = numbers(1, (2 * REACH + 1) * WIDTH);
    let (content_bias, position_bias) = (numbers(2, WIDTH), numbers(3, WIDTH));
    let positions = RelativePositions {
        projected: &projected,
        content_bias: &content_bias,
        position_bias: &position_bias,
    };
    let columns = |x: &[f32], stride: usize, first: usize, count: usize| -> Vec<f32> {
        x.chunks(stride).flat_map(|row| &row[first..first + count]).copied().collect()
    };
    let of = |positions: &RelativePositions<'_>, heads: usize| {
        network(3 * positions.content_bias.len(), |graph, x| {
            graph.relative_attention("a", x, positions, heads, ComputeType::F32).expect("a layer")
        })
    };
    let all = of(&positions, 3);
    let x = numbers(4, (REACH + 1) * 3 * WIDTH);
    let found = run(&all, 3 * WIDTH, &x);
    for head in 0..3 {
        let first = head * WIDTH / 3;
        let part = |x: &[f32]| columns(x, WIDTH, first, WIDTH / 3);
        let (projected, content, position) =
            (part(&projected), part(&content_bias), part(&position_bias));
        let alone = of(
            &RelativePositions {
                projected: &projected,
                content_bias: &content,
                position_bias: &position,
            },
            1,
        );
        let expected = run(&alone, WIDTH, &part(&x));
        assert_close(&part(&found), &expected, 1e-6);
    }
    let longer = tensor(&[REACH + 2, 3 * WIDTH], &vec![0f32; (REACH + 2) * 3 * WIDTH]);
    let error = all.run(vec![longer.expect("a tensor")]).expect_err("too long");
    assert!(format!("{:#}", errors::Chain(&error)).contains("11 positions"), "{error:?}");
}

#[test]
fn layers_of_other_sizes_are_refused() {
    let mut graph = GraphBuilder::default();
    let x = graph.input::<f32>("x", &["time".into(), 12.into()]).expect("an input");
    let positions =
        |projected, bias| RelativePositions { projected, content_bias: bias, position_bias: bias };
    let zeros = [0f32; 64];
    for (projected, bias, heads) in [(12, 4, 0), (12, 4, 3), (12, 0, 1), (13, 4, 2), (16, 4, 2)] {
        let positions = positions(&zeros[..projected], &zeros[..bias]);
        let layer = graph.relative_attention("a", x, &positions, heads, ComputeType::F32);
        assert!(layer.is_err(), "{projected} {bias} {heads}");
    }
    for (weights, channels) in [(12, 6), (13, 6), (0, 6), (6, 0)] {
        let bias = zeros[..channels].to_vec();
        assert!(graph.gated_convolution("c", x, &zeros[..weights], bias).is_err());
    }
    let weights = SubsamplingWeights { first: vec![0.0; 9], bias: vec![0.0; 2], stages: vec![] };
    assert!(graph.subsampling("s", x, weights, Precision::F32).is_err());
}

/// Linear layers in all number formats of transposed weights.
#[test]
fn transposed_weights_compute_alike() {
    const INPUTS: usize = 37;
    const OUTPUTS: usize = 21;
    let (weights, bias) = (numbers(1, INPUTS * OUTPUTS), numbers(2, OUTPUTS));
    let x = numbers(3, 4 * INPUTS);
    let mut expected = Vec::new();
    for row in x.chunks(INPUTS) {
        for (output, bias) in bias.iter().enumerate() {
            let weights = weights[output..].iter().step_by(OUTPUTS);
            expected.push(bias + row.iter().zip(weights).map(|(x, w)| x * w).sum::<f32>());
        }
    }
    let check = |layer: Linear, tolerance| {
        let layer = Arc::new(layer);
        let network = network(INPUTS, |graph, x| {
            graph.linear("l", x, &layer, PostOp::None).expect("a layer")
        });
        assert_close(&run(&network, INPUTS, &x), &expected, tolerance);
    };
    for (precision, tolerance) in
        [(Precision::F32, 1e-5), (Precision::Bf16, 0.05), (Precision::Int8, 0.1)]
    {
        let layer = Linear::transposed(&weights, OUTPUTS, Some(bias.clone()), precision);
        check(layer.expect("a layer"), tolerance);
    }
    let mut quantized = vec![0; weights.len()];
    let parameters = kernels::dynamic::quantize_columns(&weights, OUTPUTS, &mut quantized);
    let layer = Linear::dynamic(&quantized, &parameters, Some(bias.clone()));
    check(layer.expect("a layer"), 0.1);
    assert!(Linear::dynamic(&quantized[1..], &parameters, None).is_err());
    let mut fewer = parameters.clone();
    fewer.zero_points.pop();
    assert!(Linear::dynamic(&quantized, &fewer, None).is_err());
}

/// With one scale for all inputs, a row of large values costs the others their accuracy.
#[test]
fn rows_are_quantized_together_or_one_by_one() {
    let parameters =
        kernels::dynamic::QuantizationParameters { zero_points: vec![128], scales: vec![1.0] };
    let layer = Linear::dynamic(&[129, 129], &parameters, None).expect("a layer");
    let x = [0.2f32, 0.0, 255.0, 0.0];
    let (mut together, mut one_by_one) = ([0.0; 2], [0.0; 2]);
    layer.apply(&x, PostOp::None, &mut together);
    layer.apply_by_row(&x, PostOp::None, &mut one_by_one);
    assert_eq!(together, [0.0, 255.0]);
    assert!((one_by_one[0] - 0.2).abs() < 1e-6 && one_by_one[1] == 255.0, "{one_by_one:?}");
}
