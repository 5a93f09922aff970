//! Operators that we register with tract's ONNX front end: those that fusion inserts, and
//! replacements of some of tract's.

mod layers;
mod lazy_weights;
mod linear;
mod lstm;
mod select;
mod support;

use tract_onnx::{
    model::OnnxOpRegister, tract_core::internal::*, tract_hir::ops::array::ConstantOfShape,
};

use self::{
    layers::{Attention, Fsmn, LayerNorm, softmax},
    linear::{DynamicQuantize, Linear, QuantizedLinear},
    lstm::lstm,
    select::{Truncate, top_k},
    support::built,
};
use super::names;

pub(super) use self::lazy_weights::LazyWeights;

pub(super) fn register(register: &mut OnnxOpRegister) {
    register.insert(names::ALL_TRUE, |_, _| built(ConstantOfShape::new(rctensor0(true))));
    register.insert("DynamicQuantizeLinear", |_, _| built(DynamicQuantize));
    register.insert(names::QUANTIZED_LINEAR, |_, node| built(QuantizedLinear::new(node)));
    register.insert(names::LINEAR, |_, node| built(Linear::new(node)));
    register.insert(names::LAYER_NORM, |_, node| {
        built(LayerNorm { epsilon: node.get_attr("epsilon")? })
    });
    register.insert(names::ATTENTION, |_, node| {
        built(Attention { heads: node.get_attr(names::HEADS)? })
    });
    register.insert(names::FSMN, |_, node| {
        let residual = node.get_attr_opt::<i64>(names::RESIDUAL)?.is_some();
        built(Fsmn { residual })
    });
    register.insert(names::TRUNCATE, |_, node| {
        let (axis, length) = (node.get_attr("axis")?, node.get_attr("length")?);
        built(Truncate { axis, length })
    });
    register.insert("LogSoftmax", softmax);
    register.insert("LSTM", lstm);
    register.insert("Softmax", softmax);
    register.insert("TopK", top_k);
}
