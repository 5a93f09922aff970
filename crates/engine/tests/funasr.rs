//! Parts of FunASR's networks, cut as the recognizers cut them, compared with ONNX Runtime's
//! outputs (`tests/fixtures/funasr/make.py`).

#[path = "../../../tests/support/npz.rs"]
mod npz;

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use engine::{ComputeType, Dim, Input, OnnxFile, OnnxNetwork, OnnxNode, Tensor};
use npz::Npz;

const FRAMES: [usize; 4] = [1, 7, 93, 200];
const PRECISIONS: [(&str, &str); 2] = [("f32", "model"), ("int8", "model_quant")];

fn folder(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/funasr").join(model)
}

fn open(model: &str, file: &str) -> OnnxFile {
    let packed = std::fs::read(folder(model).join(format!("{file}.onnx.gz"))).expect("a fixture");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&*packed).read_to_end(&mut bytes).expect("gzip");
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("model.onnx");
    std::fs::write(&path, bytes).expect("write model");
    // ONNX Runtime computes attention in f32.
    OnnxFile::read(&path).expect("an ONNX file").with_compute_type(ComputeType::F32)
}

fn reference(model: &str) -> Npz {
    Npz::open(&folder(model).join("reference.npz"))
}

fn features(frames: usize) -> Tensor {
    engine::tensor(&[1, frames, 560], &npz::features(frames)).expect("features")
}

fn tensor(npz: &Npz, name: &str) -> Tensor {
    let array = &npz[name];
    engine::tensor(&array.shape, &array.f32()).expect("a tensor")
}

fn node<'a>(file: &'a OnnxFile, name: &str) -> &'a OnnxNode {
    file.nodes().iter().find(|node| node.name() == name).unwrap_or_else(|| panic!("no {name}"))
}

fn largest_difference(actual: &Tensor, expected: &[f32]) -> f32 {
    let actual = engine::values::<f32>(actual).expect("floats");
    assert_eq!(actual.len(), expected.len());
    actual.iter().zip(expected).fold(0f32, |most, (a, b)| {
        let difference = (a - b).abs();
        assert!(difference.is_finite());
        most.max(difference)
    })
}

/// Asserts that our int8 output is as close to f32 as ONNX Runtime's int8 output is. A comparison of
/// the two says little: end to end, int8 is chaotic, and if one activation changes by one step, ONNX
/// Runtime does not reproduce its own output either.
fn assert_as_close(ours: &Tensor, theirs: &[f32], exact: &[f32], what: &str) {
    let ours = rms(engine::values(ours).expect("floats"), exact);
    let theirs = rms(theirs, exact);
    assert!(ours <= 1.15 * theirs + 1e-6, "{what}: {ours:.1e} from f32, ONNX Runtime {theirs:.1e}");
}

/// Returns the root mean square of the differences.
fn rms(values: &[f32], exact: &[f32]) -> f64 {
    let squares = values.iter().zip(exact).map(|(a, b)| f64::from(a - b).powi(2));
    (squares.sum::<f64>() / exact.len() as f64).sqrt()
}

fn argmax(rows: &[f32], width: usize) -> Vec<usize> {
    let best = |row: &[f32]| (0..width).max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("a row");
    rows.chunks(width).map(best).collect()
}

/// Tensors at which Paraformers are cut.
struct Anchors {
    encoder: String,
    alphas: String,
    embeddings: String,
    width: usize,
}

fn anchors(file: &OnnxFile) -> Anchors {
    let encoder = node(file, "/encoder/after_norm/Add_1").output().to_owned();
    let alphas = node(file, "/predictor/cif_output/Add").output().to_owned();
    let first =
        |node: &&OnnxNode| node.name().starts_with("/decoder/decoders/decoders.0/norm1/Red");
    let first = file.nodes().iter().find(first).expect("the first norm of the decoder");
    let norm = node(file, "/encoder/after_norm/Add_1").inputs();
    let width = norm.iter().find_map(|input| file.constant(input)).expect("a bias").len();
    Anchors { encoder, alphas, embeddings: first.input(0).expect("an input").to_owned(), width }
}

