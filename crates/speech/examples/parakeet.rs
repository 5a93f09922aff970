//! Speed and memory of Parakeet-TDT on one thread, as JSON: `MODEL_DIRECTORY PRECISION SECONDS`.
//!
//! The encoder and the decoder are measured apart, and the decoder per step, a token or a blank: with random
//! weights, which suffice, a token comes with almost every step, and speech has no such text. The input is noise,
//! because the work depends on its length only.

#![allow(clippy::print_stdout, reason = "it prints its results")]

use std::{error::Error, fs};

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use speech::{parakeet::Parakeet, recognizer};

const SAMPLE_RATE: usize = 16_000;
const RUNS: usize = 3;
/// Steps that are measured together: about 30 s of speech.
const STEPS: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, precision, seconds] = &arguments[..] else {
        return Err("usage: MODEL_DIRECTORY PRECISION SECONDS".into());
    };
    let seconds: usize = seconds.parse()?;
    let start = cpu_seconds();
    let model = Parakeet::open(directory.as_ref(), "parakeet", Some(precision.parse()?))?;
    let open_seconds = cpu_seconds() - start;
    let opened_mb = memory_mb("VmRSS:");
    // From here on, the peak is that of the work.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let mut random = fastrand::Rng::with_seed(1);
    let samples: Vec<f32> =
        (0..seconds * SAMPLE_RATE).map(|_| 0.1 * (random.f32() - 0.5)).collect();
    let encoded = model.encode(&samples)?;
    let encoder_seconds = median(|| model.encode(&samples).map(drop))?;
    model.decode_steps(&encoded, STEPS, false)?;
    let step = |blanks| median(|| model.decode_steps(&encoded, STEPS, blanks));
    let (token_seconds, blank_seconds) = (step(false)? / STEPS as f64, step(true)? / STEPS as f64);
    let result = json!({
        "open_seconds": open_seconds,
        "encoder_seconds": encoder_seconds,
        "token_seconds": token_seconds,
        "blank_seconds": blank_seconds,
        // About half of the steps of speech are blanks, which leave the prediction network as it is.
        "step_seconds": (token_seconds + blank_seconds) / 2.0,
        "opened_mb": opened_mb,
        "peak_mb": memory_mb("VmHWM:"),
    });
    println!("{result}");
    Ok(())
}

/// Returns the CPU seconds of one run.
fn median(run: impl Fn() -> Result<(), recognizer::Error>) -> Result<f64, recognizer::Error> {
    let mut times = [0.0; RUNS];
    for time in &mut times {
        let start = cpu_seconds();
        run()?;
        *time = cpu_seconds() - start;
    }
    times.sort_by(f64::total_cmp);
    Ok(times[RUNS / 2])
}

/// Returns the CPU time of this process so far.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Returns a size of memory that the system states, or null where it does not.
fn memory_mb(key: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kilobytes * 1024) as f64 / 1e6)
}
