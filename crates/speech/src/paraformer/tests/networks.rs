//! Each network and stage against ONNX Runtime's outputs.

use std::{fs, sync::Arc};

use engine::OnnxFile;
use serde::Deserialize;

use super::model_file;
use crate::{
    fixtures,
    funasr::Vocabulary,
    npz::{Npz, features},
    paraformer::{
        anchors::Anchors,
        cif::{CifOutput, CifVariant},
        decode::greedy,
        hotwords::{HotwordEmbedder, HotwordEmbeddings, HotwordTokenizer},
        network::Networks,
        timestamps::by_predictor,
    },
};

const MODELS: [&str; 4] = ["paraformer", "paraformer-loop", "bicif", "seaco"];
const FRAMES: [usize; 4] = [1, 7, 93, 200];
const PRECISIONS: [(&str, &str); 2] = [("f32", "model.onnx"), ("int8", "model_quant.onnx")];

fn open_file(model: &str, file: &str) -> OnnxFile {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(file);
    fs::write(&path, model_file(model, file)).unwrap();
    OnnxFile::read(&path).unwrap()
}

fn reference(model: &str) -> Npz {
    Npz::open(&fixtures::path(&format!("funasr/{model}/reference.npz")))
}

fn largest_difference(actual: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(actual.len(), expected.len());
    actual.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, |largest, difference| {
        assert!(difference.is_finite());
        f32::max(largest, difference)
    })
}

fn ids(logits: &[f32]) -> Vec<usize> {
    let best = |row: &[f32]| (0..32).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    logits.chunks(32).map(best).collect()
}

/// Returns the hotword embeddings that `make.py` passed to the model.
fn hotwords(npz: &Npz, frames: usize) -> Option<HotwordEmbeddings> {
    let given = npz.get(&format!("{frames}/in/bias_embed"))?;
    Some(HotwordEmbeddings { values: given.f32(), count: given.shape[1] })
}

/// Runs all networks: returns the integrated tokens, the log-probabilities, and the weights of the
/// second predictor.
fn run(
    networks: &Networks,
    npz: &Npz,
    frames: usize,
) -> (CifOutput, Option<Vec<f32>>, Option<Vec<f32>>) {
    let encoded = networks.encode(&features(frames)).unwrap();
    let fired = networks.integrate(&encoded).unwrap();
    if fired.tokens == 0 {
        return (fired, None, None);
    }
    let given = hotwords(npz, frames);
    let logits = networks.decode(&encoded, &fired, given.as_ref()).unwrap();
    let upsampled = networks.upsampled(&encoded, fired.tokens).unwrap();
    (fired, Some(logits.values), upsampled)
}

#[test]
fn anchors_are_found_by_topology() {
    for model in MODELS {
        for (precision, name) in PRECISIONS {
            let anchors = Anchors::find(&open_file(model, name)).expect(model);
            let cumulative = model == "paraformer";
            let variant = if cumulative { CifVariant::Cumulative } else { CifVariant::Sequential };
            assert_eq!(anchors.variant, variant, "{model} {precision}");
            assert_eq!(anchors.upsampled.is_some(), matches!(model, "bicif" | "seaco"));
            assert_eq!(
                anchors.hotwords.as_ref().map(|hotwords| hotwords.max_best),
                (model == "seaco").then_some(51)
            );
        }
    }
    for other in ["ct-punc", "sensevoice"] {
        Anchors::find(&open_file(other, "model.onnx")).expect_err(other);
    }
}

#[test]
fn floats_agree_with_onnx_runtime() {
    for model in MODELS {
        let npz = reference(model);
        let networks = Networks::open(&open_file(model, "model.onnx"), 560).unwrap();
        assert_eq!(networks.vocabulary(), 32);
        for frames in FRAMES {
            let (fired, logits, upsampled) = run(&networks, &npz, frames);
            let key = format!("{frames}/f32");
            // ONNX Runtime fails if there is no token, so the reference has no outputs.
            let Some(expected) = npz.get(&format!("{key}/logits")) else {
                assert_eq!(fired.tokens, 0, "{model} {key}");
                continue;
            };
            assert_eq!(npz[format!("{key}/token_num").as_str()].i32(), [fired.tokens as i32]);
            let embeddings = npz[format!("{key}/embeddings").as_str()].f32();
            assert!(largest_difference(&fired.embeddings, &embeddings) < 1e-4, "{model} {key}");
            let (logits, expected) = (logits.unwrap(), expected.f32());
            assert_eq!(ids(&logits), ids(&expected), "{model} {key}");
            assert!(largest_difference(&logits, &expected) < 1e-3, "{model} {key}");
            let Some(expected) = npz.get(&format!("{key}/us_alphas")) else { continue };
            let upsampled = upsampled.unwrap();
            assert!(largest_difference(&upsampled, &expected.f32()) < 1e-4, "{model} {key}");
        }
    }
}

