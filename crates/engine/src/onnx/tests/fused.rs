//! Fused operators against ONNX Runtime's numbers (`tests/fixtures/funasr/ops.py`), and against the
//! graphs that they replace.

use std::{io::Read, path::Path};

use super::{file::Fused, npz::Npz, *};
use crate::ComputeType;

pub(super) fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/funasr")
}

fn floats(npz: &Npz, name: &str) -> Tensor {
    let array = &npz[name];
    crate::tensor(&array.shape, &array.f32()).expect("floats")
}

fn bytes(npz: &Npz, name: &str) -> Tensor {
    let array = &npz[name];
    crate::tensor(&array.shape, &array.u8()).expect("bytes")
}

fn run(network: &OnnxNetwork, input: &Tensor) -> Vec<f32> {
    let outputs = network.run(vec![input.clone()]).expect("runs");
    crate::values::<f32>(&outputs[0]).expect("floats").to_vec()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn quantization_is_onnx_runtimes() {
    let npz = Npz::open(&fixtures().join("ops.npz"));
    let file = file(vec![node("DynamicQuantizeLinear", &["x"], &["y", "s", "z"])], vec![]);
    let names = npz.names().filter_map(|name| name.strip_prefix("dql/")?.strip_suffix("/x"));
    let mut count = 0;
    for name in names {
        let x = floats(&npz, &format!("dql/{name}/x"));
        let shape = x.shape().iter().map(|&dim| Dim::Fixed(dim));
        let network = file.network(&[Input::new("x", shape)], &["y", "s", "z"]).expect("network");
        let found = network.run(vec![x]).expect("runs");
        let [y, scale, zero_point] = ["y", "scale", "zp"].map(|key| format!("dql/{name}/{key}"));
        assert_eq!(crate::values::<u8>(&found[0]).expect("bytes"), npz[&*y].u8(), "{name}");
        let found_scale = crate::values::<f32>(&found[1]).expect("a scale");
        assert_eq!(bits(found_scale), bits(&npz[&*scale].f32()), "{name}");
        assert_eq!(
            crate::values::<u8>(&found[2]).expect("bytes"),
            npz[&*zero_point].u8(),
            "{name}"
        );
        count += 1;
    }
    assert_eq!(count, 9);
}

/// A quantized linear layer as `quantize_dynamic` writes it.
fn linear(weights: Vec<(&str, Tensor)>, relu: bool) -> OnnxFile {
    let mut nodes = vec![
        node("DynamicQuantizeLinear", &["x"], &["xq", "xs", "xz"]),
        node("Mul", &["xs", "scale"], &["scales"]),
        node("MatMulInteger", &["xq", "weights", "xz", "zero_points"], &["sum"]),
        with(node("Cast", &["sum"], &["float"]), "to", &[1]),
        node("Mul", &["float", "scales"], &["product"]),
        node("Add", &["bias", "product"], &["y"]),
    ];
    if relu {
        nodes.push(node("Relu", &["y"], &["positive"]));
    }
    file(nodes, weights)
}

fn weights(npz: &Npz, name: &str) -> Vec<(&'static str, Tensor)> {
    vec![
        ("weights", bytes(npz, &format!("qmatmul/{name}/Wq"))),
        ("zero_points", bytes(npz, &format!("qmatmul/{name}/Wzp"))),
        ("scale", floats(npz, &format!("qmatmul/{name}/Wscale"))),
        ("bias", floats(npz, &format!("qmatmul/{name}/bias"))),
    ]
}

#[test]
fn quantized_layers_are_onnx_runtimes_to_the_bit() {
    let npz = Npz::open(&fixtures().join("ops.npz"));
    for name in ["a", "b", "c", "d"] {
        let x = floats(&npz, &format!("qmatmul/{name}/x"));
        let expected = npz[format!("qmatmul/{name}/y").as_str()].f32();
        let shape = || ["rows".into(), Dim::Fixed(x.shape()[1])];
        for relu in [false, true] {
            let file = linear(weights(&npz, name), relu);
            let expected: Vec<f32> =
                expected.iter().map(|&y| if relu { y.max(0.0) } else { y }).collect();
            let output = [if relu { "positive" } else { "y" }];
            let network = file.network(&[Input::new("x", shape())], &output).expect("network");
            let operators = ["DynamicQuantize", "QuantizedLinear"];
            assert_eq!(network.operators(), operators, "{name}");
            assert_eq!(bits(&run(&network, &x)), bits(&expected), "{name}");
        }
    }
}

#[test]
fn float_layers_take_in_what_follows() {
    let numbers = |count: usize, step: usize| -> Vec<f32> {
        (0..count).map(|i| (i * step % 101) as f32 / 50.0 - 1.0).collect()
    };
    let tensor = |shape: &[usize], step| {
        crate::tensor(shape, &numbers(shape.iter().product(), step)).expect("numbers")
    };
    let layer = || {
        let nodes =
            vec![node("MatMul", &["x", "w"], &["product"]), node("Add", &["b", "product"], &["y"])];
        (nodes, vec![("w", tensor(&[6, 70], 7)), ("b", tensor(&[70], 3))])
    };
    let x = tensor(&[1, 5, 6], 13);
    for (last, other, operators) in [
        (node("Relu", &["y"], &["z"]), None, &["Linear"][..]),
        (node("Add", &["y", "other"], &["z"]), Some(tensor(&[1, 5, 70], 11)), &["Linear"]),
        // It is broadcast: added in place it would not fit.
        (node("Add", &["other", "y"], &["z"]), Some(tensor(&[3, 1, 70], 11)), &["Linear", "Add"]),
    ] {
        let (mut nodes, constants) = layer();
        nodes.push(last);
        let file = file(nodes, constants);
        let mut inputs = vec![Input::new("x", [1.into(), "n".into(), 6.into()])];
        if let Some(other) = &other {
            let n = if other.shape()[1] == 1 { Dim::Fixed(1) } else { "n".into() };
            inputs.push(Input::new("other", [other.shape()[0].into(), n, 70.into()]));
        }
        let given: Vec<_> = std::iter::once(x.clone()).chain(other).collect();
        let fused = file.network(&inputs, &["z"]).expect("network");
        let unfused = file.network_with(&inputs, &["z"], Fused::None).expect("network");
        assert!(fused.operators().iter().any(|op| op == "Linear"), "{operators:?}");
        assert_eq!(fused.operators().len(), operators.len(), "{:?}", fused.operators());
        let [fused, unfused] =
            [fused, unfused].map(|network| network.run(given.clone()).expect("runs").remove(0));
        assert_eq!(fused.shape(), unfused.shape());
        let [fused, unfused] =
            [&fused, &unfused].map(|tensor| crate::values::<f32>(tensor).expect("floats"));
        assert!(fused.iter().zip(unfused).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}

/// Other exporters than FunASR's choose signed weights, or one scale for all columns.
#[test]
fn other_kinds_of_weights() {
    let npz = Npz::open(&fixtures().join("ops.npz"));
    let x = floats(&npz, "qmatmul/b/x");
    let inputs = [Input::new("x", ["rows".into(), 64.into()])];
    let unsigned = linear(weights(&npz, "b"), false).network(&inputs, &["y"]).expect("network");
    let mut signed = weights(&npz, "b");
    for (_, tensor) in &mut signed[..2] {
        let shifted: Vec<i8> =
            crate::values::<u8>(tensor).expect("bytes").iter().map(|w| (w ^ 0x80) as i8).collect();
        *tensor = crate::tensor(tensor.shape(), &shifted).expect("bytes");
    }
    let network = linear(signed, false).network(&inputs, &["y"]).expect("network");
    assert_eq!(network.operators(), ["DynamicQuantize", "QuantizedLinear"]);
    assert_eq!(bits(&run(&network, &x)), bits(&run(&unsigned, &x)));

    let mut one = weights(&npz, "b");
    one[1].1 = crate::tensor(&[], &[117u8]).expect("a scalar");
    one[2].1 = crate::tensor(&[], &[0.01f32]).expect("a scalar");
    let file = linear(one, false);
    let network = file.network(&inputs, &["y"]).expect("network");
    assert_eq!(network.operators(), ["DynamicQuantize", "QuantizedLinear"]);
    let unfused = file.network_with(&inputs, &["y"], Fused::None).expect("network");
    assert_eq!(bits(&run(&network, &x)), bits(&run(&unfused, &x)));
}

#[test]
fn products_that_no_rule_knows_still_run() {
    let npz = Npz::open(&fixtures().join("ops.npz"));
    let nodes = vec![
        node("DynamicQuantizeLinear", &["x"], &["xq", "xs", "xz"]),
        node("MatMulInteger", &["xq", "weights", "xz", "zero_points"], &["sum"]),
        with(node("Cast", &["sum"], &["y"]), "to", &[1]),
    ];
    let file = file(nodes, weights(&npz, "b"));
    let inputs = [Input::new("x", ["rows".into(), 64.into()])];
    let network = file.network(&inputs, &["y"]).expect("network");
    let sums = run(&network, &floats(&npz, "qmatmul/b/x"));
    assert_eq!(sums.len(), 26 * 33);
    assert!(sums.iter().all(|sum| sum.fract() == 0.0) && sums.iter().any(|&sum| sum != 0.0));
}

#[test]
fn the_greatest_in_order() {
    let nodes = vec![
        node("Shape", &["x"], &["shape"]),
        node("Gather", &["shape", "last"], &["k"]),
        node("TopK", &["x", "k"], &["values", "indices"]),
        node("Slice", &["indices", "zero", "three", "zero"], &["first"]),
    ];
    let number = |n: i64| crate::tensor(&[1], &[n]).expect("a number");
    let constants = vec![("last", number(-1)), ("zero", number(0)), ("three", number(3))];
    let file = file(nodes, constants);
    let network =
        file.network(&[Input::new("x", ["n".into()])], &["values", "first"]).expect("network");
    for (x, greatest, at) in [
        (&[1f32, 5.0, 5.0, -2.0, 3.0][..], &[5f32, 5.0, 3.0, 1.0, -2.0][..], &[1i64, 2, 4][..]),
        (&[1.0, 2.0], &[2.0, 1.0], &[1, 0]),
    ] {
        let outputs = network.run(vec![crate::tensor(&[x.len()], x).expect("x")]).expect("runs");
        assert_eq!(crate::values::<f32>(&outputs[0]).expect("floats"), greatest);
        assert_eq!(crate::values::<i64>(&outputs[1]).expect("indices"), at);
    }
    let odd = crate::tensor(&[3], &[f32::NAN, f32::INFINITY, -0.0]).expect("x");
    network.run(vec![odd]).expect("runs");
}

/// Of the last axis, which has another name in tract's operator.
#[test]
fn softmax_is_tracts() {
    let x: Vec<f32> = (0..3 * 37).map(|i| (i * 29 % 83) as f32 / 4.0 - 12.0).collect();
    let x = crate::tensor(&[3, 37], &x).expect("x");
    for op in ["Softmax", "LogSoftmax"] {
        let of_axis = |axis: i64| {
            let file = file(vec![with(node(op, &["x"], &["y"]), "axis", &[axis])], vec![]);
            let input = Input::new("x", [3.into(), 37.into()]);
            run(&file.network(&[input], &["y"]).expect("network"), &x)
        };
        let (ours, tracts) = (of_axis(-1), of_axis(1));
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-6 * (1.0 + b.abs());
        assert!(ours.iter().zip(&tracts).all(close), "{op}: {ours:?}, not {tracts:?}");
    }
}

/// Of scores that are given, of a float layer, and of a quantized one, with more rows than are held
/// at once.
#[test]
fn likeliest_is_that_of_all_scores() {
    let npz = Npz::open(&fixtures().join("ops.npz"));
    let tensor = |shape: &[usize], step: usize| {
        let count = shape.iter().product();
        let numbers: Vec<f32> = (0..count).map(|i| (i * step % 101) as f32 / 50.0 - 1.0).collect();
        crate::tensor(shape, &numbers).expect("numbers")
    };
    let x = floats(&npz, "qmatmul/a/x");
    let width = x.shape()[1];
    let quantized = linear(weights(&npz, "a"), false);
    let product = vec![node("MatMul", &["x", "w"], &["y"])];
    let float = file(product, vec![("w", tensor(&[width, 70], 7))]);
    let given = file(vec![node("Mul", &["x", "x"], &["y"])], vec![]);
    for (file, operator) in
        [(quantized, "DynamicQuantize"), (float, "Likeliest"), (given, "Square")]
    {
        let inputs = [Input::new("x", ["rows".into(), width.into()])];
        let scores = file.network(&inputs, &["y"]).expect("network");
        let (network, classes) = file.likeliest(&inputs, "y").expect("network");
        let operators = network.operators();
        assert_eq!(operators.first().map(String::as_str), Some(operator), "{operators:?}");
        assert_eq!(operators.last().map(String::as_str), Some("Likeliest"), "{operators:?}");
        for rows in [0, 1, 24, 61] {
            let x = tensor(&[rows, width], 13);
            let scores = run(&scores, &x);
            let found = run(&network, &x);
            assert_eq!(found.len(), 2 * rows);
            for (scores, found) in scores.chunks(classes).zip(found.chunks(2)) {
                let (class, greatest) = kernels::scores::arg_max(scores).expect("scores");
                assert_eq!(found[0], class as f32, "{operators:?}");
                let sum: f32 = scores.iter().map(|score| (score - greatest).exp()).sum();
                assert!((found[1] + sum.ln()).abs() < 1e-5, "{operators:?}");
            }
        }
        let odd = crate::tensor(&[1, width], &vec![f32::NAN; width]).expect("x");
        let found = run(&network, &odd);
        assert!(operator == "DynamicQuantize" || found[1].is_nan(), "{operators:?}: {found:?}");
    }
    let inputs = [Input::new("x", ["rows".into(), 3.into()])];
    let (network, _) =
        file(vec![node("Neg", &["x"], &["y"])], vec![]).likeliest(&inputs, "y").expect("network");
    for odd in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        let x = crate::tensor(&[2, 3], &[0.0, odd, 1.0, 0.0, 2.0, 1.0]).expect("x");
        let found = run(&network, &x);
        assert!(found[1].is_nan() && found[3].is_finite(), "{odd}: {found:?}");
    }
    let nodes = vec![node("Relu", &["x"], &["y"])];
    let open = file(nodes, vec![]).likeliest(&[Input::new("x", ["n".into()])], "y");
    assert!(open.is_err(), "classes must be known");
}

#[test]
fn layer_norm_is_onnx_runtimes() {
    let npz = Npz::open(&fixtures().join("ops.npz"));
    let x = floats(&npz, "ln/x");
    for epsilon in ["1e-12", "1e-05"] {
        let nodes = vec![
            with(node("ReduceMean", &["x"], &["mean"]), "axes", &[-1]),
            node("Sub", &["x", "mean"], &["deviation"]),
            node("Pow", &["deviation", "two"], &["square"]),
            with(node("ReduceMean", &["square"], &["variance"]), "axes", &[-1]),
            node("Add", &["variance", "epsilon"], &["safe"]),
            node("Sqrt", &["safe"], &["spread"]),
            node("Div", &["deviation", "spread"], &["normal"]),
            node("Mul", &["normal", "gamma"], &["scaled"]),
            node("Add", &["scaled", "beta"], &["y"]),
        ];
        let weights = vec![
            ("two", crate::tensor(&[], &[2f32]).expect("a scalar")),
            (
                "epsilon",
                crate::tensor(&[], &[epsilon.parse::<f32>().expect("a number")]).expect("a scalar"),
            ),
            ("gamma", floats(&npz, "ln/gamma")),
            ("beta", floats(&npz, "ln/beta")),
        ];
        let file = file(nodes, weights);
        let inputs = [Input::new("x", ["rows".into(), 64.into()])];
        let network = file.network(&inputs, &["y"]).expect("network");
        assert_eq!(network.operators(), ["LayerNorm"]);
        let unfused = file.network_with(&inputs, &["y"], Fused::None).expect("network");
        let expected = npz[format!("ln/{epsilon}/y").as_str()].f32();
        for network in [network, unfused] {
            let found = run(&network, &x);
            let close = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 2e-6);
            assert!(close, "{found:?}\n{expected:?}");
        }
    }
}

fn quantized(model: &str) -> OnnxFile {
    let path = fixtures().join(model).join("model_quant.onnx.gz");
    let packed = std::fs::read(&path).expect("read");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&*packed).read_to_end(&mut bytes).expect("gzip");
    OnnxFile::parse(&path, &bytes).expect("a model")
}

