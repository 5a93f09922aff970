//! The encoder against ONNX Runtime, which follows PyTorch. The READMEs of tests/fixtures/campplus
//! and tests/fixtures/speakers describe the files.

use std::fs;

use tempfile::TempDir;

use super::SpeakerEncoder;
use crate::{compute::thread_cpu_seconds, fixtures};
use errors::Chain;

mod mixtures;
mod streams;

const FRAMES: usize = 148;

/// Unpacks a fixture to the file `to` in a new directory.
fn unpacked(name: &str, to: &str) -> TempDir {
    fixtures::directory(&[(to, fixtures::gunzip(name))])
}

/// Maps an integer to a pseudorandom number in [-1, 1), as the scripts that made the fixtures.
pub(super) fn uniform(index: u64) -> f32 {
    let mut mixed = index.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^= mixed >> 32;
    mixed = mixed.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (mixed >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Makes the features of `features` in make.py, `[FRAMES, 80]`.
fn features(item: u64) -> Vec<f32> {
    let mut values = Vec::new();
    for frame in 0..FRAMES as u64 {
        for bin in 0..80 {
            let patch = (item * 100 + frame / 16) * 100 + bin / 8;
            let noise = (item * FRAMES as u64 + frame) * 80 + bin + 1_000_000;
            values.push(3.0 * uniform(patch) + 3.0 * uniform(noise) / 4.0);
        }
    }
    values
}

/// Reads a fixture of little-endian `f32`s.
fn floats(name: &str) -> Vec<f32> {
    let bytes = fs::read(fixtures::path(name)).unwrap();
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Returns the norm of the difference of two vectors, relative to the norm of the second.
fn relative_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let norm = expected.iter().map(|x| x * x).sum::<f32>().sqrt();
    found.iter().zip(expected).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt() / norm
}

fn assert_embeddings(encoder: &SpeakerEncoder) {
    for (item, expected) in floats("campplus/embeddings.f32").chunks_exact(192).enumerate() {
        let start = thread_cpu_seconds();
        let found = encoder.infer(&features(item as u64), 1).unwrap();
        let milliseconds = 1000.0 * (thread_cpu_seconds() - start);
        let difference = relative_difference(&found, expected);
        eprintln!("one window: {milliseconds:.1} ms of a core, off by {difference:e}");
        assert!(difference <= 1e-5, "input {item}: {difference}");
    }
}

#[test]
fn an_export_matches_onnx_runtime() {
    let directory = unpacked("campplus/model.onnx.gz", "3dspeaker.onnx");
    let encoder = SpeakerEncoder::open(directory.path(), "campplus").unwrap();
    assert_eq!((encoder.name(), encoder.width(), encoder.digest().len()), ("campplus", 192, 64));
    assert_embeddings(&encoder);
}

#[test]
fn a_converted_checkpoint_matches_onnx_runtime() {
    let directory = unpacked("campplus/campplus_cn_common.bin.gz", "campplus_cn_common.bin");
    let error = SpeakerEncoder::open(directory.path(), "campplus").err().unwrap().to_string();
    assert!(error.contains("models convert"), "{error}");
    models::convert(directory.path()).unwrap();
    let encoder = SpeakerEncoder::open(directory.path(), "campplus").unwrap();
    assert_embeddings(&encoder);
}

#[test]
fn refuses_other_models() {
    let open = |directory: &TempDir| {
        let error = SpeakerEncoder::open(directory.path(), "campplus").err().unwrap();
        Chain(&error).to_string()
    };
    let empty = tempfile::tempdir().unwrap();
    assert!(open(&empty).contains("holds no speaker model"), "{}", open(&empty));
    for name in ["a.onnx", "b.onnx"] {
        fs::write(empty.path().join(name), "no model").unwrap();
    }
    assert!(open(&empty).contains("several models"), "{}", open(&empty));
    fs::remove_file(empty.path().join("b.onnx")).unwrap();
    assert!(open(&empty).contains("a.onnx"), "{}", open(&empty));

    let punctuation = unpacked("funasr/ct-punc/model.onnx.gz", "model.onnx");
    assert!(open(&punctuation).contains("not a speaker encoder: it has 2 inputs"));
}

#[test]
fn refuses_damaged_models() {
    let directory = unpacked("campplus/campplus_cn_common.bin.gz", "campplus_cn_common.bin");
    let path = models::convert(directory.path()).unwrap();
    let whole = fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = SpeakerEncoder::open(directory.path(), "campplus").err().unwrap();
        Chain(&error).to_string()
    };
    refused(&whole[..whole.len() / 2]);
    // Another name for a parameter, and a parameter of another shape: the first convolution's
    // weights are [32, 1, 3, 3].
    for (from, to) in [
        (
            &b"\x08\x20\x08\x01\x08\x03\x08\x03\x10\x01\x42\x11head.conv1.weight"[..],
            &b"\x08\x03\x08\x03\x08\x01\x08\x20"[..],
        ),
        (b"\x42\x11head.conv1.weight", b"\x42\x11head.conv9.weight"),
    ] {
        let at = whole.windows(from.len()).position(|window| window == from).unwrap();
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(to);
        let message = refused(&bytes);
        assert!(message.contains("campplus.onnx"), "{message}");
    }
    fs::write(&path, &whole).unwrap();
    assert!(SpeakerEncoder::open(directory.path(), "campplus").is_ok());
}
