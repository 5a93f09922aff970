//! Translation of a fused graph to a tract model.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tract_onnx::{
    pb,
    tract_core::internal::*,
    tract_hir::{internal::*, ops::konst::Const},
};

use super::{
    graph::Graph,
    input::{Input, InputKind},
    lazy::{free_scratch, is_lazy, load},
    masks::KnownShapes,
    names::packs_weights,
    node::OnnxNode,
    operators::{self, LazyWeights},
    tract::TRACT,
};
use crate::dim::Dim;

/// Returns an empty model to translate into, and shapes and lengths of `inputs` in its symbols.
pub(super) fn known_shapes<'a>(inputs: &[Input<'a>]) -> (InferenceModel, KnownShapes<'a>) {
    let template = InferenceModel::default();
    let dim = |dim: &Dim| match dim {
        Dim::Fixed(length) => length.to_dim(),
        Dim::Symbol(name) => template.symbols.sym(name).to_dim(),
    };
    let mut known = KnownShapes { lengths: HashMap::new(), inputs: HashMap::new() };
    for input in inputs {
        match &input.kind {
            InputKind::Length(axis) => {
                known.lengths.insert(input.name, dim(&Dim::Symbol(axis)));
            }
            InputKind::Tensor(dims) => {
                known.inputs.insert(input.name, dims.iter().map(dim).collect());
            }
        }
    }
    (template, known)
}

/// Returns the lazy constants that only operators use which pack them.
fn packed_constants(
    nodes: &[OnnxNode],
    constants: &HashMap<String, Arc<Tensor>>,
) -> HashSet<String> {
    let lazy = constants.iter().filter(|(_, constant)| is_lazy(constant));
    let mut lazy: HashSet<_> = lazy.map(|(name, _)| name.clone()).collect();
    for node in nodes.iter().filter(|node| !packs_weights(node.op())) {
        for name in node.dependencies() {
            lazy.remove(name);
        }
    }
    lazy
}

/// Translates `graph` to a model. `element` returns the element type of an input.
pub(super) fn translate(
    graph: Graph,
    template: InferenceModel,
    mut known: KnownShapes<'_>,
    inputs: &[Input<'_>],
    outputs: &[&str],
    element: impl Fn(&str) -> DatumType,
    opsets: &[pb::OperatorSetIdProto],
) -> TractResult<TypedModel> {
    let Graph { nodes, mut constants, .. } = graph;
    for (name, length) in known.lengths {
        constants.insert(name.to_owned(), tensor1(&[length]).into_arc_tensor());
    }
    let packed = packed_constants(&nodes, &constants);
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
    // tract makes a source of every tensor that no node computes. Constants replace theirs.
    for name in &parsed.unresolved_inputs {
        let Some(constant) = constants.remove(name) else { continue };
        let outlet = parsed.outlets_by_name[name];
        if packed.contains(name) {
            let fact = InferenceFact::dt_shape(constant.datum_type(), constant.shape());
            model.node_mut(outlet.node).op = expand(LazyWeights(constant));
            model.set_outlet_fact(outlet, fact)?;
            continue;
        }
        let constant = load(&constant)?;
        model.node_mut(outlet.node).op = Box::new(Const::new(constant.clone())?);
        model.set_outlet_fact(outlet, constant.try_into()?)?;
    }
    drop(constants);
    let mut sources = Vec::new();
    for input in inputs {
        let Some(shape) = known.inputs.remove(input.name) else { continue };
        let fact = InferenceFact::dt_shape(element(input.name), shape);
        sources.push(match parsed.outlets_by_name.get(input.name) {
            Some(&outlet) => {
                model.set_outlet_fact(outlet, fact)?;
                outlet
            }
            None => model.add_source(input.name, fact)?,
        });
    }
    model.set_input_outlets(&sources)?;
    let typed = model.into_typed();
    free_scratch();
    typed?.into_decluttered()
}
