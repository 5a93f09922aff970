//! Speed of the speaker encoder on one thread: `MODEL_DIRECTORY SAMPLES.f32 WINDOWS`.
//!
//! The samples are raw f32 at 16 kHz; windows have 1.5 s and begin every 0.75 s. Prints the CPU time
//! per window, features included.

#![allow(clippy::print_stdout, reason = "it prints its results")]

use std::{error::Error, fs, time::Duration};

use speech::speakers::{MAX_WINDOW_SAMPLES, SpeakerEncoder};

const RUNS: usize = 15;
const STEP: usize = 12_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, samples, count] = &arguments[..] else {
        return Err("usage: MODEL_DIRECTORY SAMPLES.f32 WINDOWS".into());
    };
    let encoder = SpeakerEncoder::open(directory.as_ref(), "encoder")?;
    let bytes = fs::read(samples)?;
    let samples: Vec<f32> =
        bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let windows = samples.windows(MAX_WINDOW_SAMPLES).step_by(STEP);
    let windows: Vec<&[f32]> = windows.take(count.parse()?).collect();
    if windows.is_empty() {
        return Err("too few samples".into());
    }
    let mut fastest = Duration::MAX;
    for _ in 0..RUNS {
        let start = cpu_time();
        encoder.embed(&windows)?;
        fastest = fastest.min(cpu_time() - start);
    }
    let each = fastest.as_secs_f64() * 1e3 / windows.len() as f64;
    println!("{} windows, {each:.2} ms of CPU each", windows.len());
    Ok(())
}

/// Returns the CPU time of this thread, which depends little on other processes.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
