//! What fused operators multiply is what the graphs multiply that they replace, and what no rule
//! fused is noticed.

use std::io::Read;

use super::{super::file::Fused, *};
use crate::{
    Products,
    profile::{generic_operators, record},
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

/// Encoder and predictor.
fn encoder(file: &OnnxFile) -> ([Input<'_>; 2], [&str; 1]) {
    let inputs = [
        Input::new("speech", [1.into(), "frames".into(), 560.into()]),
        Input::full_length("speech_lengths", "frames"),
    ];
    let output = file.nodes().iter().find(|node| node.name() == "/predictor/cif_output/Add");
    (inputs, [output.expect("the predictor").output()])
}

fn products(network: &OnnxNetwork, frames: usize) -> Products {
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
        let (inputs, outputs) = encoder(&file);
        let [fused, unfused] = [Fused::All, Fused::None].map(|fused| {
            let network = file.network_with(&inputs, &outputs, fused).expect("the encoder");
            products(&network, 40)
        });
        assert_eq!(fused.int8, unfused.int8, "{name}");
        // Attention may be in bfloat16.
        assert_eq!(fused.bf16 + fused.f32, unfused.f32, "{name}");
        assert_eq!(fused.int8 > 0, name.contains("quant"));
    }
}

#[test]
fn what_no_rule_fused_is_named_where_it_matters() {
    for (name, kinds) in [
        ("model.onnx.gz", &["MatMul", "Softmax"][..]),
        ("model_quant.onnx.gz", &["DynamicQuantizeLinear", "MatMulInteger", "Softmax"]),
    ] {
        let file = open("paraformer", name);
        let (inputs, outputs) = encoder(&file);
        let named = |fused, hot| {
            let (model, left) = file.typed(&inputs, &outputs, fused).expect("the encoder");
            generic_operators(&model, &left, hot)
        };
        assert_eq!(named(Fused::All, 1), None, "{name}");
        let unfused = named(Fused::None, 1).expect("much is left");
        for kind in kinds {
            assert!(unfused.contains(kind) && unfused.contains("/encoder"), "{unfused}");
        }
        // Small networks may be as they like.
        assert_eq!(named(Fused::None, u64::MAX), None);
    }
}
