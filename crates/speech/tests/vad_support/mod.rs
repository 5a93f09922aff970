//! What the tests of the front end, the VAD and the segmenter share.

#![allow(dead_code, reason = "each of them uses a part")]
#![allow(clippy::print_stderr)]

use std::{path::PathBuf, sync::Arc};

use speech::vad::FsmnVad;

pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/frontend").join(name)
}

/// Little-endian `f32`s.
pub(crate) fn floats(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(fixture(name)).expect(name);
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Ten seconds with two stretches of speech.
pub(crate) fn speech_10s() -> Vec<f32> {
    let mut wav = hound::WavReader::open(fixture("speech_10s.wav")).expect("speech_10s.wav");
    wav.samples::<i16>().map(|sample| f32::from(sample.expect("sample")) / 32768.0).collect()
}

/// The real model. It is not in the repository: tests that need it look for
/// `$SCRIPTORIUM_TEST_MODELS/fsmn-vad`, and pass over if the variable is not set.
pub(crate) fn model() -> Option<Arc<FsmnVad>> {
    let Some(models) = std::env::var_os("SCRIPTORIUM_TEST_MODELS") else {
        eprintln!("passed over: SCRIPTORIUM_TEST_MODELS is not set");
        return None;
    };
    let directory = PathBuf::from(models).join("fsmn-vad");
    Some(Arc::new(FsmnVad::open(&directory).expect("model")))
}

/// No difference is larger than `tolerance`, and most are far smaller.
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
