//! f32 files that are quantized at load, compared with those that FunASR's exporter quantized.

use std::collections::BTreeSet;

use super::*;
use crate::onnx::{graph::Graph, lazy, quantize};

/// Returns the names of the weights and zero points of all quantized matmuls.
fn matmuls(graph: &Graph) -> BTreeSet<[String; 2]> {
    let nodes = graph.nodes.iter().filter(|node| node.op() == "MatMulInteger");
    nodes.map(|node| [1, 3].map(|index| node.input(index).expect("weights").to_owned())).collect()
}

fn count(graph: &Graph, op: &str) -> usize {
    graph.nodes.iter().filter(|node| node.op() == op).count()
}

#[test]
fn weights_equal_those_of_funasrs_exporter_bit_by_bit() {
    for model in ["paraformer", "paraformer-loop", "bicif", "seaco", "sensevoice", "ct-punc"] {
        let (file, theirs) = (fixture(model, "model"), fixture(model, "model_quant"));
        let (mut ours, theirs) = (file.graph, theirs.graph);
        quantize::quantize(&mut ours);
        let names = matmuls(&theirs);
        assert!(names.len() > 7, "{model}: {names:?}");
        assert_eq!(matmuls(&ours), names, "{model}");
        for op in ["MatMulInteger", "MatMul", "DynamicQuantizeLinear"] {
            assert_eq!(count(&ours, op), count(&theirs, op), "{model}: {op}");
        }
        for [weights, zero_points] in &names {
            let scales = weights.replace("_quantized", "_scale");
            for name in [weights, zero_points, &scales] {
                let [ours, theirs] = [&ours, &theirs].map(|graph| {
                    let constant = graph.constants.get(name).expect(name);
                    lazy::load(constant).expect("values")
                });
                assert!(ours == theirs, "{model}: {name}");
            }
        }
    }
}

#[test]
fn outputs_equal_those_of_the_exporters_file() {
    let x = crate::tensor(&[1, 9, 560], &super::npz::features(9)).expect("features");
    let run = |file: OnnxFile| {
        let names: Vec<&str> = file.inputs().iter().map(|port| port.name.as_str()).collect();
        let [speech, lengths, language, style] = names[..] else { panic!("{names:?}") };
        let inputs = [
            Input::new(speech, [1.into(), "rows".into(), 560.into()]),
            Input::full_length(lengths, "rows"),
            Input::new(language, [1.into()]),
            Input::new(style, [1.into()]),
        ];
        let network = file.network(&inputs, &[&file.outputs()[0].name]).expect("a network");
        let number = |number: i32| crate::tensor(&[1], &[number]).expect("a number");
        let outputs = network.run(vec![x.clone(), number(0), number(15)]).expect("runs");
        crate::values::<f32>(&outputs[0]).expect("floats").to_vec()
    };
    let theirs = run(fixture("sensevoice", "model_quant"));
    assert_eq!(run(fixture("sensevoice", "model").with_precision(Precision::Int8)), theirs);
}
