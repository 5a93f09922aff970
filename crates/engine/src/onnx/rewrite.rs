//! Fusion that depends on shapes: operators read columns of wider tensors, and quantize outputs
//! that nothing else uses.

use kernels::{PostOp, attention::ComputeType};
use tract_onnx::tract_core::{
    internal::*,
    model::Rewriter,
    ops::{
        array::Slice,
        binary::TypedBinOp,
        change_axes::AxisOp,
        cnn::{Conv, KernelFormat, PaddingSpec},
        einsum::EinSum,
        math::Add,
        nn::DataFormat,
    },
};

use crate::ops;

/// Result of a rule: a patch of the model, if the rule matches.
type Patch = TractResult<Option<TypedModelPatch>>;

/// Applies all rules to a model. Attention will compute in `compute_type`.
pub(super) fn rewrite(model: &mut TypedModel, compute_type: ComputeType) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for("sum", sum)
        .with_rule_for("attention", attention)
        .with_rule_for("convolution", convolution)
        .with_rule_for("fsmn", fsmn)
        .rewrite(&compute_type, model)?;
    // Last, because it hides the operator that it fuses.
    Rewriter::default().with_rule_for("quantize", quantize).rewrite(&compute_type, model)
}

/// Replaces the only output of a network, scores of classes, by the argmax of each row. Returns the
/// number of classes.
pub(super) fn append_argmax(model: &mut TypedModel) -> TractResult<usize> {
    let &[scores] = model.output_outlets()? else { bail!("there is more than one output") };
    let classes =
        model.outlet_fact(scores)?.shape.last().context("scores without an axis")?.to_usize()?;
    let node = model.node(scores.node);
    let (op, inputs) = match ops::Argmax::fuse(node.op.as_ref()) {
        Some(op) => (op, node.inputs.clone()),
        None => (ops::Argmax::Scores, vec![scores]),
    };
    let name = format!("{}.argmax", node.name);
    let output = model.wire_node(name, op, &inputs)?;
    model.select_output_outlets(&output)?;
    Ok(classes)
}

/// Replaces the addition of two tensors of the same shape.
fn sum(_: &ComputeType, model: &TypedModel, node: &TypedNode, _: &str, op: &TypedBinOp) -> Patch {
    let facts = model.node_input_facts(node.id)?;
    let float = |fact: &&TypedFact| fact.datum_type == f32::datum_type();
    let computed = |fact: &&TypedFact| fact.konst.is_none() && fact.rank() > 0;
    let same = facts.iter().all(float) && facts[0].shape == facts[1].shape;
    // tract can fuse the addition into an einsum.
    let is_einsum = |outlet: &OutletId| model.node(outlet.node).op.is::<EinSum>();
    if !op.0.is::<Add>()
        || !same
        || !facts.iter().all(computed)
        || node.inputs.iter().any(is_einsum)
        || node.inputs[0] == node.inputs[1]
    {
        return Ok(None);
    }
    TypedModelPatch::replace_single_op(model, node, &node.inputs, ops::Sum).map(Some)
}

/// Sets the compute type of attention, and lets it read queries, keys and values from wider tensors
/// instead of slices of them.
fn attention(
    &compute_type: &ComputeType,
    model: &TypedModel,
    node: &TypedNode,
    _: &str,
    op: &ops::Attention,
) -> Patch {
    let mut inputs: TVec<OutletId> = tvec!();
    let mut qkv = op.qkv;
    for columns in &mut qkv {
        let mut outlet = node.inputs[columns.input];
        if let Some(first) = first_column(model, outlet)? {
            outlet = model.node(outlet.node).inputs[0];
            columns.first += first;
        }
        columns.input = inputs.iter().position(|&input| input == outlet).unwrap_or(inputs.len());
        if columns.input == inputs.len() {
            inputs.push(outlet);
        }
    }
    if op.compute_type == compute_type && op.qkv == qkv {
        return Ok(None);
    }
    let op = ops::Attention { compute_type, qkv, ..op.clone() };
    TypedModelPatch::replace_single_op(model, node, &inputs, op).map(Some)
}

/// Returns the start of a slice of the last axis, if `outlet` is one.
fn first_column(model: &TypedModel, outlet: OutletId) -> TractResult<Option<usize>> {
    let Some(slice) = model.node(outlet.node).op_as::<Slice>() else { return Ok(None) };
    let last = slice.axis + 1 == model.outlet_fact(outlet)?.rank();
    let range = slice.start.to_usize().ok().zip(slice.end.to_usize().ok());
    Ok(range.filter(|_| last).map(|(start, _)| start))
}

/// Replaces a convolution over time of all channels that keeps the length, such as CIF's.
fn convolution(
    _: &ComputeType,
    model: &TypedModel,
    node: &TypedNode,
    name: &str,
    op: &Conv,
) -> Patch {
    let pool = &op.pool_spec;
    let &[kernel] = pool.kernel_shape.as_slice() else { return Ok(None) };
    let pads = PaddingSpec::Explicit(tvec!(kernel / 2), tvec!(kernel / 2));
    let facts = model.node_input_facts(node.id)?;
    let (Some(weights), Some(bias)) = (&facts[1].konst, &facts[2].konst) else { return Ok(None) };
    let kinds = [facts[0].datum_type, weights.datum_type(), bias.datum_type()];
    let channels_last = match pool.data_format {
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
        && kinds.iter().all(|&kind| kind == f32::datum_type());
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
    if !channels_last {
        x = patch.wire_node(format!("{name}.in"), AxisOp::Move(1, 2), &[x])?[0];
    }
    x = patch.wire_node(name, op, &[x])?[0];
    if !channels_last {
        x = patch.wire_node(format!("{name}.out"), AxisOp::Move(2, 1), &[x])?[0];
    }
    patch.shunt_outside(model, node.id.into(), x)?;
    Ok(Some(patch))
}

/// Lets FSMN read its channels from a wider tensor instead of a slice of it.
fn fsmn(_: &ComputeType, model: &TypedModel, node: &TypedNode, _: &str, op: &ops::Fsmn) -> Patch {
    let Some(first) = first_column(model, node.inputs[0])? else { return Ok(None) };
    let input = model.node(node.inputs[0].node).inputs[0];
    let op = ops::Fsmn { first: op.first + first, ..op.clone() };
    TypedModelPatch::replace_single_op(model, node, &[input], op).map(Some)
}

/// Fuses quantization with the operator whose output it quantizes, if nothing else uses that.
fn quantize(
    _: &ComputeType,
    model: &TypedModel,
    node: &TypedNode,
    _: &str,
    _: &ops::DynamicQuantize,
) -> Patch {
    let producer = model.node(node.inputs[0].node);
    let alone = producer.outputs[0].successors.len() == 1
        && !model.output_outlets()?.contains(&node.inputs[0]);
    let Some(op) = ops::QuantizeOutput::fuse(producer.op.as_ref()).filter(|_| alone) else {
        return Ok(None);
    };
    TypedModelPatch::replace_single_op(model, node, &producer.inputs, op).map(Some)
}
