//! Layer normalization, softmax, attention, FSMN.

use kernels::attention::ComputeType;
use tract_onnx::{
    model::ParsingContext, pb::NodeProto, tract_core::internal::*, tract_hir::internal::*,
};

use super::support::{Built, build_generic, built, constant, same_shape};
use crate::ops;

/// Inputs: x, gamma, beta; the last two are constant.
#[derive(Debug, Clone)]
pub(super) struct LayerNorm {
    pub(super) epsilon: f32,
}

impl Expansion for LayerNorm {
    fn name(&self) -> StaticName {
        "LayerNorm".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        same_shape(s, inputs, 3, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let op = ops::LayerNorm {
            gamma: constant(model, inputs[1])?.into(),
            beta: constant(model, inputs[2])?.into(),
            epsilon: self.epsilon,
        };
        model.wire_node(prefix, op, &inputs[..1])
    }
}

/// Softmax over the last axis, or its logarithm.
#[derive(Debug, Clone)]
struct Softmax {
    log: bool,
}

/// Builds our softmax for the last axis, tract's for other axes.
pub(super) fn softmax(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    if node.get_attr_opt::<i64>("axis")? == Some(-1) {
        return built(Softmax { log: node.op_type == "LogSoftmax" });
    }
    build_generic(&node.op_type, context, node)
}

impl Expansion for Softmax {
    fn name(&self) -> StaticName {
        "Softmax".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        same_shape(s, inputs, 1, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, ops::Softmax { log: self.log }, inputs)
    }
}

/// Inputs: queries, keys and values, `[batch, rows, heads * width]`.
#[derive(Debug, Clone)]
pub(super) struct Attention {
    pub(super) heads: usize,
}

impl Expansion for Attention {
    fn name(&self) -> StaticName {
        "Attention".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        same_shape(s, inputs, 3, outputs)?;
        s.equals(&inputs[1].shape, &inputs[2].shape)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let width = model.outlet_fact(inputs[0])?.shape.last().context("takes [..., width]")?;
        let op = ops::Attention {
            heads: self.heads,
            width: width.to_usize()?,
            compute_type: ComputeType::F32,
            qkv: [0, 1, 2].map(|input| ops::Columns { input, first: 0 }),
        };
        model.wire_node(prefix, op, inputs)
    }
}

/// Inputs: x `[batch, time, channels]`, weights `[channels, 1, taps]`, pads of
/// `[batch, channels, time]`; the last two are constant.
#[derive(Debug, Clone)]
pub(super) struct Fsmn {
    pub(super) residual: bool,
}

impl Expansion for Fsmn {
    fn name(&self) -> StaticName {
        "Fsmn".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        same_shape(s, inputs, 3, outputs)?;
        s.equals(&inputs[0].rank, 3)?;
        s.equals(&inputs[0].shape[2], &inputs[1].shape[0])
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let shape = model.outlet_fact(inputs[1])?.shape.as_concrete().map(<[usize]>::to_vec);
        let Some(&[channels, 1, taps]) = shape.as_deref() else {
            bail!("weights of shape {shape:?}, not [channels, 1, taps]")
        };
        let pads = model.outlet_fact(inputs[2])?.konst.clone().context("pads depend on data")?;
        let pads = pads.cast_to::<i64>()?;
        let &[0, 0, before, 0, 0, after] = pads.try_as_plain_ram()?.as_slice::<i64>()? else {
            bail!("unexpected pads: {pads:?}")
        };
        let keeps = before >= 0 && after >= 0 && before + after + 1 == taps as i64;
        ensure!(keeps, "{taps} taps with pads of {before} and {after} change the length");
        let weights = constant::<f32>(model, inputs[1])?;
        let by_tap = (0..taps).flat_map(|tap| weights[tap..].iter().step_by(taps).copied());
        let op = ops::Fsmn {
            weights: by_tap.collect(),
            channels,
            first: 0,
            before: before as usize,
            residual: self.residual,
        };
        model.wire_node(prefix, op, &inputs[..1])
    }
}