fn speech() -> Vec<Input<'static>> {
    vec![
        Input::new("speech", [1.into(), "frames".into(), 560.into()]),
        Input::full_length("speech_lengths", "frames"),
    ]
}

fn encoder(file: &OnnxFile, anchors: &Anchors) -> OnnxNetwork {
    let outputs = [anchors.encoder.as_str(), anchors.alphas.as_str()];
    file.network(&speech(), &outputs).expect("the encoder and predictor")
}

#[test]
fn encoders_and_predictors() {
    for model in ["paraformer", "paraformer-loop", "bicif", "seaco"] {
        let npz = reference(model);
        for (precision, file) in PRECISIONS {
            let file = open(model, file);
            let anchors = anchors(&file);
            let network = encoder(&file, &anchors);
            for frames in FRAMES {
                let outputs = network.run(vec![features(frames)]).expect("runs");
                assert_eq!(outputs[0].shape(), [1, frames, anchors.width]);
                assert_eq!(outputs[1].shape(), [1, frames, 1]);
                let allowed = if precision == "f32" { 1e-4 } else { 0.05 };
                for (name, output) in [("encoder", &outputs[0]), ("cif_logits", &outputs[1])] {
                    let Some(expected) = npz.get(&format!("{frames}/{precision}/{name}")) else {
                        continue;
                    };
                    let difference = largest_difference(output, &expected.f32());
                    let what = format!("{model} {precision} {frames} {name}");
                    assert!(difference < allowed, "{what}: {difference}");
                    let exact = npz[format!("{frames}/f32/{name}").as_str()].f32();
                    assert_as_close(output, &expected.f32(), &exact, &what);
                }
            }
        }
    }
}

#[test]
fn decoders() {
    for model in ["paraformer", "paraformer-loop", "bicif"] {
        let npz = reference(model);
        for (precision, file) in PRECISIONS {
            let file = open(model, file);
            let anchors = anchors(&file);
            let first = encoder(&file, &anchors);
            let tokens = || Dim::from("tokens");
            let inputs = [
                Input::new(&anchors.embeddings, [1.into(), tokens(), anchors.width.into()]),
                Input::new(&anchors.encoder, [1.into(), "frames".into(), anchors.width.into()]),
                Input::full_length("token_num", "tokens"),
                Input::full_length("speech_lengths", "frames"),
            ];
            let network = file.network(&inputs, &["logits"]).expect("the decoder");
            for frames in FRAMES {
                let key = format!("{frames}/{precision}");
                let Some(expected) = npz.get(&format!("{key}/logits")) else { continue };
                let encoded = first.run(vec![features(frames)]).expect("runs").swap_remove(0);
                let embeddings = tensor(&npz, &format!("{key}/embeddings"));
                let outputs = network.run(vec![embeddings, encoded]).expect("runs");
                assert_eq!(outputs[0].shape(), expected.shape);
                let expected = expected.f32();
                let difference = largest_difference(&outputs[0], &expected);
                let tokens = argmax(engine::values(&outputs[0]).expect("floats"), 32);
                if precision == "f32" {
                    assert!(difference < 1e-3, "{model} {key}: {difference}");
                    assert_eq!(tokens, argmax(&expected, 32), "{model} {key}");
                } else {
                    assert!(difference < 0.2, "{model} {key}: {difference}");
                }
            }
        }
    }
}

