//! The encoder compared with ONNX Runtime's outputs.

use std::path::{Path, PathBuf};

use super::*;
use crate::npz::Npz;

const CLIPS: [&str; 3] = ["sentence", "aligned", "short"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/parakeet").join(name)
}

fn open(name: &str, precision: Precision) -> Encoder {
    let file = OnnxFile::read(&fixture(name)).expect("a file");
    Encoder::open(&file, precision).expect("an encoder")
}

/// Returns features `[frames, mels]` of a clip, of `[mels, frames + 1]`.
fn features(reference: &Npz, clip: &str) -> Vec<f32> {
    let array = &reference[&*format!("{clip}.features")];
    let [mels, frames] = array.shape[..] else { panic!("{:?}", array.shape) };
    let values = array.f32();
    let frame = |t: usize| (0..mels).map(move |mel| mel * frames + t);
    (0..frames - 1).flat_map(frame).map(|at| values[at]).collect()
}

/// Returns the distance of the vectors, relative to the length of the second.
fn distance(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
    let difference = squares(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    difference / squares(&mut expected.iter().copied())
}

fn check(name: &str, precision: Precision, reference_kind: &str, limit: f32) {
    let reference = Npz::open(&fixture("reference.npz"));
    let encoder = open(name, precision);
    for clip in CLIPS {
        let expected = &reference[&*format!("{clip}.encoder.{reference_kind}")];
        let found = encoder.run(&features(&reference, clip)).expect("outputs");
        // The reference has an output for the frame after the last, which does not count.
        let expected = &expected.f32()[..found.len()];
        let distance = distance(&found, expected);
        println!("{name} {precision} {clip} {distance}");
        assert!(distance <= limit, "{name} in {precision}, {clip}: off by {distance}");
    }
}

#[test]
fn floats_equal_the_reference() {
    check("onnx-asr/encoder-model.onnx", Precision::F32, "f32", 1e-5);
}

#[test]
fn rounded_weights_are_close() {
    check("onnx-asr/encoder-model.onnx", Precision::Bf16, "f32", 1e-2);
    check("onnx-asr/encoder-model.onnx", Precision::Int8, "f32", 2e-2);
}

/// Convolutions that the file quantizes compute in floats here, which is closer to the float file.
#[test]
fn quantized_files_are_close() {
    check("onnx-asr/encoder-model.int8.onnx", Precision::Int8, "int8", 3e-2);
    check("onnx-asr/encoder-model.int8.onnx", Precision::Int8, "f32", 2e-2);
}
