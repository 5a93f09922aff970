//! The layers compared with plain loops.

use super::*;
use crate::{Network, tensor, values};

const STRIDE: usize = 2;
const TAPS: usize = 9;
const CHUNK: usize = 700;
const EPSILON: f32 = 1e-5;

/// Returns pseudo-random numbers in [-1, 1) that depend only on the seed.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| random.f32() * 2.0 - 1.0).collect()
}

fn norm(seed: u64, channels: usize) -> InstanceNorm {
    let beta = numbers(seed + 1, channels);
    InstanceNorm { gamma: numbers(seed, channels), beta, epsilon: EPSILON }
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() < tolerance, "{index}: {found}, not {expected}");
    }
}

fn normalized(x: &[f32], gamma: f32, beta: f32) -> Vec<f32> {
    let mean = x.iter().sum::<f32>() / x.len() as f32;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / x.len() as f32;
    let scale = gamma / (variance + EPSILON).sqrt();
    x.iter().map(|x| (x - mean) * scale + beta).collect()
}

/// Returns `[rows / 3, channels]` of the rows of each channel: the greatest of three, instance
/// norm, leaky ReLU.
fn pooled(channels: &[Vec<f32>], norm: &InstanceNorm) -> Vec<f32> {
    let channels = channels.iter().enumerate().map(|(index, rows)| {
        let pooled = rows.chunks_exact(3).map(|x| x.iter().copied().fold(x[0], f32::max));
        let pooled: Vec<f32> = pooled.collect();
        normalized(&pooled, norm.gamma[index], norm.beta[index])
    });
    let channels: Vec<_> = channels.collect();
    let frames = 0..channels[0].len();
    let at = |frame| channels.iter().map(move |rows: &Vec<f32>| rows[frame]);
    frames.flat_map(at).map(|x| if x > 0.0 { x } else { 0.01 * x }).collect()
}

/// Filters of all kinds: even, odd, and neither.
fn filters() -> Vec<f32> {
    let mut filters = numbers(5, 6 * TAPS);
    for tap in 0..TAPS / 2 {
        filters[TAPS - 1 - tap] = filters[tap];
        filters[2 * TAPS - 1 - tap] = -filters[TAPS + tap];
    }
    filters[TAPS + TAPS / 2] = 0.0;
    filters
}

fn bank() -> Network {
    let mut graph = GraphBuilder::default();
    let samples = graph.input::<f32>("samples", &["n".into()]).expect("input");
    let starts = graph.input::<i64>("starts", &["chunks".into()]).expect("input");
    let norms = [norm(1, 1), norm(3, 6)];
    let bank = graph.shared_bank("bank", [samples, starts], &filters(), STRIDE, CHUNK, norms);
    graph.build(&[bank.expect("fits")]).expect("builds")
}

fn run_bank(samples: &[f32], starts: &[i64]) -> Result<Vec<f32>, Error> {
    let samples = tensor(&[samples.len()], samples)?;
    let outputs = bank().run(vec![samples, tensor(&[starts.len()], starts)?])?;
    Ok(values::<f32>(&outputs[0])?.to_vec())
}

#[test]
fn a_bank_of_overlapping_chunks_is_that_of_each() {
    // An offset, which the norm of a chunk takes away; starts in any order, and a gap.
    let samples: Vec<f32> = numbers(9, 2400).iter().map(|x| x * 0.3 + 0.1).collect();
    let starts = [12, 0, 606, 1692];
    let found = run_bank(&samples, &starts).expect("runs");
    let (chunk_norm, norm) = (norm(1, 1), norm(3, 6));
    let expected = starts.iter().flat_map(|&start| {
        let chunk = &samples[start as usize..][..CHUNK];
        let chunk = normalized(chunk, chunk_norm.gamma[0], chunk_norm.beta[0]);
        let filters = filters();
        let channels = filters.chunks_exact(TAPS).map(|filter| {
            let rows = chunk.windows(TAPS).step_by(STRIDE);
            let sums = rows.map(|x| x.iter().zip(filter).map(|(x, w)| x * w).sum::<f32>());
            sums.map(f32::abs).collect()
        });
        pooled(&channels.collect::<Vec<_>>(), &norm)
    });
    assert_close(&found, &expected.collect::<Vec<_>>(), 1e-4);
}

#[test]
fn chunks_lie_in_the_samples() {
    let samples = numbers(1, 1000);
    assert!(run_bank(&samples, &[300]).is_ok());
    for start in [-6, 1, 2, 306, i64::MAX] {
        let error = run_bank(&samples, &[0, start]).expect_err("no chunk");
        assert!(matches!(error, Error::Run(_)), "{start}: {error}");
    }
}

