//! Speed of the segmentation network, and where its time goes:
//! `MODEL_DIRECTORY SAMPLES.f32 STEP [EXPECTED.f32]`. The samples are raw f32 at 16 kHz; chunks
//! begin every STEP samples. With the expected log-probabilities of all chunks, prints how far the
//! found ones are from them.

#![allow(clippy::print_stdout)]

use std::{collections::HashMap, error::Error, fs, time::Duration};

use speech::speakers::segmentation::{CHUNK_SAMPLES, CLASSES, SegmentationNetwork};

const RUNS: usize = 9;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, samples, step, expected @ ..] = &arguments[..] else {
        return Err("MODEL_DIRECTORY SAMPLES.f32 STEP [EXPECTED.f32]".into());
    };
    let network = SegmentationNetwork::open(directory.as_ref(), "segmentation")?;
    let (mut samples, step) = (floats(samples)?, step.parse::<usize>()?);
    let chunks = samples.len().checked_sub(CHUNK_SAMPLES).ok_or("less than a chunk")? / step + 1;
    samples.truncate((chunks - 1) * step + CHUNK_SAMPLES);
    let (mut fastest, mut found) = (Duration::MAX, Vec::new());
    for _ in 0..RUNS {
        let start = cpu_time();
        found = network.run(&samples, step)?;
        fastest = fastest.min(cpu_time() - start);
    }
    let per_chunk = fastest.as_secs_f64() * 1e3 / chunks as f64;
    println!("{chunks} chunks, {per_chunk:.2} ms of CPU each");
    let (result, profile) = engine::profile(|| network.run(&samples, step));
    result?;
    let mut kinds = HashMap::<_, (Duration, u64)>::new();
    for operator in profile.runs.iter().flat_map(|run| &run.operators) {
        let kind = kinds.entry(&operator.name).or_default();
        *kind = (kind.0 + operator.time, kind.1 + operator.macs.total());
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|&(_, (time, _))| std::cmp::Reverse(time));
    for (name, (time, macs)) in kinds {
        let speed = macs as f64 / time.as_secs_f64() / 1e9;
        let time = time.as_secs_f64() * 1e3 / chunks as f64;
        println!("{time:8.3} ms a chunk  {speed:6.1} GMAC/s  {name}");
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
    let differ = rows().filter(|(found, expected)| best(found) != best(expected)).count();
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let greatest = differences.fold(0f32, f32::max);
    let probabilities = found.iter().zip(expected).map(|(a, b)| (a.exp() - b.exp()).abs());
    let of_probability = probabilities.fold(0f32, f32::max);
    println!(
        "{} of {} frames have another class; log-probabilities differ by up to {greatest:.1e}, \
         probabilities by up to {of_probability:.1e}",
        differ,
        rows().count()
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
