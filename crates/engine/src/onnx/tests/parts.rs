//! Reading, asking, cutting.

use super::*;

/// y = relu(x w + b); z = y - x.
fn small() -> OnnxFile {
    let weights = vec![
        ("w", crate::tensor(&[2, 2], &[1f32, 2.0, 3.0, 4.0]).expect("weights")),
        ("b", crate::tensor(&[2], &[0.5f32, -100.0]).expect("weights")),
        ("unused", crate::tensor(&[2], &[0f32; 2]).expect("weights")),
    ];
    // Not in order, and weights reached through another name.
    let nodes = vec![
        node("Relu", &["sum"], &["y"]),
        node("MatMul", &["x", "w2"], &["product"]),
        node("Identity", &["w"], &["w2"]),
        node("Add", &["b", "product"], &["sum"]),
        node("Sub", &["y", "x"], &["z"]),
    ];
    file(nodes, weights)
}

fn names<'a>(nodes: impl IntoIterator<Item = &'a OnnxNode>) -> Vec<&'a str> {
    nodes.into_iter().map(OnnxNode::output).collect()
}

#[test]
fn nodes_are_in_order_and_found() {
    let file = small();
    assert_eq!(names(file.nodes()), ["product", "sum", "y", "z"]);
    assert_eq!(file.metadata("vocab_size"), Some("7"));
    assert_eq!(file.metadata("other"), None);
    assert_eq!(names(file.upstream("y")), ["product", "sum", "y"]);
    assert_eq!(names(file.downstream("product")), ["sum", "y", "z"]);
    assert_eq!(names(file.consumers("x")), ["product", "z"]);
    assert_eq!(file.producer("sum").map(OnnxNode::op), Some("Add"));
    assert!(file.producer("x").is_none() && file.upstream("x").is_empty());
    assert_eq!(file.constant("w2").map(Tensor::shape), Some(&[2, 2][..]));
    assert!(file.constant("product").is_none());
    let broken = file.outputs().iter().map(|port| port.name.as_str()).collect::<Vec<_>>();
    assert_eq!(broken, ["z"]);
}

#[test]
fn parts_run_by_themselves() {
    let file = small();
    let rows = || ["rows".into(), 2.into()];
    let whole = file.network(&[Input::new("x", rows())], &["z", "y"]).expect("network");
    let x = crate::tensor(&[1, 2], &[1f32, 2.0]).expect("a tensor");
    let outputs = whole.run(vec![x.clone()]).expect("runs");
    assert_eq!(crate::values::<f32>(&outputs[1]).expect("floats"), [7.5, 0.0]);
    assert_eq!(crate::values::<f32>(&outputs[0]).expect("floats"), [6.5, -2.0]);
    // The same tensor as output of one part and input of the next; an input that is not needed.
    let first = file.network(&[Input::new("x", rows())], &["product"]).expect("network");
    let inputs = ["x", "product"].map(|name| Input::new(name, rows()));
    let second = file.network(&inputs, &["y"]).expect("network");
    let product = first.run(vec![x.clone()]).expect("runs").remove(0);
    let outputs = second.run(vec![x, product]).expect("runs");
    assert_eq!(crate::values::<f32>(&outputs[0]).expect("floats"), [7.5, 0.0]);
}

#[test]
fn parts_that_cannot_be_are_errors() {
    let file = small();
    let x = || Input::new("x", [1.into(), 2.into()]);
    let error = |inputs: &[Input<'_>], outputs: &[&str]| {
        file.network(inputs, outputs).expect_err("no network").to_string()
    };
    assert!(error(&[], &["y"]).contains("`x`, which is not given"));
    assert!(error(&[x()], &["nothing"]).contains("no operator makes `nothing`"));
    assert!(error(&[x()], &["w"]).contains("no operator makes `w`"));
    assert!(error(&[x(), x()], &["y"]).contains("twice"));
    assert!(error(&[Input::new("x", [1.into(), 3.into()])], &["y"]).starts_with("built.onnx: "));
}

