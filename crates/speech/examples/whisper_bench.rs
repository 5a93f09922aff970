//! Measures the CPU time of Whisper's networks on one thread: one window encoded, then 30 greedy
//! steps.
//!
//!     cargo run -p speech --example whisper_bench -- MODEL_DIRECTORY [ROUNDS]
//!
//! The precisions alternate, so that other load on the machine affects both. The input is noise,
//! because the work does not depend on it.

#![allow(clippy::print_stdout, reason = "it prints its results")]

use std::{path::Path, time::Duration};

use speech::{
    recognizer::{Error, Precision},
    whisper::network::Network,
};

const STEPS: usize = 30;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: whisper_bench MODEL_DIRECTORY [ROUNDS]")?;
    let rounds: usize = arguments.next().map_or(Ok(10), |rounds| rounds.parse())?;
    let mut networks = Vec::new();
    for precision in [Precision::F32, Precision::Int8] {
        let start = cpu_time()?;
        let network = Network::open(Path::new(&directory), precision, &[])?;
        println!("{precision:?} opened in {:?}", cpu_time()? - start);
        networks.push((precision, network, Vec::new()));
    }
    for _ in 0..rounds {
        for (_, network, times) in &mut networks {
            times.push(round(network)?);
        }
    }
    for (precision, _, times) in &networks {
        let encode = median(times.iter().map(|time| time.0));
        let decode = median(times.iter().map(|time| time.1));
        println!("{precision:?}: window encoded in {encode:?}, {STEPS} steps in {decode:?}");
    }
    Ok(())
}

fn round(network: &Network) -> Result<(Duration, Duration), Box<dyn std::error::Error>> {
    let dimensions = network.dimensions();
    let mel: Vec<f32> =
        (0..dimensions.mels * dimensions.frames()).map(|i| (i as f32 * 0.37).sin()).collect();
    let start = cpu_time()?;
    let audio = network.encode(&mel)?;
    let encoded = cpu_time()?;
    let (mut state, mut logits) = (network.start(audio), Vec::new());
    let mut token = 0;
    for _ in 0..STEPS {
        network.step(&mut state, &[token], &mut logits)?;
        token = best(&logits)?;
    }
    Ok((encoded - start, cpu_time()? - encoded))
}

fn best(logits: &[f32]) -> Result<u32, Error> {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map(|(token, _)| token as u32).ok_or_else(|| Error::Network("no logits".into()))
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<_> = times.collect();
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Returns the CPU time of this thread so far, from Linux's scheduler statistics.
fn cpu_time() -> Result<Duration, Box<dyn std::error::Error>> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = statistics.split(' ').next().unwrap_or_default().parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}
