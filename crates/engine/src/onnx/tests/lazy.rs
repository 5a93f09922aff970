//! Weights that stay in the file, and damaged files.

use super::*;
use crate::onnx::lazy::is_lazy;

const INPUTS: usize = 32;
const OUTPUTS: usize = 40;

/// Encodes a protobuf field that is a message or a string.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(content);
    bytes
}

fn encoded_initializer(name: &str, dims: &[u8], values: &[f32]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut tensor = Vec::new();
    // One field per dim; data_type: float.
    dims.iter().for_each(|&dim| tensor.extend([0x08, dim]));
    tensor.extend([0x10, 1]);
    tensor.extend(field(8, name.as_bytes()));
    tensor.extend(field(9, &raw));
    field(5, &tensor)
}

fn weights() -> Vec<f32> {
    (0..INPUTS * OUTPUTS).map(|index| (index * 7919 % 1009) as f32 / 504.5 - 1.0).collect()
}

/// Encodes a model `y = x w + b`, where `w` is large.
fn model(weights: &[f32], dims: &[u8]) -> Vec<u8> {
    let node = |op: &str, a: &str, b: &str, output: &str| {
        let fields = [(1, a), (1, b), (2, output), (3, output), (4, op)];
        field(1, &fields.map(|(number, text)| field(number, text.as_bytes())).concat())
    };
    let port = |number, name: &str| {
        let float = field(2, &field(1, &[0x08, 1]));
        field(number, &[field(1, name.as_bytes()), float].concat())
    };
    let bias: Vec<f32> = (0..OUTPUTS).map(|index| index as f32).collect();
    let graph = [
        node("MatMul", "x", "w", "product"),
        node("Add", "product", "b", "y"),
        encoded_initializer("w", dims, weights),
        encoded_initializer("b", &[OUTPUTS as u8], &bias),
        port(11, "x"),
        port(12, "y"),
    ];
    let opset = field(8, &[0x0a, 0, 0x10, 14]);
    [vec![0x08, 8], opset, field(7, &graph.concat())].concat()
}

fn parse(bytes: &[u8]) -> Result<OnnxFile, Error> {
    OnnxFile::parse(Path::new("raw.onnx"), bytes)
}

fn run(file: &OnnxFile, fused: bool) -> Vec<f32> {
    let x: Vec<f32> = (0..3 * INPUTS).map(|index| (index % 17) as f32 / 8.0 - 1.0).collect();
    let input = Input::new("x", [3.into(), INPUTS.into()]);
    let network = file
        .network_with(&[input], &["y"], if fused { Fusion::All } else { Fusion::None })
        .expect("a network");
    let x = crate::tensor(&[3, INPUTS], &x).expect("a tensor");
    let outputs = network.run(vec![x]).expect("runs");
    crate::values::<f32>(&outputs[0]).expect("floats").to_vec()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn large_weights_are_read_when_they_are_packed_and_not_kept() {
    let file = parse(&model(&weights(), &[INPUTS as u8, OUTPUTS as u8])).expect("a file");
    let constant = file.constant("w").expect("weights");
    assert_eq!(constant.shape(), [INPUTS, OUTPUTS]);
    assert!(!is_lazy(file.constant("b").expect("a bias")));
    let (fused, again) = (run(&file, true), run(&file, true));
    assert!(is_lazy(constant), "packing does not keep the values");
    assert_eq!(fused, again);
    assert!(largest_difference(&fused, &run(&file, false)) < 1e-5);
    assert_eq!(crate::values::<f32>(constant).expect("floats"), weights());
    assert_eq!(crate::values::<f32>(constant).expect("floats"), weights());
}

#[test]
fn a_file_that_shrinks_is_an_error() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("model.onnx");
    std::fs::write(&path, model(&weights(), &[INPUTS as u8, OUTPUTS as u8])).expect("write");
    let file = OnnxFile::read(&path).expect("a file");
    assert_eq!(run(&file, true).len(), 3 * OUTPUTS);
    std::fs::OpenOptions::new().write(true).open(&path).expect("open").set_len(99).expect("cut");
    let error = file.network(&[Input::new("x", [1.into(), INPUTS.into()])], &["y"]);
    assert!(chain(error.expect_err("cut")).contains("weights `w`"));
}

#[test]
fn precisions_are_close_to_f32() {
    let bytes = model(&weights(), &[INPUTS as u8, OUTPUTS as u8]);
    let of = |precision| run(&parse(&bytes).expect("a file").with_precision(precision), true);
    let exact = of(Precision::F32);
    let rounded = largest_difference(&of(Precision::Bf16), &exact);
    assert!((1e-4..0.1).contains(&rounded), "bf16: {rounded}");
    let quantized = largest_difference(&of(Precision::Int8), &exact);
    assert!((1e-3..0.1).contains(&quantized), "int8: {quantized}");
    let plain = run(&parse(&bytes).expect("a file").with_precision(Precision::Int8), false);
    assert!(largest_difference(&of(Precision::Int8), &plain) < 1e-5, "without fusion");
}

#[test]
fn nan_weights_are_refused() {
    for at in [0, INPUTS * OUTPUTS - 1] {
        let mut weights = weights();
        weights[at] = f32::NAN;
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let file = parse(&model(&weights, &[INPUTS as u8, OUTPUTS as u8])).expect("a file");
            let network = file
                .with_precision(precision)
                .network(&[Input::new("x", [1.into(), INPUTS.into()])], &["y"]);
            let message = chain(network.expect_err("broken"));
            assert!(message.contains("a weight of `w` is NaN"), "{message}");
        }
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    for dims in [&[INPUTS as u8, OUTPUTS as u8 - 1][..], &[1], &[], &[127; 12]] {
        let message = chain(parse(&model(&weights(), dims)).expect_err("another size"));
        assert!(message.contains("weights `w`"), "{message}");
    }
}

#[test]
fn a_truncated_file_is_refused() {
    let whole = model(&weights(), &[INPUTS as u8, OUTPUTS as u8]);
    for length in 0..whole.len() {
        let error = parse(&whole[..length]).expect_err("truncated");
        assert!(matches!(error, Error::Model { .. }), "{length}: {error}");
    }
}

#[test]
fn damaged_bytes_do_not_panic() {
    let whole = model(&weights(), &[INPUTS as u8, OUTPUTS as u8]);
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..whole.len());
            bytes[at] = random.u8(..);
        }
        if let Ok(file) = parse(&bytes) {
            for name in ["w", "b"] {
                file.constant(name).map(crate::values::<f32>);
            }
        }
    }
}
