//! Selection of a part of an axis.

use tract_onnx::{
    model::ParsingContext,
    pb::NodeProto,
    tract_core::{internal::*, ops::array::Slice},
    tract_hir::internal::*,
};

use super::support::{Built, build_generic, built};
use crate::ops;

/// Builds our `TopK` for the last axis, tract's for other axes.
pub(super) fn top_k(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let largest = node.get_attr_opt::<i64>("largest")?.unwrap_or(1) == 1;
    let last = node.get_attr_opt::<i64>("axis")?.unwrap_or(-1) == -1;
    if last && node.output.iter().all(|output| !output.is_empty()) && node.output.len() == 2 {
        return built(TopK { largest });
    }
    build_generic("TopK", context, node)
}

/// Returns the only value of a tensor of dimensions.
fn scalar(value: &Tensor) -> TractResult<TDim> {
    Ok(value.cast_to::<TDim>()?.try_as_plain_ram()?.to_scalar::<TDim>()?.clone())
}

/// Inputs: x, k. Outputs: values, indices.
#[derive(Debug, Clone)]
struct TopK {
    largest: bool,
}

impl Expansion for TopK {
    fn name(&self) -> StaticName {
        "TopK".into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(2)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 2)?;
        s.equals(&inputs[0].datum_type, f32::datum_type())?;
        s.equals(&outputs[0].datum_type, f32::datum_type())?;
        s.equals(&outputs[1].datum_type, i64::datum_type())?;
        s.given_2(&inputs[0].shape, &inputs[1].value, |s, mut shape, k| {
            *shape.last_mut().context("takes at least one axis")? = scalar(&k)?;
            s.equals(&outputs[0].shape, shape.clone())?;
            s.equals(&outputs[1].shape, shape)
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let k = model.outlet_fact(inputs[1])?.konst.clone();
        let k = scalar(&*k.context("k depends on data")?)?;
        model.wire_node(prefix, ops::TopK { k, largest: self.largest }, &inputs[..1])
    }
}

/// Inputs: x.
#[derive(Debug, Clone)]
pub(super) struct Truncate {
    pub(super) axis: usize,
    pub(super) length: usize,
}

impl Expansion for Truncate {
    fn name(&self) -> StaticName {
        "Truncate".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.given(&inputs[0].shape, move |s, mut shape| {
            let length = shape.get_mut(self.axis).context("the axis does not exist")?;
            *length = ops::at_most(length.clone(), self.length);
            s.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?;
        ensure!(self.axis < fact.rank(), "axis {} does not exist", self.axis);
        match ops::at_most(fact.shape[self.axis].clone(), self.length) {
            end @ TDim::Val(_) => {
                let slice = Slice::new(self.axis, 0, end);
                model.wire_node(prefix, slice, inputs)
            }
            _ => {
                let (axis, length) = (self.axis, self.length);
                model.wire_node(prefix, ops::Truncate { axis, length }, inputs)
            }
        }
    }
}
