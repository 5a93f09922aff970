//! Counts the allocations of runs of a part of an ONNX file; see `support` for the arguments. Its
//! times are not comparable, because counting takes time.

#![allow(clippy::print_stdout)]

mod support;

use std::error::Error;

const RUNS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let (network, tensors) = support::network()?;
    for run in 1..=RUNS {
        let inputs = tensors.clone();
        let mut result = Ok(Vec::new());
        let counted = allocation_counter::measure(|| result = network.run(inputs));
        drop(result?);
        println!(
            "run {run}: {} allocations, {:.2} MB in total, {:.2} MB at the peak, {:.2} MB kept",
            counted.count_total,
            counted.bytes_total as f64 / 1e6,
            counted.bytes_max as f64 / 1e6,
            counted.bytes_current as f64 / 1e6,
        );
    }
    Ok(())
}
