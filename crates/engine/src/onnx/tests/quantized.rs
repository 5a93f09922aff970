//! Files of floats that are quantized when they are opened, against those that FunASR's exporter
//! quantized.

use std::collections::BTreeSet;

use super::{
    super::{graph::Graph, quantize, stored},
    fused::fixtures,
    *,
};
use crate::Precision;

fn fixture(model: &str, name: &str) -> OnnxFile {
    let packed = std::fs::read(fixtures().join(model).join(format!("{name}.onnx.gz")));
    let mut bytes = Vec::new();
    let packed = packed.expect("read");
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*packed), &mut bytes)
        .expect("gzip");
    OnnxFile::parse(Path::new(model), &bytes).expect("a model")
}

/// Names of weights, their zero points and scales, and the node's inputs without their numbers.
fn products(graph: &Graph) -> BTreeSet<[String; 2]> {
    let nodes = graph.nodes.iter().filter(|node| node.op() == "MatMulInteger");
    nodes.map(|node| [1, 3].map(|index| node.input(index).expect("weights").to_owned())).collect()
}

fn count(graph: &Graph, op: &str) -> usize {
    graph.nodes.iter().filter(|node| node.op() == op).count()
}

#[test]
fn weights_are_those_of_funasrs_exporter_to_the_bit() {
    for model in ["paraformer", "paraformer-loop", "bicif", "seaco", "sensevoice", "ct-punc"] {
        let (file, theirs) = (fixture(model, "model"), fixture(model, "model_quant"));
        let (mut ours, theirs) = (file.graph, theirs.graph);
        quantize::quantize(&mut ours);
        let names = products(&theirs);
        assert!(names.len() > 7, "{model}: {names:?}");
        assert_eq!(products(&ours), names, "{model}");
        for op in ["MatMulInteger", "MatMul", "DynamicQuantizeLinear"] {
            assert_eq!(count(&ours, op), count(&theirs, op), "{model}: {op}");
        }
        for [weights, zero_points] in &names {
            let scales = weights.replace("_quantized", "_scale");
            for name in [weights, zero_points, &scales] {
                let [ours, theirs] = [&ours, &theirs].map(|graph| {
                    let constant = graph.constants.get(name).expect(name);
                    stored::load(constant).expect("values")
                });
                assert!(ours == theirs, "{model}: {name}");
            }
        }
    }
}

#[test]
fn networks_compute_what_those_of_the_exporter_do() {
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
