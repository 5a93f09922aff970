//! Times the steps of a transducer's decoder on one core, at the sizes of Parakeet-TDT 0.6b v3: two LSTM
//! layers of 640 and a projection after each token, and a layer of 8,198 scores at each step.
//!
//! ```sh
//! cargo run --release -p kernels --example transducer
//! ```

#![allow(clippy::print_stdout)]

use std::time::Instant;

use kernels::{
    Epilogue,
    dynamic::{self, QuantizedTensor, quantize_columns},
    lstm::{Lstm, State},
};

const WIDTH: usize = 640;
const SCORES: usize = 8198;
/// Steps of one measurement, of which the fastest counts: others share the caches that the weights are read from.
const STEPS: usize = 20;
const MEASUREMENTS: usize = 100;

/// A linear layer without a bias.
type Layer = Box<dyn Fn(&[f32], &mut [f32])>;

fn main() {
    let (gates, mut seed) = (4 * WIDTH, 1);
    let mut random = |count: usize| numbers(&mut seed, count);
    for format in ["f32", "bf16", "int8"] {
        let layers = [(); 2].map(|()| {
            let (input, recurrent) = (random(gates * WIDTH), random(gates * WIDTH));
            let bias = vec![0.0; gates];
            match format {
                "f32" => Lstm::pack(&input, &recurrent, &bias),
                "bf16" => Lstm::pack_bf16(&input, &recurrent, &bias),
                _ => {
                    let quantized = [&input, &recurrent].map(|weights| quantized(weights, gates));
                    let [(input, a), (recurrent, b)] = &quantized;
                    Lstm::pack_dynamic((input, a), (recurrent, b), &bias)
                }
            }
        });
        let projection = layer(format, &random(WIDTH * WIDTH), WIDTH);
        let output = layer(format, &random(SCORES * WIDTH), SCORES);
        let x = random(WIDTH);
        let mut states = [(); 2].map(|()| (vec![0.0; WIDTH], vec![0.0; WIDTH]));
        let (mut projected, mut scores) = (vec![0.0; WIDTH], vec![0.0; SCORES]);
        let mut time = |tokens: bool| {
            let start = Instant::now();
            for _ in 0..STEPS {
                if tokens {
                    let mut x = x.clone();
                    for (layer, (hidden, cell)) in layers.iter().zip(&mut states) {
                        layer.run(&x, State { hidden, cell }, false, |_, _| {});
                        x.copy_from_slice(hidden);
                    }
                    projection(&x, &mut projected);
                }
                output(&projected, &mut scores);
                std::hint::black_box(kernels::scores::log_sum_exp(&scores));
                std::hint::black_box(kernels::scores::argmax(&scores));
            }
            start.elapsed().as_secs_f64() * 1e3 / STEPS as f64
        };
        let [token, blank] = [true, false]
            .map(|tokens| (0..MEASUREMENTS).map(|_| time(tokens)).fold(f64::INFINITY, f64::min));
        println!("{format}: {token:.3} ms for a token, {blank:.3} ms for a blank");
    }
}

fn quantized(weights: &[f32], outputs: usize) -> (Vec<u8>, dynamic::QuantizationParameters) {
    let mut values = vec![0; weights.len()];
    let parameters = quantize_columns(weights, outputs, &mut values);
    (values, parameters)
}

fn layer(format: &str, weights: &[f32], outputs: usize) -> Layer {
    match format {
        "f32" => {
            let weights = kernels::float::Weights::pack(weights, outputs, WIDTH);
            Box::new(move |x, out| weights.apply(x, WIDTH, 1, Epilogue::default(), out))
        }
        "bf16" => {
            let weights = kernels::bf16::Weights::pack(weights, outputs, WIDTH);
            Box::new(move |x, out| weights.apply(x, WIDTH, 1, Epilogue::default(), out))
        }
        _ => {
            let (values, parameters) = quantized(weights, outputs);
            let dynamic::QuantizationParameters { zero_points, scales } = parameters;
            let weights = dynamic::Weights::pack(&values, &zero_points, &scales, WIDTH);
            Box::new(move |x, out| {
                let mut values = vec![0; x.len()];
                let (scale, zero_point) = dynamic::quantize(x, &mut values);
                let x = QuantizedTensor { values: &values, scale, zero_point };
                weights.apply(x, Epilogue::default(), out);
            })
        }
    }
}

/// Returns pseudo-random numbers from -0.05 to 0.05.
fn numbers(seed: &mut u64, count: usize) -> Vec<f32> {
    let mut number = || {
        *seed =
            seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((*seed >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 0.1
    };
    (0..count).map(|_| number()).collect()
}
