//! Measures GEMM in the shapes of Paraformer-large, for the rows of 10 seconds or for the number of
//! rows given as argument, with more layers than the caches hold, as in a model.
//! `SCRIPTORIUM_KERNELS` selects the instruction set.

#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use kernels::{Epilogue, bf16, dynamic, float};

/// Bytes of weights of all layers together.
const MODEL_BYTES: usize = 200_000_000;

fn main() {
    let requested = std::env::var("SCRIPTORIUM_KERNELS").ok();
    let sets = kernels::select_instruction_sets(requested.as_deref()).expect("instruction sets");
    println!("{sets}");
    let rows = std::env::args().nth(1).and_then(|rows| rows.parse().ok()).unwrap_or(167);
    for (inputs, outputs) in [(512, 1536), (512, 512), (512, 2048), (2048, 512)] {
        let byte = |i: usize| (i * 7919 % 251) as u8;
        let bytes = |count: usize| (0..count).map(byte).collect::<Vec<_>>();
        let floats = |count: usize| (0..count).map(|i| f32::from(byte(i))).collect::<Vec<_>>();
        let mut out = vec![0.0; rows * outputs];
        let (x, weights) = (bytes(rows * inputs), bytes(inputs * outputs));
        let x = dynamic::QuantizedTensor { values: &x, scale: 0.01, zero_point: 128 };
        let (zero_points, scales) = (vec![128; outputs], vec![0.01; outputs]);
        let int8 = rate(inputs, outputs, rows, 1, &mut out, || {
            let layer = dynamic::Weights::pack(&weights, &zero_points, &scales, inputs);
            move |out: &mut [f32]| layer.apply(x, Epilogue::default(), out)
        });
        let (x, weights) = (floats(rows * inputs), floats(inputs * outputs));
        let bf16 = rate(inputs, outputs, rows, 2, &mut out, || {
            let layer = bf16::Weights::pack(&weights, outputs, inputs);
            let x = &x;
            move |out: &mut [f32]| layer.apply(x, inputs, rows, Epilogue::default(), out)
        });
        let float = rate(inputs, outputs, rows, 4, &mut out, || {
            let layer = float::Weights::pack(&weights, outputs, inputs);
            let x = &x;
            move |out: &mut [f32]| layer.apply(x, inputs, rows, Epilogue::default(), out)
        });
        println!(
            "{inputs:5} -> {outputs:5}: int8 {int8:6.1}, bf16 {bf16:6.1}, f32 {float:6.1} G/s"
        );
    }
}

/// Returns billions of multiply-accumulate operations per second of layers with `bytes` per weight.
fn rate<L: Fn(&mut [f32])>(
    inputs: usize,
    outputs: usize,
    rows: usize,
    bytes: usize,
    out: &mut [f32],
    layer: impl Fn() -> L,
) -> f64 {
    let layers: Vec<_> =
        (0..MODEL_BYTES.div_ceil(inputs * outputs * bytes)).map(|_| layer()).collect();
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        layers.iter().for_each(|layer| layer(out));
        best = best.min(start.elapsed());
    }
    (layers.len() * rows * inputs * outputs) as f64 / best.as_secs_f64() / 1e9
}