/// What is fused once shapes are known computes the same bits, and leaves nothing behind.
#[test]
fn encoders_of_models() {
    for (model, output) in
        [("paraformer", "/encoder/after_norm/Add_1"), ("sensevoice", "/encoder/tp_norm/Add_1")]
    {
        let file = quantized(model).with_compute_type(ComputeType::Float);
        let inputs = [
            Input::new("speech", [1.into(), "frames".into(), 560.into()]),
            Input::full_length("speech_lengths", "frames"),
            Input::new("language", [1.into()]),
            Input::new("textnorm", [1.into()]),
        ];
        let taken = file.inputs().len();
        let last = file.nodes().iter().find(|node| node.name() == output).expect("the last norm");
        let network = |fused| {
            file.network_with(&inputs[..taken], &[last.output()], fused).expect("the encoder")
        };
        let (fused, plain) = (network(Fused::All), network(Fused::Nodes));
        let operators = fused.operators();
        for part in ["LayerNorm", "Attention", "QuantizedLinear"] {
            let quantized = format!("{part} + DynamicQuantize");
            assert!(operators.contains(&quantized), "{model}: {operators:?}");
        }
        let left = |name: &str| ["DynamicQuantize", "Attention", "Slice"].contains(&name);
        assert!(!operators.iter().any(|name| left(name)), "{model}: {operators:?}");
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

/// Every quantized layer of the fixtures, given the same input, fused or not.
#[test]
fn quantized_layers_of_models() {
    for (model, layers) in [("paraformer", 19), ("seaco", 40), ("sensevoice", 10), ("ct-punc", 8)] {
        let file = quantized(model);
        let products = file.nodes().iter().filter(|node| node.op() == "MatMulInteger");
        let mut count = 0;
        for (seed, product) in products.enumerate() {
            let quantize = file.producer(product.input(0).expect("x")).expect("a quantizer");
            let x = quantize.input(0).expect("x");
            // The layer ends where it is f32 again and biased, if it is.
            let mut last = product;
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
                file.constant(product.input(1).expect("weights")).expect("weights").shape()[0];
            let inputs = [Input::new(x, [1.into(), "time".into(), width.into()])];
            let fused = file.network(&inputs, &[last.output()]).expect("fused");
            let unfused =
                file.network_with(&inputs, &[last.output()], Fused::None).expect("unfused");
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

/// As CIF's: turned, padded, convolved, turned back.
#[test]
fn convolution_over_time() {
    let (channels, outputs, taps) = (5, 7, 3);
    let mut random = fastrand::Rng::with_seed(3);
    let mut numbers = |shape: &[usize]| {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.f32() - 0.5).collect();
        crate::tensor(shape, &values).expect("a tensor")
    };
    let pads = crate::tensor(&[6], &[0i64, 0, 1, 0, 0, 1]).expect("pads");
    let weights = vec![
        ("weights", numbers(&[outputs, channels, taps])),
        ("bias", numbers(&[outputs])),
        ("pads", pads),
    ];
    let nodes = vec![
        with(node("Transpose", &["x"], &["turned"]), "perm", &[0, 2, 1]),
        node("Pad", &["turned", "pads"], &["padded"]),
        with(node("Conv", &["padded", "weights", "bias"], &["y"]), "kernel_shape", &[taps as i64]),
        node("Relu", &["y"], &["positive"]),
        with(node("Transpose", &["positive"], &["z"]), "perm", &[0, 2, 1]),
    ];
    let file = file(nodes, weights);
    let inputs = [Input::new("x", [1.into(), "time".into(), channels.into()])];
    let network = |fused| file.network_with(&inputs, &["z"], fused).expect("network");
    let (fused, plain) = (network(Fused::All), network(Fused::None));
    let operators = fused.operators();
    assert!(operators.iter().any(|name| name == "Convolution"), "{operators:?}");
    assert!(!operators.iter().any(|name| name.starts_with("Move")), "{operators:?}");
    for time in [1, 2, 40] {
        let x = numbers(&[1, time, channels]);
        let (found, expected) = (run(&fused, &x), run(&plain, &x));
        assert!(expected.iter().any(|&y| y > 0.0) && found.len() == time * outputs);
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{time}");
    }
}
