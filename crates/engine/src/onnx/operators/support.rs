//! Parts that the registered operators share.

use tract_onnx::{
    model::ParsingContext, pb::NodeProto, tract_core::internal::*, tract_hir::internal::*,
};

use crate::{
    onnx::{lazy, tract::TRACT},
    ops,
};

/// Result of building an operator for tract's front end.
pub(super) type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// Returns `op` as the result of building it.
pub(super) fn built(op: impl Expansion) -> Built {
    Ok((expand(op), vec![]))
}

/// Builds tract's own operator `op` for a node that ours does not cover.
pub(super) fn build_generic(op: &str, context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    match TRACT.op_register.0.get(op) {
        Some(build) => build(context, node),
        None => bail!("this kind of {op} is not supported"),
    }
}

/// Rules of an operator with `count` inputs and one output that has the shape of the first input;
/// both are f32.
pub(super) fn same_shape<'r, 'p: 'r>(
    s: &mut Solver<'r>,
    inputs: &'p [TensorProxy],
    count: usize,
    outputs: &'p [TensorProxy],
) -> InferenceResult {
    check_input_arity(inputs, count)?;
    check_output_arity(outputs, 1)?;
    s.equals(&inputs[0].datum_type, f32::datum_type())?;
    s.equals(&outputs[0].datum_type, f32::datum_type())?;
    s.equals(&inputs[0].shape, &outputs[0].shape)
}

/// Returns whether a node has an attribute.
pub(super) fn has_attribute(node: &NodeProto, name: &str) -> bool {
    node.attribute.iter().any(|attribute| attribute.name == name)
}

/// Returns a constant input, which may be lazy.
pub(super) fn constant_tensor(model: &TypedModel, outlet: OutletId) -> TractResult<Arc<Tensor>> {
    if let Some(ops::LazyWeights(tensor)) = model.node(outlet.node).op_as::<ops::LazyWeights>() {
        return Ok(tensor.clone());
    }
    let constant = model.outlet_fact(outlet)?.konst.clone();
    constant.with_context(|| format!("`{}` is not constant", model.node(outlet.node).name))
}

/// Returns the values of a constant input.
pub(super) fn constant<T: Datum + Copy>(
    model: &TypedModel,
    outlet: OutletId,
) -> TractResult<Vec<T>> {
    let value = lazy::load(&constant_tensor(model, outlet)?)?;
    Ok(value.try_as_plain_ram()?.as_slice::<T>()?.to_vec())
}
