//! Nodes of an ONNX graph.

use tract_onnx::{pb, prelude::Tensor};

use super::tensors;

/// A node of an ONNX graph: an operator with its attributes, and names of tensors.
#[derive(Debug, Clone)]
pub struct OnnxNode {
    pub(super) proto: pb::NodeProto,
    /// Tensors of the graph that its subgraphs use.
    pub(super) captures: Vec<String>,
}

impl OnnxNode {
    pub(super) fn new(proto: pb::NodeProto) -> Self {
        let mut captures = Vec::new();
        for graph in subgraphs(&proto) {
            add_captures(graph, &mut captures);
        }
        Self { proto, captures }
    }

    /// Makes a node of one output, which also is the name of the node.
    pub(super) fn with(op: &str, inputs: &[&str], output: &str) -> Self {
        let proto = pb::NodeProto {
            op_type: op.to_owned(),
            name: output.to_owned(),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..Default::default()
        };
        Self { proto, captures: Vec::new() }
    }

    /// Returns the kind of operator, e.g. `MatMul`.
    pub fn op(&self) -> &str {
        &self.proto.op_type
    }

    /// Returns the name that the exporter gave: `/decoder/output_layer/MatMul`, or `MatMul_123` in
    /// old files.
    pub fn name(&self) -> &str {
        &self.proto.name
    }

    /// Returns the names of the inputs, empty for an omitted optional input.
    pub fn inputs(&self) -> &[String] {
        &self.proto.input
    }

    /// Returns the name of the input at `index`, if it is not omitted.
    pub fn input(&self, index: usize) -> Option<&str> {
        self.proto.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Returns the names of the outputs, empty for an omitted optional output.
    pub fn outputs(&self) -> &[String] {
        &self.proto.output
    }

    /// Returns the name of the first output.
    pub fn output(&self) -> &str {
        self.proto.output.first().map_or("", String::as_str)
    }

    /// Returns an integer attribute.
    pub fn int(&self, attribute: &str) -> Option<i64> {
        self.attribute(attribute, Type::Int).map(|attribute| attribute.i)
    }

    /// Returns an attribute that is a list of integers.
    pub fn ints(&self, attribute: &str) -> Option<&[i64]> {
        self.attribute(attribute, Type::Ints).map(|attribute| &*attribute.ints)
    }

    /// Returns an attribute that is a floating-point number.
    pub fn float(&self, attribute: &str) -> Option<f32> {
        self.attribute(attribute, Type::Float).map(|attribute| attribute.f)
    }

    /// Returns an attribute that is text in UTF-8.
    pub fn text(&self, attribute: &str) -> Option<&str> {
        let attribute = self.attribute(attribute, Type::String)?;
        std::str::from_utf8(&attribute.s).ok()
    }

    /// Returns whether the node has an attribute, of any type.
    pub fn has(&self, attribute: &str) -> bool {
        self.proto.attribute.iter().any(|found| found.name == attribute)
    }

    /// Returns an attribute that is a tensor, `None` also if it is damaged.
    pub fn constant(&self, attribute: &str) -> Option<Tensor> {
        self.tensor(attribute).and_then(|proto| tensors::tensor(proto).ok())
    }

    /// Returns the tensors that the node depends on: its inputs and those that its subgraphs use.
    pub(super) fn dependencies(&self) -> impl Iterator<Item = &str> {
        let inputs = self.proto.input.iter().filter(|name| !name.is_empty());
        inputs.chain(&self.captures).map(String::as_str)
    }

    pub(super) fn tensor(&self, attribute: &str) -> Option<&pb::TensorProto> {
        self.attribute(attribute, Type::Tensor)?.t.as_ref()
    }

    pub(super) fn set_float(&mut self, attribute: &str, value: f32) {
        let name = attribute.to_owned();
        let attribute =
            pb::AttributeProto { name, r#type: Type::Float as i32, f: value, ..Default::default() };
        self.proto.attribute.push(attribute);
    }

    pub(super) fn set_int(&mut self, attribute: &str, value: i64) {
        let name = attribute.to_owned();
        let attribute =
            pb::AttributeProto { name, r#type: Type::Int as i32, i: value, ..Default::default() };
        self.proto.attribute.push(attribute);
    }

    fn attribute(&self, name: &str, kind: Type) -> Option<&pb::AttributeProto> {
        let mut attributes = self.proto.attribute.iter();
        attributes.find(|found| found.name == name && found.r#type == kind as i32)
    }
}

type Type = pb::attribute_proto::AttributeType;

fn subgraphs(node: &pb::NodeProto) -> impl Iterator<Item = &pb::GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

/// Adds the tensors that `graph` uses but does not compute.
fn add_captures(graph: &pb::GraphProto, captures: &mut Vec<String>) {
    let inputs = graph.input.iter().map(|input| &input.name);
    let initializers = graph.initializer.iter().map(|tensor| &tensor.name);
    let computed = graph.node.iter().flat_map(|node| &node.output);
    let inside: std::collections::HashSet<_> = inputs.chain(initializers).chain(computed).collect();
    let mut used: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    for node in &graph.node {
        used.extend(node.input.iter().cloned());
        subgraphs(node).for_each(|graph| add_captures(graph, &mut used));
    }
    for name in used {
        if !name.is_empty() && !inside.contains(&name) && !captures.contains(&name) {
            captures.push(name);
        }
    }
}
