//! Linear layers, those in ONNX's dynamic quantization too.

use std::borrow::Cow;

use kernels::{PostOp, dynamic};
use tract_onnx::{pb::NodeProto, tract_core::internal::*, tract_hir::internal::*};

use super::{constant, tensor};
use crate::{
    onnx::{fuse, graph, stored},
    ops,
};

#[derive(Debug, Clone)]
pub(super) struct DynamicQuantize;

impl Expansion for DynamicQuantize {
    fn name(&self) -> StaticName {
        "DynamicQuantizeLinear".into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(3)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 3)?;
        s.equals(&inputs[0].datum_type, f32::datum_type())?;
        s.equals(&inputs[0].shape, &outputs[0].shape)?;
        let kinds = [u8::datum_type(), f32::datum_type(), u8::datum_type()];
        for (output, kind) in outputs.iter().zip(kinds) {
            s.equals(&output.datum_type, kind)?;
        }
        s.equals(&outputs[1].rank, 0)?;
        s.equals(&outputs[2].rank, 0)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, ops::DynamicQuantize, inputs)
    }
}

/// What follows a product.
#[derive(Debug, Clone, Copy)]
pub(super) struct After {
    pub(super) biased: bool,
    pub(super) relu: bool,
    pub(super) residual: bool,
}

impl After {
    pub(super) fn of(node: &NodeProto) -> Self {
        let has = |name: &str| node.attribute.iter().any(|attribute| attribute.name == name);
        let (biased, relu, residual) = (has(fuse::BIASED), has(fuse::RELU), has(fuse::RESIDUAL));
        Self { biased, relu, residual }
    }

    /// The output is of the shape of the first input but for its last axis, which is that of the
    /// weights.
    fn rules<'r, 'p: 'r>(
        self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        weights: usize,
        given: usize,
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, given + usize::from(self.biased) + usize::from(self.residual))?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, f32::datum_type())?;
        let residual = self.residual.then(|| inputs.len() - 1);
        s.given_2(&inputs[0].shape, &inputs[weights].shape, move |s, mut shape, weights| {
            ensure!(weights.len() == 2, "weights {weights:?}");
            *shape.last_mut().context("takes at least one axis")? = weights[1].clone();
            let Some(residual) = residual else { return s.equals(&outputs[0].shape, shape) };
            s.given(&inputs[residual].shape, move |s, other| {
                let sum = tract_onnx::tract_core::broadcast::multi_broadcast(&[&shape, &other])?;
                s.equals(&outputs[0].shape, sum)
            })
        })
    }

    /// Wires the operator that `of` makes for a post-op, over `taken`.
    fn wire<O: Into<Box<dyn TypedOp>>>(
        self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
        taken: usize,
        outputs: usize,
        of: impl FnOnce(PostOp) -> O,
    ) -> TractResult<TVec<OutletId>> {
        let mut taken: TVec<_> = inputs[..taken].into();
        let Some(&residual) = inputs.last().filter(|_| self.residual) else {
            return model.wire_node(
                prefix,
                of(if self.relu { PostOp::Relu } else { PostOp::None }),
                &taken,
            );
        };
        let mut shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        *shape.last_mut().context("takes at least one axis")? = outputs.to_dim();
        if *model.outlet_fact(residual)?.shape == *shape {
            taken.push(residual);
            return model.wire_node(prefix, of(PostOp::Add), &taken);
        }
        let product = model.wire_node(format!("{prefix}.product"), of(PostOp::None), &taken)?[0];
        let sum = [product, residual];
        let sum = tract_onnx::tract_hir::ops::binary::wire_rank_broadcast(prefix, model, &sum)?;
        model.wire_node(prefix, tract_onnx::tract_core::ops::math::add(), &sum)
    }
}

/// Takes values, scale, zero point; weights `[inputs, outputs]`, their zero points and scales, a
/// bias if there is one, all constant; and what is added.
#[derive(Debug, Clone)]
pub(super) struct QuantizedLinear(pub(super) After);