#[test]
fn graphs_that_make_no_sense_are_errors() {
    let open = |nodes: Vec<OnnxNode>| {
        let graph = pb::GraphProto {
            node: nodes.into_iter().map(|node| node.proto).collect(),
            ..Default::default()
        };
        let model = pb::ModelProto { graph: Some(graph), ..Default::default() };
        made(Path::new("broken.onnx"), model).expect_err("broken").to_string()
    };
    let cycle = vec![node("Relu", &["a"], &["b"]), node("Relu", &["b"], &["a"])];
    assert!(open(cycle).contains("depends on itself"));
    let twice = vec![node("Relu", &["x"], &["a"]), node("Relu", &["x"], &["a"])];
    assert!(open(twice).contains("two operators make `a`"));
    let none = made(Path::new("broken.onnx"), pb::ModelProto::default());
    assert!(none.expect_err("broken").to_string().contains("no graph"));
    let mut short = proto("w", &crate::tensor(&[2], &[0f32; 2]).expect("weights"));
    short.dims = vec![1 << 40, 1 << 40];
    let graph = pb::GraphProto { initializer: vec![short], ..Default::default() };
    let model = pb::ModelProto { graph: Some(graph), ..Default::default() };
    assert!(made(Path::new("broken.onnx"), model).is_err());
}

/// They would change unseen.
#[test]
fn weights_in_another_file_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("w.data"), [0; 8]).expect("weights");
    let entry = pb::StringStringEntryProto { key: "location".into(), value: "w.data".into() };
    let external = pb::TensorProto {
        name: "w".into(),
        dims: vec![2],
        data_type: pb::tensor_proto::DataType::Float as i32,
        data_location: Some(pb::tensor_proto::DataLocation::External as i32),
        external_data: vec![entry],
        ..Default::default()
    };
    let graph = pb::GraphProto { initializer: vec![external], ..Default::default() };
    let model = pb::ModelProto { graph: Some(graph), ..Default::default() };
    let error = made(&directory.path().join("model.onnx"), model).expect_err("refused");
    let error = error.to_string();
    assert!(error.contains("another file (`w.data`)") && error.contains("onnx.save"), "{error}");
}

/// `Less(Range(0, max(lengths)), lengths)` as FunASR's exporter writes it, and what it masks.
fn masked() -> OnnxFile {
    let scalar = |value: f32| crate::tensor(&[], &[value]).expect("a scalar");
    let axes = |axis: i64| crate::tensor(&[1], &[axis]).expect("axes");
    let weights = vec![
        ("zero", scalar(0.0)),
        ("one", scalar(1.0)),
        ("low", scalar(-10000.0)),
        ("last", axes(-1)),
        ("second", axes(1)),
    ];
    let nodes = vec![
        with(node("ReduceMax", &["lengths"], &["max"]), "keepdims", &[0]),
        with(node("Cast", &["max"], &["limit"]), "to", &[1]),
        node("Range", &["zero", "limit", "one"], &["positions"]),
        with(node("Cast", &["positions"], &["whole"]), "to", &[7]),
        node("Unsqueeze", &["lengths", "last"], &["column"]),
        with(node("Cast", &["column"], &["wide"]), "to", &[7]),
        node("Less", &["whole", "wide"], &["mask"]),
        with(node("Cast", &["mask"], &["ones"]), "to", &[1]),
        node("Unsqueeze", &["ones", "last"], &["per_row"]),
        node("Mul", &["x", "per_row"], &["kept"]),
        node("Unsqueeze", &["ones", "second"], &["per_column"]),
        node("Sub", &["one", "per_column"], &["padding"]),
        node("Mul", &["padding", "low"], &["penalty"]),
        node("Add", &["scores", "penalty"], &["y"]),
        with(node("ReduceSum", &["ones", "last"], &["count"]), "keepdims", &[0]),
        node("Add", &["y", "kept"], &["z"]),
    ];
    file(nodes, weights)
}

#[test]
fn masks_of_one_recording_vanish() {
    let file = masked();
    let inputs = [
        Input::new("x", [1.into(), "n".into(), 1.into()]),
        Input::new("scores", [1.into(), "n".into(), "n".into()]),
        Input::full_length("lengths", "n"),
    ];
    let network = file.network(&inputs, &["z"]).expect("network");
    assert_eq!(network.operators().len(), 1, "{:?}", network.operators());
    let x = crate::tensor(&[1, 2, 1], &[1f32, 2.0]).expect("a tensor");
    let scores = crate::tensor(&[1, 2, 2], &[1f32, 2.0, 3.0, 4.0]).expect("a tensor");
    let outputs = network.run(vec![x.clone(), scores.clone()]).expect("runs");
    assert_eq!(crate::values::<f32>(&outputs[0]).expect("floats"), [2.0, 3.0, 5.0, 6.0]);
    // Where their shape matters, it is known.
    let network = file.network(&inputs, &["count"]).expect("network");
    let outputs = network.run(vec![x, scores]).expect("runs");
    assert_eq!(crate::values::<f32>(&outputs[0]).expect("floats"), [2.0]);
}
