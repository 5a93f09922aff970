use tract_onnx::pb;

/// An operator of an ONNX graph.
#[derive(Debug, Clone)]
pub struct OnnxNode {
    pub(super) proto: pb::NodeProto,
    /// What its subgraphs take from around them.
    pub(super) captures: Vec<String>,
}

impl OnnxNode {
    pub(super) fn new(proto: pb::NodeProto) -> Self {
        let mut captures = Vec::new();
        for graph in subgraphs(&proto) {
            captured(graph, &mut captures);
        }
        Self { proto, captures }
    }

    /// A node of one output, named after it.
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

    /// The kind of operator, e.g. `MatMul`.
    pub fn op(&self) -> &str {
        &self.proto.op_type
    }

    /// As the exporter named it: `/decoder/output_layer/MatMul`, or `MatMul_123` in old files.
    pub fn name(&self) -> &str {
        &self.proto.name
    }

    /// Names of tensors; empty where an optional input is left out.
    pub fn inputs(&self) -> &[String] {
        &self.proto.input
    }

    /// The tensor at `index`, if it is not left out.
    pub fn input(&self, index: usize) -> Option<&str> {
        self.proto.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Names of tensors; empty where an optional output is left out.
    pub fn outputs(&self) -> &[String] {
        &self.proto.output
    }

    /// The first output.
    pub fn output(&self) -> &str {
        self.proto.output.first().map_or("", String::as_str)
    }

    /// An attribute that is a whole number.
    pub fn int(&self, attribute: &str) -> Option<i64> {
        self.attribute(attribute, Type::Int).map(|attribute| attribute.i)
    }

    /// An attribute that is a list of whole numbers.
    pub fn ints(&self, attribute: &str) -> Option<&[i64]> {
        self.attribute(attribute, Type::Ints).map(|attribute| &*attribute.ints)
    }

    pub fn float(&self, attribute: &str) -> Option<f32> {
        self.attribute(attribute, Type::Float).map(|attribute| attribute.f)
    }

    /// An attribute that is text in UTF-8.
    pub fn text(&self, attribute: &str) -> Option<&str> {
        let attribute = self.attribute(attribute, Type::String)?;
        std::str::from_utf8(&attribute.s).ok()
    }

    /// All that it depends on: inputs, and what its subgraphs take from around them.
    pub(super) fn needs(&self) -> impl Iterator<Item = &str> {
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
        let is = |found: &&pb::AttributeProto| found.name == name && found.r#type == kind as i32;
        self.proto.attribute.iter().find(is)
    }
}

type Type = pb::attribute_proto::AttributeType;

fn subgraphs(node: &pb::NodeProto) -> impl Iterator<Item = &pb::GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

/// Adds the tensors that `graph` uses and does not make.
fn captured(graph: &pb::GraphProto, captures: &mut Vec<String>) {
    let inputs = graph.input.iter().map(|input| &input.name);
    let initializers = graph.initializer.iter().map(|tensor| &tensor.name);
    let made = graph.node.iter().flat_map(|node| &node.output);
    let inside: std::collections::HashSet<_> = inputs.chain(initializers).chain(made).collect();
    let mut used: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    for node in &graph.node {
        used.extend(node.input.iter().cloned());
        subgraphs(node).for_each(|graph| captured(graph, &mut used));
    }
    for name in used {
        if !name.is_empty() && !inside.contains(&name) && !captures.contains(&name) {
            captures.push(name);
        }
    }
}
