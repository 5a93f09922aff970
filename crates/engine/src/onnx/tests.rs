use super::*;

#[test]
fn one_instance_serves_threads() {
    // y = x + x over a symbolic axis, written by hand: ONNX's protobuf in the raw.
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("double.onnx");
    std::fs::write(&path, DOUBLE).expect("write model");
    let network = Onnx::open(&path, &[vec![2.into(), "n".into()]]).expect("open");
    std::thread::scope(|scope| {
        for length in 1..5 {
            let network = &network;
            scope.spawn(move || {
                let values = vec![length as f32; 2 * length];
                let input = crate::tensor(&[2, length], &values).expect("tensor");
                let output = network.run(vec![input]).expect("run");
                assert_eq!(output[0].shape(), [2, length]);
                let doubled = crate::values::<f32>(&output[0]).expect("f32");
                assert!(doubled.iter().all(|&value| value == 2.0 * length as f32));
            });
        }
    });
}

#[test]
fn bad_input_is_an_error() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("double.onnx");
    assert!(matches!(Onnx::open(&path, &[]), Err(Error::Model { .. })), "missing file");
    std::fs::write(&path, b"no model").expect("write model");
    assert!(matches!(Onnx::open(&path, &[]), Err(Error::Model { .. })), "no ONNX");
    std::fs::write(&path, DOUBLE).expect("write model");
    assert!(matches!(Onnx::open(&path, &[]), Err(Error::Model { .. })), "input not named");
    let network = Onnx::open(&path, &[vec![2.into(), "n".into()]]).expect("open");
    assert!(matches!(network.run(vec![]), Err(Error::Input(_))), "no input");
    let wrong = crate::tensor(&[3, 1], &[0f32; 3]).expect("tensor");
    assert!(matches!(network.run(vec![wrong]), Err(Error::Run(_))), "wrong shape");
}

/// ModelProto: ir 8, opset 14, graph `g` { y = Add(x, x); x, y: f32 of unknown shape }.
const DOUBLE: &[u8] = b"\x08\x08\x42\x04\x0a\x00\x10\x0e\x3a\x29\
    \x0a\x0e\x0a\x01x\x0a\x01x\x12\x01y\x22\x03Add\
    \x12\x01g\
    \x5a\x09\x0a\x01x\x12\x04\x0a\x02\x08\x01\
    \x62\x09\x0a\x01y\x12\x04\x0a\x02\x08\x01";
