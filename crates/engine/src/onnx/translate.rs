//! From protobuf to tract.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

use tract_onnx::{
    pb,
    tensor::load_tensor,
    tract_core::internal::*,
    tract_hir::{internal::*, ops::konst::Const},
};

use super::{
    Dim, Given, Input, OnnxNode, TRACT,
    graph::Graph,
    masks::Known,
    operators,
    source::Source,
    stored::{self, Stored},
};

/// Weights of so many bytes and more stay in the file: see [`super::stored`].
const LARGE: usize = 4096;

/// The weights of a file; `raw`: where the values lie of those that have none.
pub(super) fn constants(
    initializers: Vec<pb::TensorProto>,
    raw: &[Option<Range<u64>>],
    source: &Arc<Source>,
) -> TractResult<HashMap<String, Arc<Tensor>>> {
    let mut constants = HashMap::with_capacity(initializers.len());
    let raw = raw.iter().cloned().chain(std::iter::repeat(None));
    for (mut proto, raw) in initializers.into_iter().zip(raw) {
        let name = std::mem::take(&mut proto.name);
        let tensor = match raw {
            Some(raw) => weights(&name, &mut proto, raw, source),
            None => tensor(&proto),
        };
        let tensor = tensor.with_context(|| format!("weights `{name}`"))?;
        if !stored::is_late(&tensor) {
            stored::check(&name, &tensor)?;
        }
        constants.insert(name, Arc::new(tensor));
    }
    Ok(constants)
}

/// The tensor whose values lie at `raw`.
fn weights(
    name: &str,
    proto: &mut pb::TensorProto,
    raw: Range<u64>,
    source: &Arc<Source>,
) -> TractResult<Tensor> {
    let bytes = usize::try_from(raw.end - raw.start)?;
    let kind = pb::tensor_proto::DataType::try_from(proto.data_type).ok();
    let kind = kind.and_then(|kind| DatumType::try_from(kind).ok());
    let shape = proto.dims.iter().map(|&dim| usize::try_from(dim)).collect::<Result<TVec<_>, _>>();
    if let (Some(kind), Ok(shape)) = (kind, shape)
        && [f32::datum_type(), u8::datum_type(), i8::datum_type()].contains(&kind)
        && bytes >= LARGE
        && shape.iter().try_fold(kind.size_of(), |size, &dim| size.checked_mul(dim)) == Some(bytes)
        && !is_external(proto)
    {
        return Ok(Stored::tensor(name, source, raw.start, kind, &shape));
    }
    proto.raw_data = vec![0; bytes];
    source.read(raw.start, &mut proto.raw_data)?;
    tensor(proto)
}

/// The value of a `Constant`; `None` if it is of a kind that only tract knows.
pub(super) fn constant(node: &OnnxNode) -> TractResult<Option<Tensor>> {
    if let Some(proto) = node.tensor("value") {
        return tensor(proto).map(Some);
    }
    let scalar = node.float("value_float").map(tensor0);
    Ok(scalar
        .or_else(|| node.int("value_int").map(tensor0))
        .or_else(|| node.ints("value_ints").map(tensor1)))
}

/// Values in another file are refused: what a model computes must hang on the bytes of its file, by
/// which it is known.
pub(super) fn tensor(proto: &pb::TensorProto) -> TractResult<Tensor> {
    use pb::tensor_proto::DataType;
    if is_external(proto) {
        let location = proto.external_data.iter().find(|entry| entry.key == "location");
        bail!(
            "the values lie in another file (`{}`): save the model as one, in Python: \
             onnx.save(onnx.load(\"model.onnx\"), \"single.onnx\")",
            location.map_or("", |entry| &entry.value)
        );
    }
    // tract panics on these when they are raw.
    let text = proto.data_type == DataType::String as i32;
    ensure!(!text || !proto.string_data.is_empty(), "text without a text");
    load_tensor(&*TRACT.provider, proto, None)
}

