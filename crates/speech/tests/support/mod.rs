//! Helpers that the integration tests share.

#![allow(dead_code, reason = "each test file uses some of them")]
#![allow(clippy::print_stderr)]

pub(crate) mod der;

use std::{path::PathBuf, sync::Arc};

use audio::ChannelMode;
use speech::{
    compute::{Compute, Owner, Task},
    vad::{EnergyVad, FsmnVad, VoiceActivityDetector},
};

/// Runs every task at once, on the calling thread.
pub(crate) struct InlineCompute;

impl Compute for InlineCompute {
    fn width(&self) -> usize {
        1
    }

    fn spawn(&self, _: Owner, task: Task) {
        task();
    }

    fn run(&self, _: Owner, work: &mut dyn FnMut()) {
        work();
    }
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

/// Reads little-endian `f32`s from a fixture of the front end.
pub(crate) fn floats(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(fixture("frontend").join(name)).expect(name);
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Returns ten seconds of audio with two spans of speech.
pub(crate) fn speech_10s() -> Vec<f32> {
    let path = fixture("frontend/speech_10s.wav");
    let mut wav = hound::WavReader::open(path).expect("speech_10s.wav");
    wav.samples::<i16>().map(|sample| f32::from(sample.expect("sample")) / 32768.0).collect()
}

/// Opens the published FSMN-VAD model. It is not in the repository: tests that need it look for
/// `$SCRIPTORIUM_TEST_MODELS/fsmn-vad` and are skipped if the variable is not set.
pub(crate) fn model() -> Option<Arc<FsmnVad>> {
    let Some(models) = std::env::var_os("SCRIPTORIUM_TEST_MODELS") else {
        eprintln!("skipped: SCRIPTORIUM_TEST_MODELS is not set; run `make test`");
        return None;
    };
    let directory = PathBuf::from(models).join("fsmn-vad");
    Some(Arc::new(FsmnVad::open(&directory).expect("model")))
}

/// Returns the published FSMN-VAD model where it is installed, and else a detector that needs no
/// model files.
pub(crate) fn detector() -> Arc<dyn VoiceActivityDetector> {
    match std::env::var_os("SCRIPTORIUM_TEST_MODELS") {
        Some(models) => {
            Arc::new(FsmnVad::open(&PathBuf::from(models).join("fsmn-vad")).expect("model"))
        }
        None => Arc::new(EnergyVad),
    }
}

pub(crate) fn decoding(channels: ChannelMode) -> audio::DecodeOptions {
    audio::DecodeOptions { channels, ..audio::DecodeOptions::default() }
}

/// Checks that no difference is larger than `tolerance`, and that most are far smaller.
pub(crate) fn assert_close(got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len());
    let differences: Vec<f32> = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).collect();
    let mean = differences.iter().sum::<f32>() / differences.len() as f32;
    let largest = differences.iter().copied().fold(0.0, f32::max);
    eprintln!("differences: {largest:e} at most, {mean:e} on average");
    assert!(largest <= tolerance, "a difference of {largest}");
    assert!(mean <= tolerance / 100.0, "differences of {mean} on average");
    assert!(got.iter().all(|value| value.is_finite()));
}
