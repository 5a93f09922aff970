//! Measures attention with the heads of Paraformer-large, for the positions of 5, 10, 20 and 60
//! seconds or for the numbers of positions given as arguments. `SCRIPTORIUM_KERNELS` selects the
//! instruction set.

#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use kernels::{
    Rows,
    attention::{ComputeType, attend},
};

const HEADS: usize = 4;
const WIDTH: usize = 512;

fn main() {
    let requested = std::env::var("SCRIPTORIUM_KERNELS").ok();
    let sets = kernels::select_instruction_sets(requested.as_deref()).expect("instruction sets");
    println!("{sets}");
    let given: Vec<usize> = std::env::args().skip(1).filter_map(|n| n.parse().ok()).collect();
    for count in if given.is_empty() { vec![83, 167, 333, 1000] } else { given } {
        let number = |i: usize| (i * 7919 % 1009) as f32 / 504.5 - 1.0;
        let qkv: Vec<f32> = (0..count * 3 * WIDTH).map(number).collect();
        let mut out = vec![0.0; count * WIDTH];
        for compute_type in [ComputeType::F32, ComputeType::Bf16] {
            let mut best = Duration::MAX;
            for _ in 0..(20_000 / count).max(9) {
                let start = Instant::now();
                for first in (0..WIDTH).step_by(WIDTH / HEADS) {
                    let part = |part: usize| Rows {
                        values: &qkv[part * WIDTH + first..],
                        stride: 3 * WIDTH,
                        count,
                    };
                    let (width, out) = (WIDTH / HEADS, &mut out[first..]);
                    attend(part(0), part(1), part(2), width, compute_type, out, WIDTH);
                }
                best = best.min(start.elapsed());
            }
            let rate = (2 * count * count * WIDTH) as f64 / best.as_secs_f64() / 1e9;
            println!("{count:5} positions, {compute_type:?}: {best:9.2?}, {rate:6.1} G/s");
        }
    }
}