/// BiCif's second predictor: a convolution to three times the frames and a bidirectional LSTM. The
/// test scales its weights to the number of tokens, as the recognizer does outside of the network.
#[test]
fn timestamps() {
    for model in ["bicif", "seaco"] {
        let npz = reference(model);
        for (precision, file) in PRECISIONS {
            let file = open(model, file);
            let anchors = anchors(&file);
            let scaled = file.producer("us_alphas").expect("a product");
            let alphas = scaled.input(0).expect("an input");
            let frames_by_width = [1.into(), "frames".into(), anchors.width.into()];
            let inputs = [
                Input::new(&anchors.encoder, frames_by_width),
                Input::full_length("speech_lengths", "frames"),
            ];
            let network = file.network(&inputs, &[alphas]).expect("the second predictor");
            let first = encoder(&file, &anchors);
            for frames in FRAMES {
                let encoded = first.run(vec![features(frames)]).expect("runs").swap_remove(0);
                let outputs = network.run(vec![encoded]).expect("runs");
                assert_eq!(outputs[0].shape(), [1, 3 * frames]);
                let key = format!("{frames}/{precision}");
                let Some(expected) = npz.get(&format!("{key}/us_alphas")) else { continue };
                let tokens = npz[format!("{key}/token_num").as_str()].i32()[0] as f32;
                let weights = engine::values::<f32>(&outputs[0]).expect("floats");
                let sum: f32 = weights.iter().sum();
                let weights: Vec<_> =
                    weights.iter().map(|weight| weight * (tokens / sum)).collect();
                let weights = engine::tensor(&[1, 3 * frames], &weights).expect("a tensor");
                let difference = largest_difference(&weights, &expected.f32());
                assert!(difference < if precision == "f32" { 1e-6 } else { 1e-3 }, "{model} {key}");
            }
        }
    }
}

#[test]
fn hotword_decoder() {
    let npz = reference("seaco");
    for (precision, file) in PRECISIONS {
        let file = open("seaco", file);
        let anchors = anchors(&file);
        let width = anchors.width;
        let inputs = [
            Input::new(&anchors.embeddings, [1.into(), "tokens".into(), width.into()]),
            Input::new(&anchors.encoder, [1.into(), "frames".into(), width.into()]),
            Input::new("bias_embed", [1.into(), "hotwords".into(), width.into()]),
            Input::full_length("token_num", "tokens"),
            Input::full_length("speech_lengths", "frames"),
        ];
        let network = file.network(&inputs, &["logits"]).expect("the decoders");
        let first = encoder(&file, &anchors);
        for frames in FRAMES {
            let key = format!("{frames}/{precision}");
            let Some(expected) = npz.get(&format!("{key}/logits")) else { continue };
            let encoded = first.run(vec![features(frames)]).expect("runs").swap_remove(0);
            let embeddings = tensor(&npz, &format!("{key}/embeddings"));
            let hotwords = tensor(&npz, &format!("{frames}/in/bias_embed"));
            let outputs = network.run(vec![embeddings, encoded, hotwords]).expect("runs");
            assert_eq!(outputs[0].shape(), expected.shape);
            let expected = expected.f32();
            let difference = largest_difference(&outputs[0], &expected);
            assert!(difference < if precision == "f32" { 1e-3 } else { 0.2 }, "{key}");
            if precision == "f32" {
                let tokens = argmax(engine::values(&outputs[0]).expect("floats"), 32);
                assert_eq!(tokens, argmax(&expected, 32), "{key}");
            }
        }
    }
}

#[test]
fn hotword_embedder() {
    let npz = reference("seaco");
    let file = open("seaco", "model_eb");
    let network = file
        .network(&[Input::new("hotword", ["hotwords".into(), 10.into()])], &["hw_embed"])
        .expect("the embedder");
    let words = &npz["hotwords/in"];
    let words = engine::tensor(&words.shape, &words.i32()).expect("a tensor");
    let outputs = network.run(vec![words]).expect("runs");
    let expected = &npz["hotwords/out"];
    assert_eq!(outputs[0].shape(), expected.shape);
    assert!(largest_difference(&outputs[0], &expected.f32()) < 1e-5);
}

