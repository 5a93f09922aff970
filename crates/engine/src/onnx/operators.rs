//! What is registered with tract beside its own operators.

use tract_onnx::{
    model::{OnnxOpRegister, ParsingContext},
    pb::NodeProto,
    tract_core::internal::*,
    tract_hir::{internal::*, ops::array::ConstantOfShape},
};

use super::masks::ALL_TRUE;

type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

pub(super) fn register(register: &mut OnnxOpRegister) {
    register.insert(ALL_TRUE, all_true);
}

fn all_true(_: &ParsingContext<'_>, _: &NodeProto) -> Built {
    Ok((expand(ConstantOfShape::new(rctensor0(true))), vec![]))
}
