//! Speed of the segmentation network on one thread, and where its time goes:
//! `MODEL_DIRECTORY SAMPLES.f32 STEP CHUNKS [EXPECTED.f32]`.
//!
//! The samples are raw f32 at 16 kHz; chunks begin every STEP samples. With the expected
//! log-probabilities of all chunks, prints how far the found ones are from them.

#![allow(clippy::print_stdout, reason = "it prints its results")]

use std::{collections::HashMap, error::Error, fs, time::Duration};

use speech::speakers::segmentation::{CHUNK_SAMPLES, CLASSES, SegmentationNetwork};

const RUNS: usize = 9;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, samples, step, chunks, expected @ ..] = &arguments[..] else {
        return Err("usage: MODEL_DIRECTORY SAMPLES.f32 STEP CHUNKS [EXPECTED.f32]".into());
    };
    let network = SegmentationNetwork::open(directory.as_ref(), "segmentation")?;
    let (samples, step, chunks) = (floats(samples)?, step.parse::<usize>()?, chunks.parse()?);
    let length = usize::checked_sub(chunks, 1).ok_or("no chunks")? * step + CHUNK_SAMPLES;
    let samples = samples.get(..length).ok_or("too few samples")?;
    let (mut fastest, mut found) = (Duration::MAX, Vec::new());
    for _ in 0..RUNS {
        let start = cpu_time();
        found = network.run(samples, step)?;
        fastest = fastest.min(cpu_time() - start);
    }
    let per_chunk = fastest.as_secs_f64() * 1e3 / chunks as f64;
    println!("{chunks} chunks, {per_chunk:.2} ms of CPU each");
    let mut layers = HashMap::<String, (Duration, u64)>::new();
    for _ in 0..RUNS {
        let (result, profile) = engine::profile(|| network.run(samples, step));
        result?;
        for operator in profile.runs.into_iter().flat_map(|run| run.operators) {
            let macs = operator.macs.total();
            let layer = layers.entry(operator.name).or_insert((Duration::MAX, macs));
            layer.0 = layer.0.min(operator.time);
        }
    }
    let mut layers: Vec<_> = layers.into_iter().collect();
    layers.sort_by_key(|&(_, (time, _))| std::cmp::Reverse(time));
    for (name, (time, macs)) in layers {
        let speed = macs as f64 / time.as_secs_f64() / 1e9;
        let time = time.as_secs_f64() * 1e3 / chunks as f64;
        println!("{time:8.3} ms of a chunk  {speed:6.1} GMAC/s  {name}");
    }
    if let [expected] = expected {
        compare(&found, &floats(expected)?);
    }
    Ok(())
}

/// Prints how far the log-probabilities are from the expected ones.
fn compare(found: &[f32], expected: &[f32]) {
    let best = |row: &[f32]| (0..CLASSES).max_by(|&a, &b| row[a].total_cmp(&row[b]));
    let rows = || found.chunks_exact(CLASSES).zip(expected.chunks_exact(CLASSES));
    let others = rows().filter(|(found, expected)| best(found) != best(expected)).count();
    let greatest = |of: fn(f32) -> f32| {
        let differences = found.iter().zip(expected).map(|(&a, &b)| (of(a) - of(b)).abs());
        differences.fold(0f32, f32::max)
    };
    println!(
        "{others} of {} frames have another class; log-probabilities differ by up to {:.1e}, \
         probabilities by up to {:.1e}",
        rows().count(),
        greatest(|x| x),
        greatest(f32::exp)
    );
}

fn floats(path: &str) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = fs::read(path)?;
    Ok(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}

/// Returns the CPU time of this thread, which depends little on other processes.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