#[test]
fn sensevoice() {
    let npz = reference("sensevoice");
    for (precision, file) in PRECISIONS {
        let file = open("sensevoice", file);
        let mut inputs = speech();
        inputs.extend(["language", "textnorm"].map(|name| Input::new(name, [1.into()])));
        let network = file.network(&inputs, &["ctc_logits"]).expect("the network");
        for frames in FRAMES {
            let number = |n: i32| engine::tensor(&[1], &[n]).expect("a tensor");
            let given = vec![features(frames), number(0), number(15)];
            let outputs = network.run(given).expect("runs");
            let expected = &npz[format!("{frames}/{precision}/ctc_logits").as_str()];
            assert_eq!(outputs[0].shape(), expected.shape);
            let difference = largest_difference(&outputs[0], &expected.f32());
            let what = format!("sensevoice {precision} {frames}");
            assert!(difference < if precision == "f32" { 1e-4 } else { 0.1 }, "{what}");
            let exact = npz[format!("{frames}/f32/ctc_logits").as_str()].f32();
            assert_as_close(&outputs[0], &expected.f32(), &exact, &what);
        }
    }
}

/// Attention in bfloat16 changes results by no more than quantization does.
#[test]
fn attention_in_bf16() {
    for model in ["paraformer", "bicif", "seaco"] {
        let npz = reference(model);
        for (precision, file) in PRECISIONS {
            let file = open(model, file).with_compute_type(ComputeType::Bf16);
            let network = encoder(&file, &anchors(&file));
            for frames in FRAMES {
                let key = |precision| format!("{frames}/{precision}/encoder");
                let (Some(exact), Some(int8)) = (npz.get(&key("f32")), npz.get(&key("int8")))
                else {
                    continue;
                };
                let outputs = network.run(vec![features(frames)]).expect("runs");
                let found = engine::values(&outputs[0]).expect("floats");
                let allowed = if precision == "f32" { 1.0 } else { 2.0 };
                let (found, int8) = (rms(found, &exact.f32()), rms(&int8.f32(), &exact.f32()));
                assert!(found < allowed * int8, "{model} {precision} {frames}: {found} {int8}");
                // It did compute in bfloat16.
                assert!(precision == "int8" || found > 1e-4, "{model} {frames}: {found}");
            }
        }
    }
}

#[test]
fn punctuation() {
    let npz = reference("ct-punc");
    for (precision, file) in PRECISIONS {
        let file = open("ct-punc", file);
        let inputs = [
            Input::new("inputs", [1.into(), "words".into()]),
            Input::full_length("text_lengths", "words"),
        ];
        let network = file.network(&inputs, &["logits"]).expect("the network");
        for words in [1, 20, 120] {
            let given = &npz[format!("{words}/in/inputs").as_str()];
            let given = engine::tensor(&given.shape, &given.i32()).expect("a tensor");
            let outputs = network.run(vec![given]).expect("runs");
            let expected = &npz[format!("{words}/{precision}/logits").as_str()];
            assert_eq!(outputs[0].shape(), expected.shape);
            let difference = largest_difference(&outputs[0], &expected.f32());
            assert!(difference < 1e-4, "ct-punc {precision} {words}: {difference}");
        }
    }
}

#[test]
fn unusual_inputs_do_not_panic() {
    for (_, file) in PRECISIONS {
        let file = open("paraformer", file);
        let anchors = anchors(&file);
        let network = encoder(&file, &anchors);
        for value in [0.0, f32::NAN, f32::INFINITY, f32::MAX, 1e-40] {
            let mut values = vec![value; 3 * 560];
            values[7] = 1.0;
            let x = engine::tensor(&[1, 3, 560], &values).expect("a tensor");
            assert_eq!(network.run(vec![x]).expect("runs")[0].shape(), [1, 3, anchors.width]);
        }
        // An empty input may fail, but must not panic.
        let _ = network.run(vec![engine::tensor::<f32>(&[1, 0, 560], &[]).expect("a tensor")]);
        for wrong in [&[2, 3, 560][..], &[1, 3, 559], &[3, 560]] {
            let x = engine::tensor(wrong, &vec![0f32; wrong.iter().product()]).expect("a tensor");
            assert!(network.run(vec![x]).is_err(), "{wrong:?}");
        }
    }
}
