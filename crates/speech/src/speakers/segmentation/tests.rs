//! Comparison with ONNX Runtime's outputs, and of the ways to compute.

use super::*;
use crate::fixtures;

fn floats(name: &str) -> Vec<f32> {
    let bytes = fs::read(fixtures::path(name)).expect(name);
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// Returns ten seconds of a meeting.
fn excerpt() -> Vec<f32> {
    let bytes = fs::read(fixtures::path("segmentation/excerpt.wav")).expect("excerpt");
    let samples = bytes[44..].as_chunks().0;
    samples.iter().map(|&bytes| f32::from(i16::from_le_bytes(bytes)) / 32768.0).collect()
}

fn open(arithmetic: Arithmetic) -> SegmentationNetwork {
    SegmentationNetwork::open_with(&fixtures::path("segmentation"), "segmentation", arithmetic)
        .expect("opens")
}

#[test]
fn agrees_with_onnx_runtime() {
    let found = open(Arithmetic::F32).run(&excerpt(), FRAME_SAMPLES).expect("runs");
    let expected = floats("segmentation/log_probabilities.f32");
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() < 1e-4, "{index}: {found}, not {expected}");
    }
}
