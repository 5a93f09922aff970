//! Fusion in the models of the fixtures.

use super::{
    fused::{bits, run},
    *,
};
use crate::ComputeType;

/// Fusions that depend on shapes compute the same bits, and cover all operators that they should.
#[test]
fn encoders_of_models() {
    for (model, output) in
        [("paraformer", "/encoder/after_norm/Add_1"), ("sensevoice", "/encoder/tp_norm/Add_1")]
    {
        let file = fixture(model, "model_quant").with_compute_type(ComputeType::F32);
        let inputs = [
            Input::new("speech", [1.into(), "frames".into(), 560.into()]),
            Input::full_length("speech_lengths", "frames"),
            Input::new("language", [1.into()]),
            Input::new("textnorm", [1.into()]),
        ];
        let taken = file.inputs().len();
        let last = file.nodes().iter().find(|node| node.name() == output).expect("the last norm");
        let network = |fusion| {
            file.network_with(&inputs[..taken], &[last.output()], fusion).expect("the encoder")
        };
        let (fused, plain) = (network(Fusion::All), network(Fusion::Nodes));
        let operators = fused.operators();
        for part in ["LayerNorm", "Attention", "QuantizedLinear"] {
            let quantized = format!("{part} + DynamicQuantize");
            assert!(operators.contains(&quantized), "{model}: {operators:?}");
        }
        let unfused = |name: &str| ["DynamicQuantize", "Attention", "Slice"].contains(&name);
        assert!(!operators.iter().any(|name| unfused(name)), "{model}: {operators:?}");
        for frames in [1, 7, 60] {
            let mut random = fastrand::Rng::with_seed(frames as u64);
            let values: Vec<f32> = (0..frames * 560).map(|_| random.f32() * 3.4 - 1.7).collect();
            let mut given = vec![crate::tensor(&[1, frames, 560], &values).expect("a tensor")];
            given.extend((2..taken).map(|_| crate::tensor(&[1], &[0i32]).expect("a number")));
            let run = |network: &OnnxNetwork| {
                let outputs = network.run(given.clone()).expect("runs");
                bits(crate::values::<f32>(&outputs[0]).expect("floats"))
            };
            assert_eq!(run(&fused), run(&plain), "{model} {frames}");
        }
    }
}

/// Every quantized layer of the fixtures computes the same bits, fused or not.
#[test]
fn quantized_layers_of_models() {
    for (model, layers) in [("paraformer", 19), ("seaco", 40), ("sensevoice", 10), ("ct-punc", 8)] {
        let file = fixture(model, "model_quant");
        let matmuls = file.nodes().iter().filter(|node| node.op() == "MatMulInteger");
        let mut count = 0;
        for (seed, matmul) in matmuls.enumerate() {
            let quantize = file.producer(matmul.input(0).expect("x")).expect("a quantizer");
            let x = quantize.input(0).expect("x");
            // The layer ends after the conversion to f32, and after the bias if there is one.
            let mut last = matmul;
            for op in ["Cast", "Mul", "Add", "Relu"] {
                let mut next = file.consumers(last.output());
                match (next.next(), next.next()) {
                    (Some(node), None) if node.op() == op => last = node,
                    _ => break,
                }
            }
            if last.op() == "Add" && !last.inputs().iter().any(|name| file.constant(name).is_some())
            {
                last = file
                    .producer(
                        last.inputs()
                            .iter()
                            .find(|name| file.producer(name).is_some_and(|node| node.op() == "Mul"))
                            .expect("a product"),
                    )
                    .expect("a product");
            }
            let width =
                file.constant(matmul.input(1).expect("weights")).expect("weights").shape()[0];
            let inputs = [Input::new(x, [1.into(), "time".into(), width.into()])];
            let fused = file.network(&inputs, &[last.output()]).expect("fused");
            let unfused =
                file.network_with(&inputs, &[last.output()], Fusion::None).expect("unfused");
            assert_eq!(fused.operators(), ["DynamicQuantize", "QuantizedLinear"]);
            for time in [1, 5] {
                let mut random = fastrand::Rng::with_seed(seed as u64);
                let values: Vec<f32> =
                    (0..time * width).map(|_| random.f32() * 5.0 - 2.0).collect();
                let x = crate::tensor(&[1, time, width], &values).expect("a tensor");
                assert_eq!(bits(&run(&fused, &x)), bits(&run(&unfused, &x)), "{}", last.name());
            }
            count += 1;
        }
        assert!(count >= layers, "{model}: {count}");
    }
}
