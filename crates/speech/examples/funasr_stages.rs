//! Prints the results of each stage as JSON, for `scripts/compare_funasr.py`: features of the
//! recognizer, segments of the voice activity detector (in milliseconds), and tokens of each segment.
//!
//! usage: funasr_stages VAD-DIRECTORY PARAFORMER-DIRECTORY WAV...   (16 kHz, mono, 16 bits)

use std::{env, error::Error, fs, path::Path, sync::Arc};

use serde_json::{Value, json};
use speech::{
    paraformer::Paraformer,
    recognizer::{RecognizeOptions, Recognizer},
    vad::{FsmnVad, VadOptions},
};

const SAMPLES_PER_MILLISECOND: u64 = 16;

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [vad, model, files @ ..] = &arguments[..] else {
        return Err("usage: funasr_stages VAD-DIRECTORY PARAFORMER-DIRECTORY WAV...".into());
    };
    let vad = Arc::new(FsmnVad::open(Path::new(vad))?);
    let model = Paraformer::open(Path::new(model), "model", None)?;
    let stages = files.iter().map(|file| stages(&vad, &model, file)).collect::<Result<Vec<_>, _>>();
    println!("{}", Value::from(stages?));
    Ok(())
}

fn stages(vad: &Arc<FsmnVad>, model: &Paraformer, file: &str) -> Result<Value, Box<dyn Error>> {
    let wav = fs::read(file)?;
    let data = wav.windows(4).position(|four| four == b"data").ok_or("not a WAV file")? + 8;
    let samples: Vec<f32> = wav[data..]
        .chunks_exact(2)
        .map(|two| f32::from(i16::from_le_bytes([two[0], two[1]])) / 32768.0)
        .collect();
    let (mut segments, mut tokens) = (Vec::new(), Vec::new());
    for segment in vad.segments(&samples, &VadOptions::default())? {
        let of = |sample: u64| sample / SAMPLES_PER_MILLISECOND;
        segments.push(json!([of(segment.start), of(segment.end)]));
        let end = usize::try_from(segment.end)?.min(samples.len());
        let recognition = model.recognize(
            &samples[usize::try_from(segment.start)?.min(end)..end],
            &RecognizeOptions::default(),
        )?;
        tokens.push(recognition.hypotheses.into_iter().flat_map(|h| h.tokens).collect::<Vec<_>>());
    }
    let frontend = model.frontend();
    let features: Vec<_> =
        frontend.rows(&samples).chunks(frontend.width()).map(Value::from).collect();
    Ok(json!({ "segments": segments, "tokens": tokens, "features": features }))
}