#[test]
fn convolutions_are_pooled_and_normalized() {
    let (batch, time, channels, kernel, outputs) = (2, 320, 5, 3, 7);
    let x = numbers(1, batch * time * channels);
    let (weights, bias) = (numbers(2, outputs * channels * kernel), numbers(3, outputs));
    let expected = x.chunks_exact(time * channels).flat_map(|x| {
        let rows = |output: usize| -> Vec<f32> {
            let weights = &weights[output * channels * kernel..][..channels * kernel];
            let sum = |row: usize| {
                (0..channels * kernel)
                    .map(|i| weights[i] * x[(row + i % kernel) * channels + i / kernel])
                    .sum::<f32>()
            };
            (0..time + 1 - kernel).map(|row| bias[output] + sum(row)).collect()
        };
        pooled(&(0..outputs).map(rows).collect::<Vec<_>>(), &norm(4, outputs))
    });
    let expected: Vec<f32> = expected.collect();
    for (compute_type, tolerance) in [(ComputeType::F32, 1e-4), (ComputeType::Bf16, 0.1)] {
        let mut graph = GraphBuilder::default();
        let shape = ["batch".into(), time.into(), channels.into()];
        let input = graph.input::<f32>("x", &shape).expect("input");
        let norm = norm(4, outputs);
        let (weights, bias) = (weights.clone(), bias.clone());
        let convolution = ConvolutionWeights { weights, bias, kernel };
        let y =
            graph.pooled_convolution("y", input, convolution, norm, compute_type).expect("fits");
        let network = graph.build(&[y]).expect("builds");
        let x = tensor(&[batch, time, channels], &x).expect("fits");
        let found = network.run(vec![x]).expect("runs");
        assert_close(values(&found[0]).expect("floats"), &expected, tolerance);
    }
}

#[test]
fn both_directions_lie_side_by_side() {
    let (time, batch, inputs, width) = (9, 3, 4, 5);
    let x = numbers(1, time * batch * inputs);
    let weights = |seed| LstmWeights {
        input: numbers(seed, 4 * width * inputs),
        recurrent: numbers(seed + 1, 4 * width * width),
        bias: numbers(seed + 2, 4 * width),
    };
    let directions = [weights(10), weights(20)];
    let mut expected = vec![f32::NAN; time * batch * 2 * width];
    for (index, weights) in directions.iter().enumerate() {
        let lstm = Lstm::pack(&weights.input, &weights.recurrent, &weights.bias);
        let (mut hidden, mut cell) = (vec![0.0; batch * width], vec![0.0; batch * width]);
        let state = kernels::lstm::State { hidden: &mut hidden, cell: &mut cell };
        lstm.run(&x, state, index == 1, |step, hidden| {
            for (item, hidden) in hidden.chunks_exact(width).enumerate() {
                let at = ((step * batch + item) * 2 + index) * width;
                expected[at..][..width].copy_from_slice(hidden);
            }
        });
    }
    for (precision, tolerance) in
        [(Precision::F32, 1e-6), (Precision::Bf16, 0.1), (Precision::Int8, 0.1)]
    {
        let mut graph = GraphBuilder::default();
        let shape = ["time".into(), "batch".into(), inputs.into()];
        let input = graph.input::<f32>("x", &shape).expect("input");
        let y = graph.bidirectional_lstm("y", input, &directions, precision).expect("fits");
        let network = graph.build(&[y]).expect("builds");
        let x = tensor(&[time, batch, inputs], &x).expect("fits");
        let found = network.run(vec![x]).expect("runs");
        assert_close(values(&found[0]).expect("floats"), &expected, tolerance);
    }
}

#[test]
fn sizes_must_fit() {
    let mut graph = GraphBuilder::default();
    let samples = graph.input::<f32>("samples", &["n".into()]).expect("input");
    let starts = graph.input::<i64>("starts", &["chunks".into()]).expect("input");
    let x = graph.input::<f32>("x", &["b".into(), 20.into(), 4.into()]).expect("input");
    let (one, six) = (norm(1, 1), norm(2, 6));
    let mut bank = |filters: &[f32], stride, chunk, norms| {
        let bank = graph.shared_bank("bank", [samples, starts], filters, stride, chunk, norms);
        assert!(matches!(bank, Err(Error::Graph(_))), "{bank:?}");
    };
    bank(&filters()[1..], STRIDE, CHUNK, [one.clone(), six.clone()]);
    bank(&filters(), 0, CHUNK, [one.clone(), six.clone()]);
    bank(&filters(), STRIDE, TAPS - 1, [one.clone(), six.clone()]);
    bank(&filters(), STRIDE, CHUNK, [six.clone(), six.clone()]);
    bank(&[], STRIDE, CHUNK, [one, norm(1, 0)]);
    let mut convolution = |weights: usize, outputs: usize, kernel| {
        let (weights, bias) = (vec![0.5; weights], vec![0.5; outputs]);
        let convolution = ConvolutionWeights { weights, bias, kernel };
        let y = graph.pooled_convolution("y", x, convolution, norm(1, 6), ComputeType::F32);
        assert!(matches!(y, Err(Error::Graph(_))), "{y:?}");
    };
    convolution(6 * 4 * 3 - 1, 6, 3);
    convolution(5 * 4 * 3, 5, 3);
    convolution(6 * 3 * 3, 6, 3);
    convolution(0, 0, 0);
    let good = LstmWeights { input: vec![0.5; 64], recurrent: vec![0.5; 64], bias: vec![0.5; 16] };
    for (input, recurrent, bias) in
        [(63, 64, 16), (64, 60, 16), (64, 64, 15), (0, 0, 0), (32, 64, 16)]
    {
        let other = LstmWeights {
            input: vec![0.5; input],
            recurrent: vec![0.5; recurrent],
            bias: vec![0.5; bias],
        };
        let y = graph.bidirectional_lstm("y", x, &[other, good.clone()], Precision::Int8);
        assert!(matches!(y, Err(Error::Graph(_))), "{y:?}");
    }
}
