//! Prints the text that a recognizer finds in one precision, with time and memory, as JSON, for
//! `scripts/precision.py`.
//!
//! usage: precision FAMILY MODEL-DIRECTORY PRECISION RECORDING...
//!
//! FAMILY: whisper, paraformer or sensevoice; PRECISION: int8, bf16 or f32. Recordings are cut at the
//! longest input of the model.

#![allow(clippy::print_stdout, reason = "it prints its results")]

use std::{env, error::Error, fs, path::Path, time::Duration};

use audio::{Block, Decoder};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use speech::{
    paraformer::Paraformer,
    recognizer::{Precision, RecognizeOptions, Recognizer},
    sensevoice::SenseVoice,
    whisper::{Whisper, WhisperOptions},
};

const SAMPLE_RATE: f64 = 16_000.0;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [family, directory, precision, files @ ..] = &arguments[..] else {
        return Err("usage: precision FAMILY MODEL-DIRECTORY PRECISION RECORDING...".into());
    };
    let precision: Precision = precision.parse()?;
    let start = cpu_time();
    let model = open(family, Path::new(directory), precision)?;
    let loaded = cpu_time();
    let [resident, peak_of_load] = memory();
    let results = files.iter().map(|file| recognize(&*model, file));
    let results = results.collect::<Result<Vec<_>, _>>()?;
    let [_, peak] = memory();
    let figures = json!({
        "precision": model.description().precision,
        "load_seconds": (loaded - start).as_secs_f64(),
        "seconds": (cpu_time() - loaded).as_secs_f64(),
        "resident": resident,
        "peak_of_load": peak_of_load,
        "peak": peak,
        "heard": results,
    });
    println!("{figures}");
    Ok(())
}

fn open(
    family: &str,
    directory: &Path,
    precision: Precision,
) -> Result<Box<dyn Recognizer>, Box<dyn Error>> {
    Ok(match family {
        "paraformer" => Box::new(Paraformer::open(directory, "model", Some(precision))?),
        "sensevoice" => Box::new(SenseVoice::open(directory, "model", Some(precision))?),
        "whisper" => {
            let options = WhisperOptions { precision, ..WhisperOptions::default() };
            Box::new(Whisper::open(directory, "model", options)?)
        }
        other => return Err(format!("unknown family `{other}`").into()),
    })
}

fn recognize(model: &dyn Recognizer, file: &str) -> Result<Value, Box<dyn Error>> {
    let options = audio::DecodeOptions::default();
    let mut decoder = Decoder::open(Box::new(fs::File::open(file)?), &options)?;
    let (mut block, mut samples) = (Block::default(), Vec::new());
    while decoder.next_block(&mut block)? {
        samples.extend_from_slice(&block.channels[0]);
    }
    let longest = (model.max_seconds() * SAMPLE_RATE) as usize;
    let (mut texts, mut tokens, mut words) = (Vec::new(), Vec::new(), Vec::new());
    for window in samples.chunks(longest) {
        for hypothesis in model.recognize(window, &RecognizeOptions::default())?.hypotheses {
            texts.push(hypothesis.text);
            tokens.extend(hypothesis.tokens);
            words.extend(hypothesis.words.iter().map(|word| word.log_probability));
        }
    }
    Ok(json!({ "text": texts.join(" "), "tokens": tokens, "log_probabilities": words }))
}

/// Returns the CPU time of this process so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Returns the memory in use and the peak so far in megabytes, or zeros if the system does not
/// provide them.
fn memory() -> [u64; 2] {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ["VmRSS:", "VmHWM:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
        kilobytes.map_or(0, |kilobytes: u64| kilobytes * 1024 / 1_000_000)
    })
}
