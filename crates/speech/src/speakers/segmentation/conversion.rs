//! The network that `models::convert` makes of pyannote's checkpoint.

use super::*;
use crate::fixtures;

/// Returns the values of a file of f32.
fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

#[test]
fn a_converted_checkpoint_agrees_with_the_reference() {
    let checkpoint = fixtures::gunzip("segmentation-checkpoint/pytorch_model.bin.gz");
    let directory = fixtures::directory(&[("pytorch_model.bin", checkpoint)]);
    models::convert(directory.path()).expect("converts");
    let network = SegmentationNetwork::open_with(directory.path(), "made-up", Arithmetic::F32);
    let bytes = fs::read(fixtures::path("frontend/speech_10s.wav")).expect("speech");
    let samples = bytes[44..].as_chunks().0;
    let mut samples: Vec<f32> =
        samples.iter().map(|&bytes| f32::from(i16::from_le_bytes(bytes)) / 32768.0).collect();
    samples.resize(CHUNK_SAMPLES, 0.0);
    let found = network.expect("opens").run(&samples, FRAME_SAMPLES).expect("runs");
    let reference = fixtures::path("segmentation-checkpoint/log_probabilities.f32");
    let expected = floats(&fs::read(reference).expect("reference"));
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() < 1e-4, "{index}: {found}, not {expected}");
    }
}