/// Quantized networks magnify the last bit of a float, and these have random weights: ONNX Runtime
/// differs from itself by 0.3 with other optimizations. So we compare errors, not values.
#[test]
fn int8_is_as_close_to_float_as_onnx_runtimes() {
    for model in MODELS {
        let npz = reference(model);
        let networks = Networks::open(&open_file(model, "model_quant.onnx"), 560).unwrap();
        let (mut own, mut theirs, mut between) = (0f64, 0f64, 0f64);
        let mut count = 0;
        for frames in FRAMES {
            let (_, logits, _) = run(&networks, &npz, frames);
            let of = |precision| npz.get(&format!("{frames}/{precision}/logits"));
            let (Some(float), Some(int8), Some(logits)) = (of("f32"), of("int8"), logits) else {
                continue;
            };
            let (float, int8) = (float.f32(), int8.f32());
            if float.len() != int8.len() || float.len() != logits.len() {
                // The numbers of tokens differ.
                continue;
            }
            let squares = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
            };
            own += squares(&logits, &float);
            theirs += squares(&int8, &float);
            between += squares(&logits, &int8);
            count += logits.len();
        }
        assert!(count > 1000, "{model}: {count}");
        let [own, theirs, between] = [own, theirs, between].map(|sum| (sum / count as f64).sqrt());
        eprintln!("{model}: {own:.4} from float, ONNX Runtime {theirs:.4}, {between:.4} from it");
        assert!(own <= 1.1 * theirs, "{model}: {own} > {theirs}");
    }
}

/// From a file of floats, bf16 is much closer to f32 than int8, and int8 is as close as the file
/// that FunASR's exporter quantized.
#[test]
fn file_of_floats_runs_in_any_precision() {
    for model in MODELS {
        let npz = reference(model);
        let distances = [engine::Precision::Bf16, engine::Precision::Int8].map(|precision| {
            let file = open_file(model, "model.onnx").with_precision(precision);
            let networks = Networks::open(&file, 560).unwrap();
            let (mut squares, mut largest, mut count, mut same) = (0f64, 0f32, 0, 0);
            for frames in FRAMES {
                let (_, logits, _) = run(&networks, &npz, frames);
                let float = npz.get(&format!("{frames}/f32/logits")).map(|float| float.f32());
                let (Some(float), Some(logits)) = (float, logits) else { continue };
                if float.len() != logits.len() {
                    continue;
                }
                let found = ids(&logits).into_iter().zip(ids(&float));
                same += found.filter(|(a, b)| a == b).count();
                for (a, b) in logits.iter().zip(&float) {
                    squares += f64::from(a - b).powi(2);
                    largest = largest.max((a - b).abs());
                }
                count += float.len();
            }
            assert!(count > 1000, "{model}, {precision:?}: {count}");
            let distance = (squares / count as f64).sqrt();
            let agreement = 100.0 * same as f64 / (count / 32) as f64;
            eprintln!(
                "{model}, {precision:?}: {distance:.4}, at most {largest:.4}, {agreement:.0} %"
            );
            distance
        });
        assert!(distances[0] < 0.05 && distances[1] < 0.25, "{model}: {distances:?}");
        assert!(3.0 * distances[0] < distances[1], "{model}: {distances:?}");
    }
}

#[test]
fn hotword_embeddings_match_onnx_runtime() {
    let npz = reference("seaco");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model_eb.onnx");
    fs::write(&path, model_file("seaco", "model_eb.onnx")).unwrap();
    let embedder = HotwordEmbedder::open(&path, 64, 32).unwrap();
    let vocabulary = Vocabulary::open(&fixtures::path("funasr")).unwrap();
    let tokenizer = HotwordTokenizer::new(Arc::new(vocabulary), None).unwrap();
    // The first two rows of `hotwords/in`; the third row is the "no hotword" that ends every list.
    let list: Arc<[String]> = ["丂七丄", "丆万"].map(str::to_owned).into();
    let embeddings = embedder.embed_list(&list, &tokenizer).unwrap();
    assert!(Arc::ptr_eq(&embeddings, &embedder.embed_list(&list, &tokenizer).unwrap()), "cached");
    let states = npz["hotwords/out"].f32();
    let expected: Vec<f32> = [(2, 0), (1, 1), (0, 2)]
        .into_iter()
        .flat_map(|(last, word)| states[(last * 3 + word) * 64..][..64].to_vec())
        .collect();
    assert_eq!(embeddings.count, 3);
    assert!(largest_difference(&embeddings.values, &expected) < 1e-5);
}

/// Tokens and times that FunASR's own code computes from the outputs of ONNX Runtime.
#[derive(Deserialize)]
struct Export {
    model: String,
    frames: usize,
    tokens: Vec<u32>,
    times: Vec<[i64; 2]>,
}

#[test]
fn tokens_and_times_match_funasr() {
    let exports: Vec<Export> = fixtures::json("funasr-text/exports.json");
    assert!(exports.len() > 3);
    for Export { model, frames, tokens, times } in exports {
        let networks = Networks::open(&open_file(&model, "model.onnx"), 560).unwrap();
        let npz = reference(&model);
        let encoded = networks.encode(&features(frames)).unwrap();
        let fired = networks.integrate(&encoded).unwrap();
        let given = hotwords(&npz, frames);
        let logits = networks.decode(&encoded, &fired, given.as_ref()).unwrap();
        let found: Vec<u32> = greedy(&logits, 1).into_iter().map(|token| token.id).collect();
        assert_eq!(found, tokens, "{model} {frames}");
        let weights = networks.upsampled(&encoded, fired.tokens).unwrap().unwrap();
        let spans = by_predictor(&weights, tokens.len());
        for (span, expected) in spans.iter().zip(&times) {
            // A fire at the border of two steps may differ by one step.
            let [start, end] = [span.start, span.end].map(|time| (time * 1000.0) as i64);
            let [first, last] = expected;
            assert!(
                (start - first).abs() <= 20 && (end - last).abs() <= 20,
                "{span:?} {expected:?}"
            );
        }
        assert_eq!(spans.len(), times.len());
    }
}
