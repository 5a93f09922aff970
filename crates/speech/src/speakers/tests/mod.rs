//! The encoder against ONNX Runtime, which follows PyTorch. The READMEs of tests/fixtures/campplus
//! and tests/fixtures/speakers describe the files.

use std::fs;

use tempfile::TempDir;

use super::{MAX_WINDOW_SAMPLES, MIN_WINDOW_SAMPLES, SpeakerEncoder, encoder::Choice};
use crate::fixtures;
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

/// Returns the cosine of the angle between two vectors.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Computes the reference's inputs, alone and together, in all forms of the network.
fn assert_embeddings(directory: &TempDir) {
    let expected = floats("campplus/embeddings.f32");
    let together: Vec<f32> = (0..4).flat_map(features).collect();
    for choice in [Choice::F32, Choice::Fastest, Choice::Onnx] {
        let encoder = SpeakerEncoder::open_with(directory.path(), "campplus", choice).unwrap();
        assert_eq!(encoder.is_fast(), choice != Choice::Onnx);
        let found = encoder.infer(&together, 4).unwrap();
        for (item, expected) in expected.chunks_exact(192).enumerate() {
            let alone = encoder.infer(&features(item as u64), 1).unwrap();
            let found = &found[item * 192..][..192];
            let difference = relative_difference(found, expected);
            let cosine = cosine(found, expected);
            eprintln!("{choice:?}: off by {difference:e}, cosine {cosine}");
            match choice {
                Choice::Fastest => assert!(cosine >= 0.9998, "input {item}: {cosine}"),
                _ => assert!(difference <= 1e-5, "input {item}, {choice:?}: {difference}"),
            }
            assert!(relative_difference(&alone, found) <= 1e-6, "input {item}, {choice:?}");
        }
    }
}

#[test]
fn an_export_matches_onnx_runtime() {
    let directory = unpacked("campplus/model.onnx.gz", "3dspeaker.onnx");
    let encoder = SpeakerEncoder::open(directory.path(), "campplus").unwrap();
    assert_eq!((encoder.name(), encoder.width(), encoder.digest().len()), ("campplus", 192, 64));
    assert_embeddings(&directory);
}

#[test]
fn a_converted_checkpoint_matches_onnx_runtime() {
    let directory = unpacked("campplus/campplus_cn_common.bin.gz", "campplus_cn_common.bin");
    let error = SpeakerEncoder::open(directory.path(), "campplus").err().unwrap().to_string();
    assert!(error.contains("models convert"), "{error}");
    models::convert(directory.path()).unwrap();
    assert_embeddings(&directory);
}

/// Our network against the graph of the file, which tract runs, for windows of any length.
#[test]
fn windows_of_any_length_match_the_graph() {
    let directory = unpacked("campplus/model.onnx.gz", "model.onnx");
    let open = |choice| SpeakerEncoder::open_with(directory.path(), "campplus", choice).unwrap();
    let (ours, graph) = (open(Choice::F32), open(Choice::Onnx));
    let samples: Vec<f32> = (0..MAX_WINDOW_SAMPLES as u64).map(|i| uniform(i) / 4.0).collect();
    // Fewer than three frames are one after the stride, whose deviation ONNX divides by zero.
    for frames in [3, 4, 17, 99, 149, 150] {
        let window = &samples[..MIN_WINDOW_SAMPLES + (frames - 1) * 160 + frames % 50];
        let [ours, graph] =
            [&ours, &graph].map(|encoder| encoder.embed(&[window]).unwrap().remove(0));
        let difference = relative_difference(&ours, &graph);
        assert!(difference <= 1e-4, "{frames} frames: {difference}");
    }
}

/// Every length gives unit vectors, in the order of the windows, whatever else is in the call.
#[test]
fn windows_are_embedded_in_batches() {
    let directory = unpacked("campplus/model.onnx.gz", "model.onnx");
    let encoder = SpeakerEncoder::open(directory.path(), "campplus").unwrap();
    let samples: Vec<f32> = (0..2 * MAX_WINDOW_SAMPLES as u64).map(|i| uniform(i) / 4.0).collect();
    // Lengths of 1 to 150 frames, each twice and far apart.
    let windows: Vec<&[f32]> =
        (0..300).map(|i| &samples[61 * i..][..MIN_WINDOW_SAMPLES + (i * 7 % 150) * 160]).collect();
    let together = encoder.embed(&windows).unwrap();
    assert_eq!(together.len(), windows.len());
    for (index, (window, found)) in windows.iter().zip(&together).enumerate() {
        let norm = found.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((norm - 1.0).abs() < 1e-5 && found.len() == 192, "window {index}: {norm}");
        if index % 23 == 0 {
            let alone = encoder.embed(&[window]).unwrap().remove(0);
            assert!(relative_difference(found, &alone) <= 1e-6, "window {index}");
        }
    }
    assert!(encoder.embed(&[]).unwrap().is_empty());
    for length in [0, MIN_WINDOW_SAMPLES - 1, MAX_WINDOW_SAMPLES + 1] {
        let error = encoder.embed(&[windows[0], &samples[..length]]).unwrap_err().to_string();
        assert!(error.contains(&format!("{length} samples")), "{error}");
    }
}

#[test]
fn accepts_short_and_unusual_windows() {
    let directory = unpacked("campplus/model.onnx.gz", "campplus_en.onnx");
    let encoder = SpeakerEncoder::open(directory.path(), "campplus").unwrap();
    for samples in
        [&[0.0; 400][..], &[f32::NAN; 500], &[f32::INFINITY; 3000], &[1e30; MAX_WINDOW_SAMPLES]]
    {
        let embedding = encoder.embed(&[samples]).unwrap().remove(0);
        assert!(embedding.len() == 192 && embedding.iter().all(|value| value.is_finite()));
    }
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
