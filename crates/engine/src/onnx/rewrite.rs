//! What is fused once shapes are known: operators read parts of tensors where they lie, and quantize
//! what they give where nobody else takes it.

use kernels::{PostOp, attention::ComputeType};
use tract_onnx::tract_core::{
    internal::*,
    model::Rewriter,
    ops::{
        array::Slice,
        change_axes::AxisOp,
        cnn::{Conv, KernelFormat, PaddingSpec},
        nn::DataFormat,
    },
};

use crate::ops;

/// Rewrites a network, whose attention multiplies `products`.
pub(super) fn rewrite(model: &mut TypedModel, products: ComputeType) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for("sum", |_: &ComputeType, model, node, _, op| {
            ops::Sum::replace(model, node, op)
        })
        .with_rule_for("attention", attention)
        .with_rule_for("convolution", |_, model, node, name, op| convolution(model, node, name, op))
        .with_rule_for("fsmn", |_, model, node, _, op| fsmn(model, node, op))
        .rewrite(&products, model)?;
    // Last, as they hide the operator that comes first.
    Rewriter::default()
        .with_rule_for("quantize", |_: &ComputeType, model, node, _, op| quantize(model, node, op))
        .rewrite(&products, model)
}

/// Has a network tell the likeliest class of each row where it gave scores; returns how many classes
/// there are.
pub(super) fn likeliest(model: &mut TypedModel) -> TractResult<usize> {
    let &[scores] = model.output_outlets()? else { bail!("one output tells classes apart") };
    let classes =
        model.outlet_fact(scores)?.shape.last().context("scores of no axis")?.to_usize()?;
    let node = model.node(scores.node);
    let (op, inputs) = match ops::Likeliest::of(node.op.as_ref()) {
        Some(op) => (op, node.inputs.clone()),
        None => (ops::Likeliest::Given, vec![scores]),
    };
    let name = format!("{}.likeliest", node.name);
    let output = model.wire_node(name, op, &inputs)?;
    model.select_output_outlets(&output)?;
    Ok(classes)
}

/// Queries, keys and values that lie among other columns.
fn attention(
    &products: &ComputeType,
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

/// A convolution over time, of all channels and to the same length (CIF's).
fn convolution(
    model: &TypedModel,
    node: &TypedNode,
    name: &str,
    op: &Conv,
) -> TractResult<Option<TypedModelPatch>> {
    let pool = &op.pool_spec;
    let &[kernel] = pool.kernel_shape.as_slice() else { return Ok(None) };
    let pads = PaddingSpec::Explicit(tvec!(kernel / 2), tvec!(kernel / 2));
    let facts = model.node_input_facts(node.id)?;
    let (Some(weights), Some(bias)) = (&facts[1].konst, &facts[2].konst) else { return Ok(None) };
    let float = [facts[0].datum_type, weights.datum_type(), bias.datum_type()];
    let last = match pool.data_format {
        DataFormat::NCHW => false,
        DataFormat::NHWC => true,
        _ => return Ok(None),
    };
    let plain = op.group == 1
        && op.q_params.is_none()
        && op.kernel_fmt == KernelFormat::OIHW
        && kernel % 2 == 1
        && pool.padding == pads
        && (pool.stride(0), pool.dilation(0)) == (1, 1)
        && float.iter().all(|&kind| kind == f32::datum_type());
    if !plain {
        return Ok(None);
    }
    let bias = bias.try_as_plain_ram()?.as_slice::<f32>()?;
    let bias = match bias {
        &[bias] => vec![bias; pool.output_channels],
        _ => bias.to_vec(),
    };
    let weights = weights.try_as_plain_ram()?.as_slice::<f32>()?;
    let op = ops::Convolution::new(weights, bias, kernel, 1, PostOp::None)?;
    let mut patch = TypedModelPatch::default();
    let mut x = patch.tap_model(model, node.inputs[0])?;
    if !last {
        x = patch.wire_node(format!("{name}.in"), AxisOp::Move(1, 2), &[x])?[0];
    }
    x = patch.wire_node(name, op, &[x])?[0];
    if !last {
        x = patch.wire_node(format!("{name}.out"), AxisOp::Move(2, 1), &[x])?[0];
    }
    patch.shunt_outside(model, node.id.into(), x)?;
    Ok(Some(patch))
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
