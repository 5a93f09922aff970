//! Profiles: fused operators have as many MACs as the nodes that they replace, and unfused nodes
//! are reported.

use super::*;
use crate::{MacCounts, onnx::unfused::report_unfused, profile::profile};

/// Returns inputs and outputs of encoder and predictor.
fn encoder(file: &OnnxFile) -> ([Input<'_>; 2], [&str; 1]) {
    let inputs = [
        Input::new("speech", [1.into(), "frames".into(), 560.into()]),
        Input::full_length("speech_lengths", "frames"),
    ];
    let output = file.nodes().iter().find(|node| node.name() == "/predictor/cif_output/Add");
    (inputs, [output.expect("the predictor").output()])
}

fn macs(network: &OnnxNetwork, frames: usize) -> MacCounts {
    let speech = crate::tensor(&[1, frames, 560], &vec![0.5f32; frames * 560]).expect("speech");
    let (result, profile) = profile(|| network.run(vec![speech]));
    result.expect("runs");
    let mut all = MacCounts::default();
    profile.runs.iter().flat_map(|run| &run.operators).for_each(|time| all += time.macs);
    all
}

#[test]
fn fused_operators_have_the_macs_of_the_nodes_they_replace() {
    for name in ["model", "model_quant"] {
        let file = fixture("paraformer", name);
        let (inputs, outputs) = encoder(&file);
        let [fused, unfused] = [Fusion::All, Fusion::None].map(|fusion| {
            let network = file.network_with(&inputs, &outputs, fusion).expect("the encoder");
            macs(&network, 40)
        });
        assert_eq!(fused.int8, unfused.int8, "{name}");
        // Attention may compute in bfloat16.
        assert_eq!(fused.bf16 + fused.f32, unfused.f32, "{name}");
        assert_eq!(fused.int8 > 0, name.contains("quant"));
    }
}

#[test]
fn unfused_nodes_of_large_networks_are_reported() {
    for (name, kinds) in [
        ("model", &["MatMul", "Softmax"][..]),
        ("model_quant", &["DynamicQuantizeLinear", "MatMulInteger", "Softmax"]),
    ] {
        let file = fixture("paraformer", name);
        let (inputs, outputs) = encoder(&file);
        let report = |fusion, min_macs| {
            let (model, unfused) =
                file.typed_model(&inputs, &outputs, fusion).expect("the encoder");
            report_unfused(&model, &unfused, min_macs)
        };
        assert_eq!(report(Fusion::All, 1), None, "{name}");
        let unfused = report(Fusion::None, 1).expect("a report");
        for kind in kinds {
            assert!(unfused.contains(kind) && unfused.contains("/encoder"), "{unfused}");
        }
        // Small networks are not reported.
        assert_eq!(report(Fusion::None, u64::MAX), None);
    }
}
