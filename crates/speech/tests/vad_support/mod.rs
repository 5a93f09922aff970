//! What the tests of the front end, the VAD and the segmenter share.

use std::{path::PathBuf, sync::Arc};

use speech::vad::FsmnVad;

pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/frontend").join(name)
}

/// Little-endian `f32`s.
pub fn floats(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(fixture(name)).expect(name);
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Ten seconds with two stretches of speech.
pub fn speech_10s() -> Vec<f32> {
    let mut wav = hound::WavReader::open(fixture("speech_10s.wav")).expect("speech_10s.wav");
    wav.samples::<i16>().map(|sample| f32::from(sample.expect("sample")) / 32768.0).collect()
}

/// The real model. It is not in the repository: tests that need it look for
/// `$SCRIPTORIUM_TEST_MODELS/fsmn-vad`, and pass over if the variable is not set.
#[allow(dead_code, reason = "the front end is tested without")]
pub fn model() -> Option<Arc<FsmnVad>> {
    let Some(models) = std::env::var_os("SCRIPTORIUM_TEST_MODELS") else {
        eprintln!("passed over: SCRIPTORIUM_TEST_MODELS is not set");
        return None;
    };
    let directory = PathBuf::from(models).join("fsmn-vad");
    Some(Arc::new(FsmnVad::open(&directory).expect("model")))
}

#[allow(dead_code, reason = "the VAD's fixtures are compared exactly")]
pub fn assert_close(got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len());
    let (at, difference) = got
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .expect("values");
    assert!(difference <= tolerance, "{difference} at {at}: {} {}", got[at], expected[at]);
    eprintln!("largest difference: {difference:e}");
}
