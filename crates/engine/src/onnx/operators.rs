//! What is registered with tract beside its own operators, and in the place of some.

mod layers;
mod linear;
mod lstm;
mod select;

use tract_onnx::{
    model::{OnnxOpRegister, ParsingContext},
    pb::NodeProto,
    tract_core::internal::*,
    tract_hir::{internal::*, ops::array::ConstantOfShape},
};

use self::{
    layers::{Attention, Fsmn, LayerNorm, softmax_or_tracts},
    linear::{After, DynamicQuantize, Linear, QuantizedLinear},
    lstm::lstm_or_tracts,
    select::{Truncate, top_k_or_tracts},
};
use super::{OnnxNode, TRACT, fuse, masks, stored};
use crate::ops;

pub(super) use self::linear::round_products;

type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

pub(super) fn register(register: &mut OnnxOpRegister) {
    register.insert(masks::ALL_TRUE, |_, _| {
        Ok((expand(ConstantOfShape::new(rctensor0(true))), vec![]))
    });
    register.insert("DynamicQuantizeLinear", |_, _| Ok((expand(DynamicQuantize), vec![])));
    register.insert(fuse::QUANTIZED_LINEAR, |_, node| {
        Ok((expand(QuantizedLinear(After::of(node))), vec![]))
    });
    register.insert(fuse::LINEAR, |_, node| Ok((expand(Linear::of(node)), vec![])));
    register.insert(fuse::LAYER_NORM, |_, node| {
        Ok((expand(LayerNorm { epsilon: node.get_attr("epsilon")? }), vec![]))
    });
    register.insert(fuse::ATTENTION, |_, node| {
        Ok((expand(Attention { heads: node.get_attr(fuse::HEADS)? }), vec![]))
    });
    register.insert(fuse::FSMN, |_, node| {
        let residual = node.get_attr_opt::<i64>(fuse::RESIDUAL)?.is_some();
        Ok((expand(Fsmn { residual }), vec![]))
    });
    register.insert(fuse::TRUNCATE, |_, node| {
        let (axis, length) = (node.get_attr("axis")?, node.get_attr("length")?);
        Ok((expand(Truncate { axis, length }), vec![]))
    });
    register.insert("LogSoftmax", softmax_or_tracts);
    register.insert("LSTM", lstm_or_tracts);
    register.insert("Softmax", softmax_or_tracts);
    register.insert("TopK", top_k_or_tracts);
}

/// What tract makes of a node.
fn tracts(op: &str, context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    match TRACT.op_register.0.get(op) {
        Some(build) => build(context, node),
        None => bail!("{op} of an unusual kind"),
    }
}

/// Whether an operator reads its weights only to pack them, when it is made.
pub(super) fn packs(node: &OnnxNode) -> bool {
    node.op().starts_with("scriptorium.")
}

/// Weights that [`constant`] reads.
#[derive(Debug, Clone)]
pub(super) struct Late(pub(super) Arc<Tensor>);

impl Expansion for Late {
    fn name(&self) -> StaticName {
        "Weights".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        _: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        s.equals(&outputs[0].datum_type, self.0.datum_type())?;
        s.equals(&outputs[0].shape, ShapeFactoid::from(self.0.shape()))
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        _: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, ops::Weights(self.0.clone()), &[])
    }
}

/// A constant, which may be in the file.
fn tensor(model: &TypedModel, outlet: OutletId) -> TractResult<Arc<Tensor>> {
    if let Some(ops::Weights(late)) = model.node(outlet.node).op_as::<ops::Weights>() {
        return Ok(late.clone());
    }
    model.outlet_fact(outlet)?.konst.clone().context("is not constant")
}

fn constant<T: Datum + Copy>(model: &TypedModel, outlet: OutletId) -> TractResult<Vec<T>> {
    let value = stored::load(&tensor(model, outlet)?)?;
    Ok(value.try_as_plain_ram()?.as_slice::<T>()?.to_vec())
}