fn is_external(proto: &pb::TensorProto) -> bool {
    proto.data_location == Some(pb::tensor_proto::DataLocation::External as i32)
}

/// A model to translate into, and what `inputs` say in its symbols.
pub(super) fn known<'a>(inputs: &[Input<'a>]) -> (InferenceModel, Known<'a>) {
    let template = InferenceModel::default();
    let dim = |dim: &Dim| match dim {
        Dim::Fixed(length) => length.to_dim(),
        Dim::Symbol(name) => template.symbols.sym(name).to_dim(),
    };
    let mut known = Known { lengths: HashMap::new(), shapes: HashMap::new() };
    for input in inputs {
        match &input.given {
            Given::Length(axis) => {
                known.lengths.insert(input.name, dim(&Dim::Symbol(axis)));
            }
            Given::Tensor(dims) => {
                known.shapes.insert(input.name, dims.iter().map(dim).collect());
            }
        }
    }
    (template, known)
}

/// The weights that only operators of ours take: they read them when they pack them.
fn packed(nodes: &[OnnxNode], constants: &HashMap<String, Arc<Tensor>>) -> HashSet<String> {
    let late = constants.iter().filter(|(_, constant)| stored::is_late(constant));
    let mut late: HashSet<_> = late.map(|(name, _)| name.clone()).collect();
    for node in nodes.iter().filter(|node| !operators::packs(node)) {
        for name in node.needs() {
            late.remove(name);
        }
    }
    late
}

/// `graph` as a network.
pub(super) fn network(
    graph: Graph,
    template: InferenceModel,
    mut known: Known<'_>,
    inputs: &[Input<'_>],
    outputs: &[&str],
    element: impl Fn(&str) -> DatumType,
    opsets: &[pb::OperatorSetIdProto],
) -> TractResult<TypedModel> {
    let Graph { nodes, mut constants, .. } = graph;
    for (name, length) in known.lengths {
        constants.insert(name.to_owned(), tensor1(&[length]).into_arc_tensor());
    }
    let packed = packed(&nodes, &constants);
    let port = |name: &str| pb::ValueInfoProto { name: name.to_owned(), ..Default::default() };
    let proto = pb::ModelProto {
        opset_import: opsets.to_vec(),
        graph: Some(pb::GraphProto {
            node: nodes.into_iter().map(|node| node.proto).collect(),
            output: outputs.iter().map(|&output| port(output)).collect(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut framework = TRACT.clone();
    operators::register(&mut framework.op_register);
    let parsed = framework.parse_with_template(&proto, None, template)?;
    drop(proto);
    let mut model = parsed.model;
    // What no node makes, tract takes for inputs. Constants are put in their place.
    for name in &parsed.unresolved_inputs {
        let Some(constant) = constants.remove(name) else { continue };
        let outlet = parsed.outlets_by_name[name];
        if packed.contains(name) {
            let fact = InferenceFact::dt_shape(constant.datum_type(), constant.shape());
            model.node_mut(outlet.node).op = expand(operators::Late(constant));
            model.set_outlet_fact(outlet, fact)?;
            continue;
        }
        let constant = stored::load(&constant)?;
        model.node_mut(outlet.node).op = Box::new(Const::new(constant.clone())?);
        model.set_outlet_fact(outlet, constant.try_into()?)?;
    }
    drop(constants);
    let mut given = Vec::new();
    for input in inputs {
        let Some(shape) = known.shapes.remove(input.name) else { continue };
        let fact = InferenceFact::dt_shape(element(input.name), shape);
        given.push(match parsed.outlets_by_name.get(input.name) {
            Some(&outlet) => {
                model.set_outlet_fact(outlet, fact)?;
                outlet
            }
            None => model.add_source(input.name, fact)?,
        });
    }
    model.set_input_outlets(&given)?;
    let typed = model.into_typed();
    stored::release();
    typed?.into_decluttered()
}
