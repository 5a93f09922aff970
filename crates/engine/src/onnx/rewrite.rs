//! What is fused once shapes are known: operators read parts of tensors where they lie, and quantize
//! what they give where nobody else takes it.

use kernels::attention::Products;
use tract_onnx::tract_core::{internal::*, model::Rewriter, ops::array::Slice};

use crate::ops;

/// Rewrites a network, whose attention multiplies `products`.
pub(super) fn rewrite(model: &mut TypedModel, products: Products) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for("sum", |_: &Products, model, node, _, op| ops::Sum::replace(model, node, op))
        .with_rule_for("attention", attention)
        .with_rule_for("fsmn", |_, model, node, _, op| fsmn(model, node, op))
        .rewrite(&products, model)?;
    // Last, as they hide the operator that comes first.
    Rewriter::default()
        .with_rule_for("quantize", |_: &Products, model, node, _, op| quantize(model, node, op))
        .rewrite(&products, model)
}

/// Queries, keys and values that lie among other columns.
fn attention(
    &products: &Products,
    model: &TypedModel,
    node: &TypedNode,
    _: &str,
    op: &ops::Attention,
) -> TractResult<Option<TypedModelPatch>> {
    let mut inputs: TVec<OutletId> = tvec!();
    let mut parts = op.parts;
    for part in &mut parts {
        let mut outlet = node.inputs[part.input];
        if let Some((first, _)) = last_axis_slice(model, outlet)? {
            outlet = model.node(outlet.node).inputs[0];
            part.first += first;
        }
        part.input = inputs.iter().position(|&input| input == outlet).unwrap_or(inputs.len());
        if part.input == inputs.len() {
            inputs.push(outlet);
        }
    }
    if op.products == products && op.parts == parts {
        return Ok(None);
    }
    let op = ops::Attention { products, parts, ..op.clone() };
    TypedModelPatch::replace_single_op(model, node, &inputs, op).map(Some)
}

/// Where a stretch of the last axis starts, and how long it is, if that is what `outlet` is.
fn last_axis_slice(model: &TypedModel, outlet: OutletId) -> TractResult<Option<(usize, usize)>> {
    let Some(slice) = model.node(outlet.node).op_as::<Slice>() else { return Ok(None) };
    let last = slice.axis + 1 == model.outlet_fact(outlet)?.rank();
    let range = slice.start.to_usize().ok().zip(slice.end.to_usize().ok());
    Ok(range.filter(|_| last).map(|(start, end)| (start, end - start)))
}

/// Channels among others.
fn fsmn(
    model: &TypedModel,
    node: &TypedNode,
    op: &ops::Fsmn,
) -> TractResult<Option<TypedModelPatch>> {
    let Some((first, _)) = last_axis_slice(model, node.inputs[0])? else { return Ok(None) };
    let whole = model.node(node.inputs[0].node).inputs[0];
    let op = ops::Fsmn { first: op.first + first, ..op.clone() };
    TypedModelPatch::replace_single_op(model, node, &[whole], op).map(Some)
}

/// Quantization of what nobody else takes.
fn quantize(
    model: &TypedModel,
    node: &TypedNode,
    _: &ops::DynamicQuantize,
) -> TractResult<Option<TypedModelPatch>> {
    let producer = model.node(node.inputs[0].node);
    let alone = producer.outputs[0].successors.len() == 1
        && !model.output_outlets()?.contains(&node.inputs[0]);
    let Some(op) = ops::ThenQuantize::of(producer.op.as_ref()).filter(|_| alone) else {
        return Ok(None);
    };
    TypedModelPatch::replace_single_op(model, node, &producer.inputs, op).map(Some)
}