impl Expansion for QuantizedLinear {
    fn name(&self) -> StaticName {
        "QuantizedLinear".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.0.rules(s, inputs, 3, 6, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let weights = tensor(model, inputs[3])?;
        let depth = *weights.shape().first().context("weights without inputs")?;
        ensure!((1..=dynamic::MAX_INPUTS).contains(&depth), "{depth} inputs");
        let outputs = weights.len() / depth;
        let signed = is_signed(&weights)?;
        let weights = stored::with_bytes(&weights, |weights| {
            let weights = unsigned(weights, signed);
            // After the weights: where those are quantized now, these come with them.
            let zero_points = tensor(model, inputs[4])?;
            let signed = is_signed(&zero_points)?;
            let zero_points = stored::load(&zero_points)?;
            let mut zero_points = unsigned(zero_points.as_bytes(), signed).into_owned();
            let mut scales = constant::<f32>(model, inputs[5])?;
            // One for all columns.
            for parameter in [zero_points.len(), scales.len()] {
                ensure!(
                    parameter == 1 || parameter == outputs,
                    "{parameter} for {outputs} columns"
                );
            }
            if zero_points.len() == 1 {
                zero_points = vec![zero_points[0]; outputs];
            }
            if scales.len() == 1 {
                scales = vec![scales[0]; outputs];
            }
            Ok(dynamic::Weights::pack(&weights, &zero_points, &scales, depth))
        })?;
        let bias = self.0.biased.then(|| constant::<f32>(model, inputs[6])).transpose()?;
        ensure!(bias.as_ref().is_none_or(|bias| bias.len() == outputs), "a bias of {outputs}");
        let (weights, bias) = (Arc::new(weights), bias.map(Into::into));
        let of = |post_op| ops::QuantizedLinear { weights, bias, post_op };
        self.0.wire(prefix, model, inputs, 3, outputs, of)
    }
}

/// Whether quantized values are i8, or u8; an error if they are neither.
fn is_signed(values: &Tensor) -> TractResult<bool> {
    let kind = values.datum_type();
    ensure!([i8::datum_type(), u8::datum_type()].contains(&kind), "quantized to {kind:?}");
    Ok(kind == i8::datum_type())
}

/// Signed weights are the unsigned ones shifted, zero points too.
fn unsigned(values: &[u8], signed: bool) -> Cow<'_, [u8]> {
    match signed {
        true => Cow::Owned(values.iter().map(|value| value ^ 0x80).collect()),
        false => Cow::Borrowed(values),
    }
}

/// Takes x; weights `[inputs, outputs]`, a bias if there is one, both constant; and what is added.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    after: After,
    rounded: bool,
}

/// Attribute of a linear layer that is multiplied in bfloat16.
const ROUNDED: &str = "rounded";
/// Layers of fewer outputs than that stay f32: they cost nothing, and may decide much by a threshold, as
/// Paraformer's predictor does whether a token fires.
const FEWEST_ROUNDED: usize = 16;

impl Linear {
    pub(super) fn of(node: &NodeProto) -> Self {
        let rounded = node.attribute.iter().any(|attribute| attribute.name == ROUNDED);
        Self { after: After::of(node), rounded }
    }
}

/// Has linear layers multiplied in bfloat16, but for those of few outputs.
pub(in crate::onnx) fn round_products(graph: &mut graph::Graph) {
    let graph::Graph { nodes, constants, .. } = graph;
    for node in nodes.iter_mut().filter(|node| node.op() == fuse::LINEAR) {
        let weights = node.input(1).and_then(|weights| constants.get(weights));
        let outputs = weights.and_then(|weights| weights.shape().last().copied());
        if outputs.is_some_and(|outputs| outputs >= FEWEST_ROUNDED) {
            node.set_int(ROUNDED, 1);
        }
    }
}

impl Expansion for Linear {
    fn name(&self) -> StaticName {
        "Linear".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.after.rules(s, inputs, 1, 2, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let weights = tensor(model, inputs[1])?;
        let &[_, outputs] = weights.shape() else { bail!("weights {:?}", weights.shape()) };
        let bias = self.after.biased.then(|| constant::<f32>(model, inputs[2])).transpose()?;
        let layer = stored::with_floats(&weights, |weights| {
            Ok(crate::Linear::by_input(weights, outputs, bias, self.rounded)?)
        })?;
        let layer = Arc::new(layer);
        let of = |post_op| ops::Linear { layer, post_op };
        self.after.wire(prefix, model, inputs, 1, outputs, of)
    }
}
