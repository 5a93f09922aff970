//! Compares the kernels of every instruction set with sums in f64 (floats) and i64 (integers), over
//! odd sizes.

use proptest::prelude::*;

use crate::{
    attention::{self, ComputeType, PackedKeyValues},
    bf16,
    convolution::{Convolution, Finish, Normalization, Window},
    depthwise, dynamic,
    epilogue::{Epilogue, LEAKY_SLOPE, PostOp},
    float, int8,
    isa::Isa,
    loops::{self, widened},
    pointwise,
    rows::Rows,
    scores, token_attention,
};

/// Returns pseudorandom numbers in [-1, 1).
pub(crate) fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

pub(crate) fn assert_close(actual: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len());
    for (index, (&actual, &expected)) in actual.iter().zip(expected).enumerate() {
        let difference = (f64::from(actual) - expected).abs();
        assert!(
            difference <= tolerance * expected.abs().max(1.0),
            "at {index}: {actual} is not {expected}"
        );
    }
}

fn gelu(x: f64) -> f64 {
    // The series of Φ suffers from cancellation beyond 6, where Φ is 0 or 1 to within 1e-9.
    if x.abs() > 6.0 {
        return x.max(0.0);
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / 2.0 / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    x * (0.5 + sum / (2.0 * std::f64::consts::PI).sqrt())
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn after_post_op(sum: f64, before: f32, post_op: PostOp) -> f64 {
    match post_op {
        PostOp::None => sum,
        PostOp::Relu => sum.max(0.0),
        PostOp::LeakyRelu => sum.max(sum * f64::from(LEAKY_SLOPE)),
        PostOp::Gelu => gelu(sum),
        PostOp::Silu => sum * sigmoid(sum),
        PostOp::Add => f64::from(before) + sum,
    }
}

pub(crate) fn windows() -> impl Strategy<Value = Window> {
    let pair = |lengths: std::ops::Range<usize>| [lengths.clone(), lengths];
    (pair(1..4), pair(1..4), pair(1..4), pair(0..3), pair(0..3)).prop_map(
        |(kernel, stride, dilation, before, after)| Window {
            kernel,
            stride,
            dilation,
            before,
            after,
        },
    )
}

fn post_ops() -> impl Strategy<Value = PostOp> {
    prop_oneof![
        Just(PostOp::None),
        Just(PostOp::Relu),
        Just(PostOp::LeakyRelu),
        Just(PostOp::Silu),
        Just(PostOp::Gelu),
        Just(PostOp::Add)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn float_gemm(
        rows in 1usize..30, inputs in 1usize..80, outputs in 1usize..150, stride in 1usize..90,
        post_op in post_ops(), biased: bool, seed: u64,
    ) {
        let x = numbers(seed, (rows - 1) * stride + inputs);
        let weights = numbers(seed ^ 1, outputs * inputs);
        let bias = biased.then(|| numbers(seed ^ 2, outputs));
        let before = numbers(seed ^ 3, rows * outputs);
        let expected: Vec<f64> = (0..rows * outputs).map(|at| {
            let (x, w) = (&x[at / outputs * stride..], &weights[at % outputs * inputs..]);
            let sum = x.iter().zip(w).take(inputs).map(|(&x, &w)| f64::from(x) * f64::from(w));
            let bias = bias.as_ref().map_or(0.0, |bias| bias[at % outputs].into());
            after_post_op(sum.sum::<f64>() + bias, before[at], post_op)
        }).collect();
        for &isa in Isa::available() {
            let packed = float::Weights::pack_for(isa, &weights, outputs, inputs);
            let mut out = before.clone();
            let epilogue = Epilogue { bias: bias.as_deref(), post_op };
            packed.apply(&x, stride, rows, epilogue, &mut out);
            assert_close(&out, &expected, 1e-5);
            let mut row = vec![0.0; inputs];
            packed.row(outputs - 1, &mut row);
            prop_assert_eq!(&row, &weights[(outputs - 1) * inputs..]);
        }
    }

    /// Compares with the rounded operands in f64. Sums are f32, in any order.
    #[test]
    fn bf16_gemm(
        rows in 1usize..30, inputs in 1usize..80, outputs in 1usize..150, stride in 1usize..90,
        post_op in post_ops(), biased: bool, seed: u64,
    ) {
        let x = numbers(seed, (rows - 1) * stride + inputs);
        let weights = numbers(seed ^ 1, outputs * inputs);
        let bias = biased.then(|| numbers(seed ^ 2, outputs));
        let before = numbers(seed ^ 3, rows * outputs);
        let expected: Vec<f64> = (0..rows * outputs).map(|at| {
            let (row, output) = (at / outputs, at % outputs);
            let x = x[row * stride..][..inputs].iter().map(|&x| nearest_bf16(x));
            let weights = weights[output * inputs..].iter().map(|&w| nearest_bf16(w));
            let sum = x.zip(weights).map(|(x, w)| x * w).sum::<f64>()
                + bias.as_ref().map_or(0.0, |bias| f64::from(bias[output]));
            after_post_op(sum, before[at], post_op)
        }).collect();
        for &isa in Isa::available() {
            let packed = bf16::Weights::pack_for(isa, &weights, outputs, inputs);
            let mut out = before.clone();
            let epilogue = Epilogue { bias: bias.as_deref(), post_op };
            packed.apply(&x, stride, rows, epilogue, &mut out);
            assert_close(&out, &expected, 1e-5);
            let mut row = vec![0.0; inputs];
            packed.row(outputs - 1, &mut row);
            let expected = weights[(outputs - 1) * inputs..].iter().map(|&w| nearest_bf16(w));
            prop_assert!(row.iter().map(|&w| f64::from(w)).eq(expected));
        }
    }

    /// All instruction sets give the same bits: sums are integers, and the rest has one order.
    #[test]
    fn int8_gemm(
        rows in 1usize..30, inputs in 1usize..80, outputs in 1usize..150, extreme: bool,
        add: bool, biased: bool, seed: u64,
    ) {
        let mut x = numbers(seed, rows * inputs);
        let weights = numbers(seed ^ 1, outputs * inputs);
        let quantize = |w: f32| match (extreme, w < 0.0) {
            (false, _) => (w * 128.0) as i8,
            (true, false) => 127,
            (true, true) => -128,
        };
        if extreme {
            x.iter_mut().for_each(|x| *x = x.signum());
        }
        let weights: Vec<i8> = weights.into_iter().map(quantize).collect();
        let scales: Vec<f32> = numbers(seed ^ 4, outputs).iter().map(|s| s * 40.0 + 50.0).collect();
        let bias = biased.then(|| numbers(seed ^ 2, outputs));
        let before = numbers(seed ^ 3, rows * outputs);
        let mut expected = before.clone();
        for (x, out) in x.chunks(inputs).zip(expected.chunks_mut(outputs)) {
            let max = x.iter().fold(0f32, |max, x| max.max(x.abs()));
            let scale = if max > 0.0 { 127.0 / max } else { 1.0 };
            let q: Vec<i64> = x.iter().map(|x| (x * scale).round_ties_even() as i64).collect();
            for (output, out) in out.iter_mut().enumerate() {
                let w = &weights[output * inputs..];
                let sum: i64 = q.iter().zip(w).map(|(&q, &w)| q * i64::from(w)).sum();
                let result = sum as f32 * ((1.0 / scale) * (1.0 / scales[output]))
                    + bias.as_ref().map_or(0.0, |bias| bias[output]);
                *out = if add { *out + result } else { result };
            }
        }
        for &isa in Isa::available() {
            let packed = int8::Weights::pack_for(isa, &weights, &scales, outputs, inputs);
            let mut out = before.clone();
            let post_op = if add { PostOp::Add } else { PostOp::None };
            let epilogue = Epilogue { bias: bias.as_deref(), post_op };
            packed.apply(&x, epilogue, &mut out);
            prop_assert_eq!(&out, &expected, "{:?}", isa);
        }
    }

    /// Compares with the definition of ONNX's operators, bit for bit.
    #[test]
    fn dynamic_gemm(
        rows in 1usize..30, inputs in 1usize..80, outputs in 1usize..150, extreme: bool,
        post_op in prop_oneof![Just(PostOp::None), Just(PostOp::Relu), Just(PostOp::Add)],
        biased: bool, seed: u64,
    ) {
        let byte = |x: f32| if extreme { if x < 0.0 { 0 } else { 255 } } else { (x * 127.5 + 127.5) as u8 };
        let bytes = |seed, count| numbers(seed, count).into_iter().map(byte).collect::<Vec<_>>();
        let (x, weights) = (bytes(seed, rows * inputs), bytes(seed ^ 1, inputs * outputs));
        let zero_points = bytes(seed ^ 2, outputs);
        let zero_point = bytes(seed ^ 3, 1)[0];
        let scales = numbers(seed ^ 4, outputs);
        let scale = numbers(seed ^ 5, 1)[0];
        let bias = biased.then(|| numbers(seed ^ 6, outputs));
        let before = numbers(seed ^ 7, rows * outputs);
        let mut expected = before.clone();
        for (x, out) in x.chunks(inputs).zip(expected.chunks_mut(outputs)) {
            for (output, out) in out.iter_mut().enumerate() {
                let sum: i64 = x.iter().zip(weights[output..].iter().step_by(outputs)).map(|(&x, &w)| {
                    (i64::from(x) - i64::from(zero_point))
                        * (i64::from(w) - i64::from(zero_points[output]))
                }).sum();
                let result = sum as f32 * (scale * scales[output]);
                let result = result + bias.as_ref().map_or(0.0, |bias| bias[output]);
                *out = match post_op {
                    PostOp::Add => *out + result,
                    PostOp::Relu => result.max(0.0),
                    _ => result,
                };
            }
        }
        for &isa in Isa::available() {
            let packed = dynamic::Weights::pack_for(isa, &weights, &zero_points, &scales, inputs);
            let mut out = before.clone();
            let x = dynamic::QuantizedTensor { values: &x, scale, zero_point };
            packed.apply(x, Epilogue { bias: bias.as_deref(), post_op }, &mut out);
            prop_assert_eq!(&out, &expected, "{:?}", isa);
        }
    }

    #[test]
    fn dynamic_quantization(
        x in prop::collection::vec(prop_oneof![-3f32..9.0, -1e-30f32..1e-30, Just(0.0)], 0..90),
    ) {
        let max = x.iter().fold(0f32, |max, &x| max.max(x));
        let min = x.iter().fold(0f32, |min, &x| min.min(x));
        let scale = if max > min { (max - min) / 255.0 } else { 1.0 };
        let zero_point = (-min / scale).round_ties_even();
        let expected: Vec<u8> =
            x.iter().map(|x| ((x / scale).round_ties_even() + zero_point) as u8).collect();
        for &isa in Isa::available() {
            let mut out = vec![0; x.len()];
            let found = dynamic::quantize_with(isa, &x, &mut out);
            prop_assert_eq!(found, (scale, zero_point as u8));
            prop_assert_eq!(&out, &expected);
        }
    }

    /// Half-way between two steps, the last bit of the quotient decides.
    #[test]
    fn quantization_of_near_ties(scale in 1e-6f32..1e3, zero_point: u8, seed: u64, count in 0usize..300) {
        let odd = [f32::NAN, f32::INFINITY, -f32::INFINITY, 0.0, -0.0, f32::MAX];
        let x: Vec<f32> = numbers(seed, count).iter().enumerate().map(|(i, x)| {
            let step = (x * 300.0).floor() + if i % 3 == 0 { 0.5 } else { 0.0 };
            let near = f32::from_bits((step * scale).to_bits().wrapping_add((i % 5) as u32).wrapping_sub(2));
            if i % 37 == 36 { odd[i % odd.len()] } else { near }
        }).collect();
        let mut expected = vec![0; x.len()];
        loops::quantize_affine(&x, scale, zero_point, &mut expected);
        for &isa in Isa::available() {
            let mut out = vec![0; x.len()];
            isa.quantize_affine(&x, scale, zero_point, &mut out);
            prop_assert_eq!(&out, &expected);
        }
    }

    #[test]
    fn depthwise_convolution(
        time in 1usize..20, channels in 1usize..140, taps in 1usize..25, before in 0usize..25,
        residual: bool, gap in 0usize..9, seed: u64,
    ) {
        let stride = channels + gap;
        let (x, weights) = (numbers(seed, time * stride), numbers(seed ^ 1, taps * channels));
        let expected: Vec<f64> = (0..time * channels).map(|at| {
            let (t, channel) = (at / channels, at % channels);
            let tap = |tap: usize| {
                let t = (t + tap).checked_sub(before).filter(|&t| t < time)?;
                let weight = f64::from(weights[tap * channels + channel]);
                Some(weight * f64::from(x[t * stride + channel]))
            };
            let sum = (0..taps).filter_map(tap).sum::<f64>();
            sum + if residual { f64::from(x[t * stride + channel]) } else { 0.0 }
        }).collect();
        for &isa in Isa::available() {
            let mut out = vec![f32::NAN; time * channels];
            let x = rows_of(&x, stride, time);
            depthwise::convolve_with(isa, x, &weights, channels, before, residual, &mut out);
            assert_close(&out, &expected, 2e-6);
        }
    }

    /// Odd shapes: padding, stride and dilation of both axes, and inputs wider than the channels.
    #[test]
    fn convolution_over_two_axes(
        window in windows(), shape in [1usize..7, 1usize..20], channels in 1usize..20,
        outputs in 1usize..80, normalized: bool, biased: bool, residual: bool,
        post_op in prop_oneof![Just(PostOp::None), Just(PostOp::Relu), Just(PostOp::Gelu)],
        gap in 0usize..3, seed: u64,
    ) {
        let Some([height, width]) = window.output(shape) else { return Ok(()) };
        let (stride, taps) = (channels + gap, window.kernel[0] * window.kernel[1]);
        let x = numbers(seed, shape[0] * shape[1] * stride);
        let weights = numbers(seed ^ 1, outputs * channels * taps);
        let bias = biased.then(|| numbers(seed ^ 2, outputs));
        let before = numbers(seed ^ 3, height * width * outputs);
        let (scale, shift) = (numbers(seed ^ 4, channels), numbers(seed ^ 5, channels));
        let sums = |round: fn(f32) -> f64| -> Vec<f64> {
            (0..before.len()).map(|at| {
                let (pixel, output) = (at / outputs, at % outputs);
                let mut sum = bias.as_ref().map_or(0.0, |bias| f64::from(bias[output]));
                for tap in 0..taps {
                    let kernel = [tap / window.kernel[1], tap % window.kernel[1]];
                    let place = [pixel / width, pixel % width];
                    let from = |axis: usize| {
                        let at = place[axis] * window.stride[axis] + kernel[axis] * window.dilation[axis];
                        at.checked_sub(window.before[axis]).filter(|&at| at < shape[axis])
                    };
                    let (Some(row), Some(column)) = (from(0), from(1)) else { continue };
                    for channel in 0..channels {
                        let mut value = x[(row * shape[1] + column) * stride + channel];
                        if normalized {
                            value = (value * scale[channel] + shift[channel]).max(0.0);
                        }
                        sum += round(value) * round(weights[(output * channels + channel) * taps + tap]);
                    }
                }
                after_post_op(sum + if residual { f64::from(before[at]) } else { 0.0 }, 0.0, post_op)
            }).collect()
        };
        let (exact, rounded) = (sums(f64::from), sums(nearest_bf16));
        let normalization = normalized.then_some(Normalization { scale: &scale, shift: &shift });
        let finish = Finish {
            bias: bias.as_deref(),
            residual: residual.then_some(&before[..]),
            activation: post_op,
        };
        let x = rows_of(&x, stride, shape[0] * shape[1]);
        for &isa in Isa::available() {
            let mut out = vec![f32::NAN; before.len()];
            let packed = Convolution::<f32>::pack_for(isa, &weights, outputs, channels, window);
            packed.apply(x, shape, normalization, finish, &mut out);
            assert_close(&out, &exact, 1e-5);
            let packed = Convolution::<u16>::pack_for(isa, &weights, outputs, channels, window);
            packed.apply(x, shape, normalization, finish, &mut out);
            // With fused multiplication and addition, a normalized value may round the other way.
            assert_close(&out, &rounded, if normalized { 1e-2 } else { 1e-5 });
        }
    }

    #[test]
    fn lstm_cells(width in 1usize..40, spread in 0.1f32..30.0, seed: u64) {
        let gates: Vec<f32> = numbers(seed, 4 * width).iter().map(|x| x * spread).collect();
        let before = numbers(seed ^ 1, width);
        let gate = |of: usize, i: usize| f64::from(gates[of * width + i]);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let cells: Vec<f64> = (0..width).map(|i| {
            sigmoid(gate(2, i)) * f64::from(before[i]) + sigmoid(gate(0, i)) * gate(3, i).tanh()
        }).collect();
        let hiddens: Vec<f64> =
            cells.iter().enumerate().map(|(i, cell)| sigmoid(gate(1, i)) * cell.tanh()).collect();
        for &isa in Isa::available() {
            let (mut cell, mut hidden) = (before.clone(), vec![0.0; width]);
            isa.lstm_cell(&mut gates.clone(), &mut cell, &mut hidden);
            assert_close(&cell, &cells, 5e-7);
            assert_close(&hidden, &hiddens, 5e-7);
        }
    }

    #[test]
    fn attention_to_packed_key_values(
        rows in 1usize..60, length in 1usize..200, width in 1usize..70, gap in 0usize..5, seed: u64,
    ) {
        let stride = width + gap;
        let scaled = |seed, count| numbers(seed, count).iter().map(|x| x * 6.0).collect::<Vec<_>>();
        let queries = scaled(seed, rows * stride);
        let keys = scaled(seed ^ 1, length * stride);
        let values = numbers(seed ^ 2, length * stride);
        let expected: Vec<f64> = queries
            .chunks(stride)
            .flat_map(|query| naive_attention(&query[..width], &keys, &values, stride))
            .collect();
        let (keys, values) = (rows_of(&keys, stride, length), rows_of(&values, stride, length));
        let queries = rows_of(&queries, stride, rows);
        for &isa in Isa::available() {
            for (compute_type, tolerance) in [(ComputeType::F32, 2e-5), (ComputeType::Bf16, 0.2)] {
                let packed = PackedKeyValues::pack_for(isa, keys, values, width, compute_type);
                let mut out = vec![f32::NAN; rows * stride];
                packed.attend_with(isa, queries, &mut out, stride);
                let out: Vec<f32> =
                    out.chunks(stride).flat_map(|row| &row[..width]).copied().collect();
                assert_close(&out, &expected, tolerance);
            }
        }
    }

    #[test]
    fn attention_weights(
        rows in 1usize..60, length in 1usize..200, width in 1usize..70, part in 0f64..1.0, seed: u64,
    ) {
        let scaled = |seed, count| numbers(seed, count).iter().map(|x| x * 6.0).collect::<Vec<_>>();
        let (queries, keys) = (scaled(seed, rows * width), scaled(seed ^ 1, length * width));
        let first = 1 + (part * (length - 1) as f64) as usize;
        let expected: Vec<f64> =
            queries.chunks(width).flat_map(|query| naive_weights(query, &keys, width, first)).collect();
        let (keys, queries) = (rows_of(&keys, width, length), rows_of(&queries, width, rows));
        for &isa in Isa::available() {
            for (compute_type, tolerance) in [(ComputeType::F32, 2e-5), (ComputeType::Bf16, 0.2)] {
                let packed = PackedKeyValues::pack_for(isa, keys, keys, width, compute_type);
                let mut out = vec![f32::NAN; rows * first];
                packed.weights_with(isa, queries, first, &mut out);
                assert_close(&out, &expected, tolerance);
            }
        }
    }

    #[test]
    fn attention_of_tokens(tokens in 1usize..6, positions in 1usize..70, seed: u64) {
        let weights = numbers(seed, tokens * positions);
        let standardized = |token: usize, position: usize| {
            let column: Vec<f64> =
                (0..tokens).map(|token| weights[token * positions + position].into()).collect();
            let mean = column.iter().sum::<f64>() / tokens as f64;
            let variance = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / tokens as f64;
            if tokens == 1 { 0.0 } else { (column[token] - mean) / variance.sqrt() }
        };
        let last = positions as isize - 1;
        let expected: Vec<f64> = (0..tokens * positions)
            .map(|index| {
                let (token, position) = (index / positions, index % positions);
                if positions < 4 {
                    return 1.0 + standardized(token, position);
                }
                let mut window: Vec<f64> = (-3..=3)
                    .map(|offset| {
                        let place = (position as isize + offset).abs();
                        standardized(token, (if place > last { 2 * last - place } else { place }) as usize)
                    })
                    .collect();
                window.sort_by(f64::total_cmp);
                1.0 + window[3]
            })
            .collect();
        for &isa in Isa::available() {
            let mut sum = vec![1.0; tokens * positions];
            token_attention::add_head_with(isa, &weights, positions, &mut sum);
            assert_close(&sum, &expected, 1e-3);
        }
    }

    /// Operands are bfloat16 already, so that the weights are the only values that are rounded.
    #[test]
    fn attention_in_bf16(length in 1usize..200, width in 1usize..70, seed: u64) {
        let scaled = |seed, count| numbers(seed, count).iter().map(|x| nearest_bf16(x * 2.0) as f32).collect::<Vec<_>>();
        let (query, keys) = (scaled(seed, width), scaled(seed ^ 1, length * width));
        let values = scaled(seed ^ 2, length * width);
        let expected = naive_attention(&query, &keys, &values, width);
        let (keys, values) = (rows_of(&keys, width, length), rows_of(&values, width, length));
        for &isa in Isa::available() {
            let packed = PackedKeyValues::pack_for(isa, keys, values, width, ComputeType::Bf16);
            let mut out = vec![f32::NAN; width];
            packed.attend_with(isa, rows_of(&query, width, 1), &mut out, width);
            assert_close(&out, &expected, 2f64.powi(-7));
        }
    }

    #[test]
    fn attention_of_one_query(length in 1usize..80, width in 1usize..70, seed: u64) {
        let query = numbers(seed, width);
        let (keys, values) = (numbers(seed ^ 1, length * width), numbers(seed ^ 2, length * width));
        let expected = naive_attention(&query, &keys, &values, width);
        for &isa in Isa::available() {
            let (mut scores, mut out) = (vec![0.0; length], vec![f32::NAN; width]);
            attention::attend_one_with(isa, &query, &keys, &values, &mut scores, &mut out);
            assert_close(&out, &expected, 1e-5);
        }
    }

    #[test]
    fn layer_norm(width in 1usize..100, offset in -3f32..3.0, seed: u64) {
        let x: Vec<f32> = numbers(seed, width).iter().map(|x| x + offset).collect();
        let (gamma, beta) = (numbers(seed ^ 1, width), numbers(seed ^ 2, width));
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64;
        let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / width as f64;
        let expected: Vec<f64> = (0..width).map(|i| {
            (f64::from(x[i]) - mean) / (variance + 1e-5).sqrt() * f64::from(gamma[i])
                + f64::from(beta[i])
        }).collect();
        for &isa in Isa::available() {
            let mut out = vec![0.0; width];
            isa.layer_norm(&x, &gamma, &beta, 1e-5, &mut out);
            assert_close(&out, &expected, 2e-4);
        }
    }

    #[test]
    fn exponentials(mut row in prop::collection::vec(-150f32..150.0, 1..80), scale in 0.01f32..1.0) {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row[0] = max;
        let expected: Vec<f64> =
            row.iter().map(|&x| f64::from((x - max) * scale).exp()).collect();
        for &isa in Isa::available() {
            let mut out = row.clone();
            let sum = isa.exponentials(&mut out, scale);
            for (&out, &expected) in out.iter().zip(&expected) {
                let difference = (f64::from(out) - expected).abs();
                prop_assert!(difference <= 3e-7 * expected + 1e-37, "{out} is not {expected}");
            }
            assert_close(&[sum], &[expected.iter().sum()], 1e-6);
            let mut rounded = vec![0; row.len()];
            let sum = isa.exponentials_to_bf16(&mut row.clone(), scale, &mut rounded);
            for (&out, &expected) in rounded.iter().zip(&expected) {
                let difference = (f64::from(widened(out)) - expected).abs();
                prop_assert!(difference <= expected / 250.0 + 1e-37, "{out} is not {expected}");
            }
            assert_close(&[sum], &[expected.iter().sum()], 2e-5);
        }
    }

    #[test]
    fn score_reductions(row in prop::collection::vec(
        prop_oneof![8 => -60f32..30.0, 1 => Just(f32::NEG_INFINITY), 1 => Just(3.5)], 0..200,
    )) {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        prop_assert_eq!(
            scores::argmax(&row),
            row.iter().position(|&v| v == max && v > f32::NEG_INFINITY).map(|i| (i, max))
        );
        let sum: f64 = row.iter().map(|&v| f64::from(v).exp()).sum();
        let got = scores::log_sum_exp(&row);
        prop_assert!(
            (sum == 0.0 && got == f32::NEG_INFINITY) || (f64::from(got) - sum.ln()).abs() < 1e-5
        );
        for &isa in Isa::available() {
            prop_assert_eq!(isa.maximum(&row), max);
            if max.is_finite() {
                let scaled = |&v: &f32| (f64::from(v - max) * 0.7).exp();
                let expected: f64 = row.iter().map(scaled).sum();
                assert_close(&[isa.sum_exp(&row, max, 0.7)], &[expected], 2e-6);
            }
        }
    }

    #[test]
    fn softmax(x in prop::collection::vec(-50f32..50.0, 1..80), rows in 1usize..4) {
        let max = f64::from(x.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = x.iter().map(|&x| (f64::from(x) - max).exp()).sum();
        let expected: Vec<f64> = x.iter().map(|&x| (f64::from(x) - max).exp() / sum).collect();
        let mut out = vec![f32::NAN; x.len() * rows];
        pointwise::softmax(&x.repeat(rows), x.len(), &mut out);
        assert_close(&out, &expected.repeat(rows), 1e-6);
    }

    #[test]
    fn log_softmax(x in prop::collection::vec(-150f32..150.0, 1..80)) {
        let max = f64::from(x.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = x.iter().map(|&x| (f64::from(x) - max).exp()).sum();
        let expected: Vec<f64> = x.iter().map(|&x| f64::from(x) - max - sum.ln()).collect();
        let mut out = vec![f32::NAN; x.len()];
        pointwise::log_softmax(&x, x.len(), &mut out);
        assert_close(&out, &expected, 1e-6);
    }

    #[test]
    fn activations(row in prop::collection::vec(-6f32..6.0, 1..80)) {
        let functions = [
            (PostOp::Gelu, gelu as fn(f64) -> f64),
            (PostOp::Relu, |x| x.max(0.0)),
            (PostOp::Silu, |x| x * sigmoid(x)),
        ];
        for (post_op, of) in functions {
            let expected: Vec<f64> = row.iter().map(|&x| of(x.into())).collect();
            for &isa in Isa::available() {
                let mut out = row.clone();
                isa.activate(&mut out, post_op);
                assert_close(&out, &expected, 2e-6);
            }
        }
    }
}

fn rows_of(values: &[f32], stride: usize, count: usize) -> Rows<'_> {
    Rows { values, stride, count }
}

fn naive_attention(query: &[f32], keys: &[f32], values: &[f32], stride: usize) -> Vec<f64> {
    let weights = naive_weights(query, keys, stride, keys.len().div_ceil(stride));
    let mut out = vec![0.0; query.len()];
    for (weight, value) in weights.into_iter().zip(values.chunks(stride)) {
        for (out, &value) in out.iter_mut().zip(value) {
            *out += weight * f64::from(value);
        }
    }
    out
}

/// Returns the weights of the first `count` keys, which start every `stride` numbers.
fn naive_weights(query: &[f32], keys: &[f32], stride: usize, count: usize) -> Vec<f64> {
    let width = query.len();
    let scores: Vec<f64> = keys
        .chunks(stride)
        .take(count)
        .map(|key| {
            let dot =
                query.iter().zip(key).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum::<f64>();
            dot / (width as f64).sqrt()
        })
        .collect();
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scores.iter().map(|score| (score - max).exp()).sum();
    scores.into_iter().map(|score| (score - max).exp() / total).collect()
}

/// Rounds to 8 significant bits, ties to even.
fn nearest_bf16(x: f32) -> f64 {
    let x = f64::from(x);
    if x == 0.0 {
        return 0.0;
    }
    let unit = (x.abs().log2().floor() - 7.0).exp2();
    (x / unit).round_ties_even() * unit
}

#[test]
fn quantized_weights_are_close_to_the_originals() {
    let weights = numbers(7, 70 * 33);
    for &isa in Isa::available() {
        let packed = int8::Weights::quantize_for(isa, &weights, 70, 33);
        let mut row = vec![0.0; 33];
        for (output, weights) in weights.chunks(33).enumerate() {
            packed.row(output, &mut row);
            let step = weights.iter().fold(0f32, |max, w| max.max(w.abs())) / 127.0;
            assert!(row.iter().zip(weights).all(|(q, w)| (q - w).abs() <= step * 0.5001));
        }
    }
}

#[test]
fn special_values_are_handled() {
    for x in [0.0, f32::NAN, f32::INFINITY, f32::MIN_POSITIVE / 2.0, f32::MAX] {
        for &isa in Isa::available() {
            let mut out = [1.0; 2];
            let packed = int8::Weights::quantize_for(isa, &[1.0, -1.0, x, 0.5], 2, 2);
            packed.apply(&[x, 1.0], Epilogue::default(), &mut out);
            let mut row = [x, 1.0, x];
            dynamic::quantize_with(isa, &row, &mut [0; 3]);
            let sum = isa.exponentials(&mut row.clone(), 1.0);
            let in_bf16 = isa.exponentials_to_bf16(&mut row.clone(), 1.0, &mut [0; 3]);
            // Infinity minus itself is NaN, too.
            assert_eq!([sum.is_nan(), in_bf16.is_nan()], [!x.is_finite(); 2]);
            isa.activate(&mut row, PostOp::Gelu);
            let mut rounded = [0; 1];
            isa.round_to_bf16(&[x], &mut rounded);
            let (value, overflows) = (widened(rounded[0]), x == f32::MAX);
            assert!(value == x || x.is_nan() && value.is_nan() || overflows && value > x);
        }
    }
    let zero = int8::Weights::quantize(&[1.0, 1.0], 1, 2);
    let mut out = [1.0];
    zero.apply(&[0.0, 0.0], Epilogue::default(), &mut out);
    assert_eq!(out, [0.0]);
}

#[test]
fn exponentials_are_close_over_their_whole_range() {
    let x: Vec<f32> = (0..=870_000).map(|step| -(step as f32) * 1e-4).collect();
    for &isa in Isa::available() {
        let mut out = x.clone();
        isa.exponentials(&mut out, 1.0);
        for (&x, &out) in x.iter().zip(&out) {
            let expected = f64::from(x).exp();
            let error = (f64::from(out) - expected).abs() / expected;
            assert!(error < 3e-7, "exp({x}): relative error {error}");
        }
        let mut far = [0.0, f32::NEG_INFINITY];
        isa.exponentials(&mut far, 1.0);
        assert!(far[1] < 2e-38);
    }
}

#[test]
fn scores_with_nan() {
    assert_eq!(scores::argmax(&[f32::NAN, 1.0, f32::NAN]), Some((1, 1.0)));
    assert_eq!(scores::argmax(&[f32::NAN; 40]), None);
    assert!(scores::log_sum_exp(&[1.0, f32::NAN]).is_nan());
    assert_eq!(scores::log_sum_exp(&[f32::NEG_INFINITY; 40]), f32::NEG_INFINITY);
}

/// Rows are computed in blocks, of which the last is not full.
#[test]
fn many_rows() {
    let (rows, inputs, outputs) = (203, 37, 70);
    let byte = |x: &f32| (x * 127.5 + 127.5) as u8;
    let bytes = |seed, count| numbers(seed, count).iter().map(byte).collect::<Vec<_>>();
    let (values, weights) = (bytes(1, rows * inputs), bytes(2, inputs * outputs));
    let (zero_points, scales) = (bytes(3, outputs), numbers(4, outputs));
    let results: Vec<Vec<f32>> = Isa::available()
        .iter()
        .map(|&isa| {
            let packed = dynamic::Weights::pack_for(isa, &weights, &zero_points, &scales, inputs);
            let x = dynamic::QuantizedTensor { values: &values, scale: 0.1, zero_point: 77 };
            let mut out = vec![f32::NAN; rows * outputs];
            packed.apply(x, Epilogue::default(), &mut out);
            out
        })
        .collect();
    assert!(results.iter().all(|other| *other == results[0]));

    let (x, weights) = (numbers(5, rows * inputs), numbers(6, inputs * outputs));
    let rounded = |row: &[f32]| row.iter().map(|&x| nearest_bf16(x)).collect::<Vec<_>>();
    let dot = |x: &[f64], w: &[f64]| x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
    let (rounded_x, rounded_weights) = (rounded(&x), rounded(&weights));
    let expected: Vec<f64> = rounded_x
        .chunks(inputs)
        .flat_map(|x| rounded_weights.chunks(inputs).map(move |w| dot(x, w)))
        .collect();
    for &isa in Isa::available() {
        let packed = bf16::Weights::pack_for(isa, &weights, outputs, inputs);
        let mut out = vec![f32::NAN; rows * outputs];
        packed.apply(&x, inputs, rows, Epilogue::default(), &mut out);
        assert_close(&out, &expected, 1e-5);
    }
}
