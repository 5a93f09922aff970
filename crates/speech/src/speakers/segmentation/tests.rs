//! Comparison with ONNX Runtime's outputs and with tract's operators, odd inputs, and odd files.

use engine::{Dim, OnnxFile};

use super::*;
use crate::fixtures;

/// Steps of 1 s and 2.5 s.
const STEPS: [usize; 2] = [59 * FRAME_SAMPLES, 148 * FRAME_SAMPLES];

/// Returns ten seconds of a meeting.
fn excerpt() -> Vec<f32> {
    let bytes = fs::read(fixtures::path("segmentation/excerpt.wav")).expect("excerpt");
    let samples = bytes[44..].as_chunks().0;
    samples.iter().map(|&bytes| f32::from(i16::from_le_bytes(bytes)) / 32768.0).collect()
}

fn expected() -> Vec<f32> {
    let bytes = fs::read(fixtures::path("segmentation/log_probabilities.f32")).expect("reference");
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn open(arithmetic: Arithmetic) -> SegmentationNetwork {
    SegmentationNetwork::open_with(&fixtures::path("segmentation"), "segmentation", arithmetic)
        .expect("opens")
}

/// Returns the samples of `chunks`: the meeting again and again, ever louder.
fn samples(chunks: usize, step: usize) -> Vec<f32> {
    let samples = excerpt();
    (0..(chunks - 1) * step + CHUNK_SAMPLES)
        .map(|i| samples[i % samples.len()] * (0.1 + i as f32 / 200_000.0))
        .collect()
}

fn greatest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn class(scores: &[f32]) -> usize {
    (0..CLASSES).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).expect("classes")
}

#[test]
fn agrees_with_onnx_runtime() {
    let found = open(Arithmetic::F32).run(&excerpt(), FRAME_SAMPLES).expect("runs");
    let difference = greatest_difference(&found, &expected());
    assert!(difference < 1e-4, "{difference}");
}

#[test]
fn fast_arithmetic_finds_the_same_classes() {
    let (found, expected) =
        (open(Arithmetic::Fast).run(&excerpt(), FRAME_SAMPLES).expect("runs"), expected());
    let frames = found.chunks_exact(CLASSES).zip(expected.chunks_exact(CLASSES));
    let others = frames.filter(|(found, expected)| class(found) != class(expected)).count();
    assert!(others <= 3, "{others} of {CHUNK_FRAMES} frames have another class");
    let probabilities = |values: &[f32]| values.iter().map(|x| x.exp()).collect::<Vec<_>>();
    let difference = greatest_difference(&probabilities(&found), &probabilities(&expected));
    assert!(difference < 0.05, "{difference}");
}

/// The fused network and the file's own nodes, which tract computes.
#[test]
fn agrees_with_the_unfused_graph() {
    let chunks = 2;
    let samples = samples(chunks, STEPS[1]);
    let found = open(Arithmetic::F32).run(&samples, STEPS[1]).expect("runs");
    let file = OnnxFile::read(&fixtures::path("segmentation/model.onnx")).expect("reads");
    let shape = [chunks, 1, CHUNK_SAMPLES];
    let unfused = file.full_network(&[shape.map(Dim::from).to_vec()]).expect("builds");
    let windows: Vec<f32> =
        (0..chunks).flat_map(|i| samples[i * STEPS[1]..][..CHUNK_SAMPLES].to_vec()).collect();
    let outputs = unfused.run(vec![engine::tensor(&shape, &windows).expect("fits")]).expect("runs");
    let expected = engine::values::<f32>(&outputs[0]).expect("floats");
    let difference = greatest_difference(&found, expected);
    assert!(difference < 2e-4, "{difference}");
}

/// The bank of filters is shared, states are batched: neither may be seen in the results.
#[test]
fn chunks_do_not_depend_on_their_batch() {
    for arithmetic in [Arithmetic::F32, Arithmetic::Fast] {
        let network = open(arithmetic);
        for step in STEPS {
            let samples = samples(3, step);
            let batch = network.run(&samples, step).expect("runs");
            for (index, found) in batch.chunks_exact(CHUNK_FRAMES * CLASSES).enumerate() {
                let alone = &samples[index * step..][..CHUNK_SAMPLES];
                let alone = network.run(alone, step).expect("runs");
                let difference = greatest_difference(found, &alone);
                assert!(difference < 1e-5, "chunk {index}, step {step}: {difference}");
            }
        }
    }
}

#[test]
fn silence_and_constants_have_probabilities() {
    let network = open(Arithmetic::Fast);
    for level in [0.0, 0.25, 1e-30, -1.0] {
        let scores = network.run(&[level; CHUNK_SAMPLES], FRAME_SAMPLES).expect("runs");
        for frame in scores.chunks_exact(CLASSES) {
            let sum: f32 = frame.iter().map(|score| score.exp()).sum();
            assert!((sum - 1.0).abs() < 1e-4, "{level}: {frame:?}");
        }
    }
    // Nobody speaks in silence.
    let silence = network.run(&[0.0; CHUNK_SAMPLES], FRAME_SAMPLES).expect("runs");
    let speech = silence.chunks_exact(CLASSES).filter(|frame| class(frame) != 0).count();
    assert_eq!(speech, 0);
}

