//! Fused operators compared with ONNX Runtime's outputs (`tests/fixtures/funasr/ops.py`) and with
//! the nodes that they replace.

use super::{npz::Npz, *};

pub(super) fn floats(npz: &Npz, name: &str) -> Tensor {
    let array = &npz[name];
    crate::tensor(&array.shape, &array.f32()).expect("floats")
}

fn bytes(npz: &Npz, name: &str) -> Tensor {
    let array = &npz[name];
    crate::tensor(&array.shape, &array.u8()).expect("bytes")
}

pub(super) fn run(network: &OnnxNetwork, input: &Tensor) -> Vec<f32> {
    let outputs = network.run(vec![input.clone()]).expect("runs");
    crate::values::<f32>(&outputs[0]).expect("floats").to_vec()
}

pub(super) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn quantization_equals_onnx_runtimes() {
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

/// Makes a quantized linear layer as `quantize_dynamic` writes it.
pub(super) fn linear(weights: Vec<(&str, Tensor)>, relu: bool) -> OnnxFile {
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

pub(super) fn weights(npz: &Npz, name: &str) -> Vec<(&'static str, Tensor)> {
    vec![
        ("weights", bytes(npz, &format!("qmatmul/{name}/Wq"))),
        ("zero_points", bytes(npz, &format!("qmatmul/{name}/Wzp"))),
        ("scale", floats(npz, &format!("qmatmul/{name}/Wscale"))),
        ("bias", floats(npz, &format!("qmatmul/{name}/bias"))),
    ]
}

#[test]
fn quantized_layers_equal_onnx_runtimes_bit_by_bit() {
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
fn float_layers_are_fused_with_their_epilogue() {
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
        // A residual that is broadcast does not have the shape of the output.
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
        let unfused = file.network_with(&inputs, &["z"], Fusion::None).expect("network");
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

/// Exporters other than FunASR's write signed weights, or one scale for all columns.
#[test]
fn signed_weights_and_scalar_scales() {
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
    let unfused = file.network_with(&inputs, &["y"], Fusion::None).expect("network");
    assert_eq!(bits(&run(&network, &x)), bits(&run(&unfused, &x)));
}

#[test]
fn unfused_matmuls_run() {
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
fn top_k_is_sorted() {
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
    for (x, greatest, indices) in [
        (&[1f32, 5.0, 5.0, -2.0, 3.0][..], &[5f32, 5.0, 3.0, 1.0, -2.0][..], &[1i64, 2, 4][..]),
        (&[1.0, 2.0], &[2.0, 1.0], &[1, 0]),
    ] {
        let outputs = network.run(vec![crate::tensor(&[x.len()], x).expect("x")]).expect("runs");
        assert_eq!(crate::values::<f32>(&outputs[0]).expect("floats"), greatest);
        assert_eq!(crate::values::<i64>(&outputs[1]).expect("indices"), indices);
    }
    let odd = crate::tensor(&[3], &[f32::NAN, f32::INFINITY, -0.0]).expect("x");
    network.run(vec![odd]).expect("runs");
}

/// The last axis is -1 for our operator; by its positive number, tract's is used.
#[test]
fn softmax_equals_tracts() {
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

#[test]
fn layer_norm_equals_onnx_runtimes() {
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
        let unfused = file.network_with(&inputs, &["y"], Fusion::None).expect("network");
        let expected = npz[format!("ln/{epsilon}/y").as_str()].f32();
        for network in [network, unfused] {
            let found = run(&network, &x);
            let close = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 2e-6);
            assert!(close, "{found:?}\n{expected:?}");
        }
    }
}

/// CIF's convolution: transposed, padded, convolved, transposed back.
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
        with(node("Transpose", &["x"], &["transposed"]), "perm", &[0, 2, 1]),
        node("Pad", &["transposed", "pads"], &["padded"]),
        with(node("Conv", &["padded", "weights", "bias"], &["y"]), "kernel_shape", &[taps as i64]),
        node("Relu", &["y"], &["positive"]),
        with(node("Transpose", &["positive"], &["z"]), "perm", &[0, 2, 1]),
    ];
    let file = file(nodes, weights);
    let inputs = [Input::new("x", [1.into(), "time".into(), channels.into()])];
    let network = |fusion| file.network_with(&inputs, &["z"], fusion).expect("network");
    let (fused, plain) = (network(Fusion::All), network(Fusion::None));
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
