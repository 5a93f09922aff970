//! Reading a graph, queries, and cutting networks.

use super::*;

/// Makes a file of y = relu(x w + b); z = y - x.
fn small() -> OnnxFile {
    let weights = vec![
        ("w", crate::tensor(&[2, 2], &[1f32, 2.0, 3.0, 4.0]).expect("weights")),
        ("b", crate::tensor(&[2], &[0.5f32, -100.0]).expect("weights")),
        ("unused", crate::tensor(&[2], &[0f32; 2]).expect("weights")),
    ];
    // Out of order, and with an alias of the weights.
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
fn nodes_are_sorted_and_found() {
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
    let outputs = file.outputs().iter().map(|port| port.name.as_str()).collect::<Vec<_>>();
    assert_eq!(outputs, ["z"]);
}

#[test]
fn parts_of_a_graph_run() {
    let file = small();
    let rows = || ["rows".into(), 2.into()];
    let whole = file.network(&[Input::new("x", rows())], &["z", "y"]).expect("network");
    let x = crate::tensor(&[1, 2], &[1f32, 2.0]).expect("a tensor");
    let outputs = whole.run(vec![x.clone()]).expect("runs");
    assert_eq!(crate::values::<f32>(&outputs[1]).expect("floats"), [7.5, 0.0]);
    assert_eq!(crate::values::<f32>(&outputs[0]).expect("floats"), [6.5, -2.0]);
    // A tensor is the output of one part and an input of the next, which has an unused input.
    let first = file.network(&[Input::new("x", rows())], &["product"]).expect("network");
    let inputs = ["x", "product"].map(|name| Input::new(name, rows()));
    let second = file.network(&inputs, &["y"]).expect("network");
    let product = first.run(vec![x.clone()]).expect("runs").remove(0);
    let outputs = second.run(vec![x, product]).expect("runs");
    assert_eq!(crate::values::<f32>(&outputs[0]).expect("floats"), [7.5, 0.0]);
}

#[test]
fn impossible_cuts_are_errors() {
    let file = small();
    let x = || Input::new("x", [1.into(), 2.into()]);
    let error = |inputs: &[Input<'_>], outputs: &[&str]| {
        chain(file.network(inputs, outputs).expect_err("no network"))
    };
    assert!(error(&[], &["y"]).contains("`x`, which is not given"));
    assert!(error(&[x()], &["nothing"]).contains("no operator computes `nothing`"));
    assert!(error(&[x()], &["w"]).contains("no operator computes `w`"));
    assert!(error(&[x(), x()], &["y"]).contains("twice"));
    assert!(error(&[Input::new("x", [1.into(), 3.into()])], &["y"]).starts_with("built.onnx: "));
}

#[test]
fn invalid_graphs_are_errors() {
    let open = |nodes: Vec<OnnxNode>| {
        let graph = pb::GraphProto {
            node: nodes.into_iter().map(|node| node.proto).collect(),
            ..Default::default()
        };
        let model = pb::ModelProto { graph: Some(graph), ..Default::default() };
        chain(from_proto(Path::new("broken.onnx"), model).expect_err("broken"))
    };
    let cycle = vec![node("Relu", &["a"], &["b"]), node("Relu", &["b"], &["a"])];
    assert!(open(cycle).contains("depends on itself"));
    let twice = vec![node("Relu", &["x"], &["a"]), node("Relu", &["x"], &["a"])];
    assert!(open(twice).contains("two operators compute `a`"));
    let none = from_proto(Path::new("broken.onnx"), pb::ModelProto::default());
    assert!(chain(none.expect_err("broken")).contains("no graph"));
    let mut short = initializer("w", &crate::tensor(&[2], &[0f32; 2]).expect("weights"));
    short.dims = vec![1 << 40, 1 << 40];
    let graph = pb::GraphProto { initializer: vec![short], ..Default::default() };
    let model = pb::ModelProto { graph: Some(graph), ..Default::default() };
    assert!(from_proto(Path::new("broken.onnx"), model).is_err());
}

/// Makes a file of the mask `Less(Range(0, max(lengths)), lengths)` as FunASR's exporter writes it,
/// and of operators that apply it.
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
fn masks_of_full_length_vanish() {
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
    // A mask whose shape matters stays, with a known shape.
    let network = file.network(&inputs, &["count"]).expect("network");
    let outputs = network.run(vec![x, scores]).expect("runs");
    assert_eq!(crate::values::<f32>(&outputs[0]).expect("floats"), [2.0]);
}