#[test]
fn samples_that_are_no_numbers_fail_nothing() {
    let network = open(Arithmetic::Fast);
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        let mut samples = samples(2, STEPS[1]);
        samples[1000] = odd;
        let found = network.run(&samples, STEPS[1]).expect("runs");
        // The second chunk does not have the sample.
        let second = &found[CHUNK_FRAMES * CLASSES..];
        let alone = network.run(&samples[STEPS[1]..], STEPS[1]).expect("runs");
        assert_eq!(greatest_difference(second, &alone), 0.0, "{odd}");
    }
}

#[test]
fn samples_must_be_whole_chunks() {
    let network = open(Arithmetic::Fast);
    for (length, step) in [
        (0, FRAME_SAMPLES),
        (CHUNK_SAMPLES - 1, FRAME_SAMPLES),
        (CHUNK_SAMPLES + 1, FRAME_SAMPLES),
        (CHUNK_SAMPLES, 0),
        (CHUNK_SAMPLES + 16_000, 16_000),
        (CHUNK_SAMPLES + FRAME_SAMPLES, 2 * FRAME_SAMPLES),
    ] {
        let error = network.run(&vec![0.0; length], step).expect_err("no chunks").to_string();
        assert!(error.contains("chunks"), "{error}");
    }
}

fn message_of(files: &[(&str, Vec<u8>)]) -> String {
    let directory = fixtures::directory(files);
    let Err(error) = SegmentationNetwork::open(directory.path(), "m") else { panic!("opens") };
    let path = directory.path().display().to_string();
    let message = format!("{error}");
    assert!(message.contains(&path), "{message} does not name the file");
    message
}

fn model() -> Vec<u8> {
    fs::read(fixtures::path("segmentation/model.onnx")).expect("model")
}

/// Returns the model with bytes replaced by as many others, wherever they occur.
fn patched(from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = model();
    let found: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
    assert!(!found.is_empty(), "the model has no {from:?}");
    for at in found {
        bytes[at..][..to.len()].copy_from_slice(to);
    }
    bytes
}

#[test]
fn one_file_is_chosen() {
    assert!(message_of(&[]).contains("it has no .onnx file"));
    let two = [("a.onnx", model()), ("b.onnx", model())];
    assert!(message_of(&two).contains("several models"));
    let directory = fixtures::directory(&two[..1]);
    let network = SegmentationNetwork::open(directory.path(), "mine").expect("opens");
    assert_eq!((network.name(), network.digest().len()), ("mine", 64));
}

#[test]
fn odd_files_are_refused() {
    let refuse = |bytes: Vec<u8>, expected: &str| {
        let message = message_of(&[("model.onnx", bytes)]);
        assert!(message.contains(expected), "{message} does not say {expected}");
    };
    refuse(b"no model".to_vec(), "is not a usable ONNX model");
    let mut cut = model();
    cut.truncate(1_000_000);
    refuse(cut, "is not a usable ONNX model");
    for (key, value) in [("sample_rate", "8000"), ("num_speakers", "4"), ("num_classes", "11")] {
        let metadata = fixtures::onnx_metadata(key, value);
        refuse([model(), metadata].concat(), &format!("{key} is `{value}` in its metadata"));
    }
    // Another operator in the place of a layer's.
    refuse(patched(b"\"\x0aLogSoftmax", b"\"\x0aLogSigmoid"), "where LogSoftmax is expected");
    refuse(patched(b"\"\x04LSTM", b"\"\x04GRUX"), "LSTM and 0 linear layers");
    refuse(patched(b"\"\x09LeakyRelu", b"\"\x09ReakyRelu"), "where LeakyRelu is expected");
    refuse(patched(b"\"\x07MaxPool", b"\"\x07MinPool"), "where MaxPool is expected");
    refuse(patched(b"\"\x04Conv", b"\"\x04Quan"), "where Conv is expected");
    // Attributes of other values.
    refuse(patched(b"bidirectional", b"xidirectional"), "(LSTM) is another");
    refuse(patched(b"hidden_size\x18\x80\x01", b"hidden_size\x18\x81\x01"), "not [2, 516, 60]");
    refuse(patched(b"strides@\x0a", b"strides@\x0b"), "(Conv) is another");
    refuse(patched(b"strides@\x03", b"strides@\x02"), "(MaxPool) is another");
    // The shape of the recurrent weights: [2, 1024, 64] has as many values as [2, 512, 128].
    refuse(
        patched(b"\x08\x02\x08\x80\x04\x08\x80\x01", b"\x08\x02\x08\x80\x08\x08\xc0\x00"),
        "is [2, 1024, 64], not [2, 512, 128]",
    );
}

#[test]
fn another_network_is_refused() {
    let bytes = fixtures::gunzip("campplus/model.onnx.gz");
    let message = message_of(&[("model.onnx", bytes)]);
    assert!(message.contains("is not a network like segmentation-3.0"), "{message}");
}

#[test]
fn a_bank_of_sines_is_computed() {
    let read = |name: &str| OnnxFile::read(&fixtures::path(name)).expect(name);
    let bank = |file: &OnnxFile| {
        let node = file.nodes().iter().find(|node| node.op() == "Conv").expect("a convolution");
        constants::array(file, node, 1).expect("a bank")
    };
    let (computed, stored) =
        (bank(&read("segmentation/sines.onnx")), bank(&read("segmentation/model.onnx")));
    assert_eq!((&computed.shape[..], &stored.shape[..]), (&[80, 1, 251][..], &[80, 1, 251][..]));
    // The stored ones have 16 bits.
    let difference = greatest_difference(&computed.values, &stored.values);
    assert!(difference < 1e-3, "{difference}");
}
