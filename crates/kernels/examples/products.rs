//! How fast products with quantized weights are, in the sizes of Paraformer-large at 10 seconds.

#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use kernels::{Epilogue, dynamic};

const ROWS: usize = 167;

fn main() {
    for (inputs, outputs) in [(512, 1536), (512, 512), (512, 2048), (2048, 512)] {
        let bytes = |count: usize| (0..count).map(|i| (i * 7919 % 251) as u8).collect::<Vec<_>>();
        let (x, weights) = (bytes(ROWS * inputs), bytes(inputs * outputs));
        // As many layers as do not fit into the caches.
        let layers: Vec<_> = (0..32)
            .map(|_| {
                dynamic::Weights::pack(&weights, &vec![128; outputs], &vec![0.01; outputs], inputs)
            })
            .collect();
        let mut out = vec![0.0; ROWS * outputs];
        let mut least = Duration::MAX;
        for _ in 0..20 {
            let start = Instant::now();
            for layer in &layers {
                let x = dynamic::Quantized { values: &x, scale: 0.01, zero_point: 128 };
                layer.apply(x, Epilogue::default(), &mut out);
            }
            least = least.min(start.elapsed());
        }
        let products = (layers.len() * ROWS * inputs * outputs) as f64;
        let rate = products / least.as_secs_f64() / 1e9;
        println!("{inputs:5} -> {outputs:5}: {rate:6.1} G/s");
    }
}
