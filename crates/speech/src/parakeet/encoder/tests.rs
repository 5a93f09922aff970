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

/// The frame after the last decides about the last output, and how depends on the remainder of 8.
#[test]
fn all_lengths_equal_the_unfused_graph() {
    let encoder = open("onnx-asr/encoder-model.onnx", Precision::F32);
    let file = OnnxFile::read(&fixture("onnx-asr/encoder-model.onnx")).expect("a file");
    let mels = encoder.mels();
    for frames in 57..=64 {
        let features: Vec<f32> =
            (0..frames * mels).map(|at| (at * 7919 % 1009) as f32 / 504.5 - 1.0).collect();
        let shapes = [vec![1.into(), mels.into(), (frames + 1).into()], vec![1.into()]];
        let network = file.full_network(&shapes).expect("a network");
        let mut by_mel = vec![0.0; mels * (frames + 1)];
        for (at, value) in features.iter().enumerate() {
            by_mel[at % mels * (frames + 1) + at / mels] = *value;
        }
        let inputs = vec![
            engine::tensor(&[1, mels, frames + 1], &by_mel).expect("features"),
            engine::tensor(&[1], &[frames as i64]).expect("a length"),
        ];
        let outputs = network.run(inputs).expect("a run");
        let (outputs, count) = (&outputs[0], frames.div_ceil(SUBSAMPLING));
        let [1, width, rows] = *outputs.shape() else { panic!("{:?}", outputs.shape()) };
        let values = engine::values::<f32>(outputs).expect("floats");
        let row = |row: usize| (0..width).map(move |column| values[column * rows + row]);
        let expected: Vec<f32> = (0..count).flat_map(row).collect();
        let found = encoder.run(&features).expect("outputs");
        let distance = distance(&found, &expected);
        assert!(distance < 1e-5, "{frames} frames: off by {distance}");
    }
}

#[test]
fn inputs_beyond_the_positions_are_refused() {
    let encoder = open("onnx-asr/encoder-model.onnx", Precision::F32);
    // The table has positions for 330 outputs.
    assert_eq!(encoder.max_frames(), 330 * SUBSAMPLING);
    let longest = vec![0.5; encoder.max_frames() * encoder.mels()];
    assert_eq!(encoder.run(&longest).expect("outputs").len(), 330 * encoder.width());
    let longer = vec![0.5; (encoder.max_frames() + 1) * encoder.mels()];
    let error = encoder.run(&longer).expect_err("too long").to_string();
    assert!(error.contains("2641 frames") && error.contains("2640"), "{error}");
    assert!(encoder.run(&[]).expect("nothing").is_empty());
}

/// Replaces `from` by `to`, of the same length, in the file of floats, and opens that.
fn altered(from: &[u8], to: &[u8], which: usize) -> Result<Encoder, Error> {
    assert_eq!(from.len(), to.len());
    let path = fixture("onnx-asr/encoder-model.onnx");
    let mut bytes = std::fs::read(&path).expect("a file");
    let places = bytes.windows(from.len()).enumerate().filter(|(_, part)| *part == from);
    let places: Vec<usize> = places.map(|(at, _)| at).collect();
    bytes[places[which]..][..to.len()].copy_from_slice(to);
    let file =
        OnnxFile::parse(&path, &bytes).map_err(|error| crate::files::not_loaded(&path, error))?;
    Encoder::open(&file, Precision::F32)
}

/// What computes something else must not be computed as if it did not.
#[test]
fn other_networks_are_refused() {
    for (from, to, which, what) in [
        // The operator's name follows the tag of `NodeProto.op_type` and its length.
        (&b"\"\x04Relu"[..], &b"\"\x04Tanh"[..], 0, "applied to another function"),
        (b"\"\x04Relu", b"\"\x04Sqrt", 2, "applied to another function"),
        (b"\"\x07Sigmoid", b"\"\x07Softmax", 0, "applied to another function"),
        (b"\"\x07Softmax", b"\"\x07Sigmoid", 0, "the products of attention are others"),
        (b"\"\x05Split", b"\"\x05Slice", 0, "computes something else"),
    ] {
        let error = altered(from, to, which).map(|_| ()).expect_err(what);
        let error = format!("{:#}", errors::Chain(&error));
        assert!(error.contains(what), "{error}");
    }
    let path = fixture("onnx-asr/decoder_joint-model.onnx");
    let decoder = OnnxFile::read(&path).expect("a file");
    let error = Encoder::open(&decoder, Precision::F32).map(|_| ()).expect_err("a decoder");
    assert!(error.to_string().contains("not an encoder of Parakeet"), "{error}");
}
