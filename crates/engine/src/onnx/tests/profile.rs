//! What fused operators multiply is what the graphs multiply that they replace, and what no rule
//! fused is noticed.

use std::io::Read;

use super::*;
use crate::{
    Products,
    profile::{left_generic, record},
};

fn open(model: &str, name: &str) -> OnnxFile {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/funasr");
    let packed = std::fs::read(fixtures.join(model).join(name)).expect("a fixture");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&*packed).read_to_end(&mut bytes).expect("gzip");
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("model.onnx");
    std::fs::write(&path, bytes).expect("write model");
    OnnxFile::read(&path).expect("a model")
}

/// Encoder and predictor, fused or not.
fn encoder(file: &OnnxFile, fused: bool) -> Onnx {
    let inputs = [
        Input::new("speech", [1.into(), "frames".into(), 560.into()]),
        Input::full_length("speech_lengths", "frames"),
    ];
    let output = file.nodes().iter().find(|node| node.name() == "/predictor/cif_output/Add");
    let output = output.expect("the predictor").output();
    file.network_with(&inputs, &[output], fused).expect("the encoder")
}

fn products(network: &Onnx, frames: usize) -> Products {
    let speech = crate::tensor(&[1, frames, 560], &vec![0.5f32; frames * 560]).expect("speech");
    let (result, recording) = record(|| network.run(vec![speech]));
    result.expect("runs");
    let mut all = Products::default();
    recording.runs.iter().flat_map(|run| &run.operators).for_each(|time| all += time.products);
    all
}

#[test]
fn fused_operators_multiply_as_much_as_what_they_replace() {
    for name in ["model.onnx.gz", "model_quant.onnx.gz"] {
        let file = open("paraformer", name);
        let [fused, unfused] = [true, false].map(|fused| products(&encoder(&file, fused), 40));
        assert_eq!(fused, unfused, "{name}");
        assert_eq!(fused.int8 > 0, name.contains("quant"));
    }
}

#[test]
fn what_no_rule_fused_is_named_where_it_matters() {
    for (name, kind) in [("model.onnx.gz", "MatMul"), ("model_quant.onnx.gz", "Softmax")] {
        let file = open("paraformer", name);
        let left = |fused| left_generic(encoder(&file, fused).runner.model(), 1);
        assert_eq!(left(true), None, "{name}");
        let unfused = left(false).expect("much is left");
        assert!(unfused.contains(kind) && unfused.contains("/encoder"), "{unfused}");
        // Small networks may be as they like.
        assert_eq!(left_generic(encoder(&file, false).runner.model(), u64::MAX), None);
    }
}
