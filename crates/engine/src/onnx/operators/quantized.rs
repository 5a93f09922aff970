//! ONNX's dynamic quantization.

use kernels::{Finish, dynamic};
use tract_onnx::{tract_core::internal::*, tract_hir::internal::*};

use super::constant;
use crate::ops;

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

/// Takes values, scale, zero point; weights `[inputs, outputs]`, their zero points and scales, a
/// bias if `biased`, all constant; and what is added.
#[derive(Debug, Clone)]
pub(super) struct QuantizedLinear {
    pub(super) biased: bool,
    pub(super) relu: bool,
    pub(super) residual: bool,
}

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
        check_input_arity(inputs, 6 + usize::from(self.biased) + usize::from(self.residual))?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, f32::datum_type())?;
        let residual = self.residual.then(|| inputs.len() - 1);
        s.given_2(&inputs[0].shape, &inputs[3].shape, move |s, mut shape, weights| {
            ensure!(weights.len() == 2, "weights {weights:?}");
            *shape.last_mut().context("takes at least one axis")? = weights[1].clone();
            let Some(residual) = residual else { return s.equals(&outputs[0].shape, shape) };
            s.given(&inputs[residual].shape, move |s, other| {
                let sum = tract_onnx::tract_core::broadcast::multi_broadcast(&[&shape, &other])?;
                s.equals(&outputs[0].shape, sum)
            })
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        // Signed weights are the unsigned ones shifted, zero points too.
        let bytes = |outlet| match model.outlet_fact(outlet)?.datum_type {
            DatumType::I8 => {
                Ok(constant::<i8>(model, outlet)?.into_iter().map(|w| w as u8 ^ 0x80).collect())
            }
            _ => constant::<u8>(model, outlet),
        };
        let (weights, mut zero_points) = (bytes(inputs[3])?, bytes(inputs[4])?);
        let mut scales = constant::<f32>(model, inputs[5])?;
        let depth = model.outlet_fact(inputs[3])?.shape[0].to_usize()?;
        ensure!((1..=dynamic::MAX_INPUTS).contains(&depth), "{depth} inputs");
        let outputs = weights.len() / depth;
        // One for all columns.
        for parameter in [zero_points.len(), scales.len()] {
            ensure!(parameter == 1 || parameter == outputs, "{parameter} for {outputs} columns");
        }
        if zero_points.len() == 1 {
            zero_points = vec![zero_points[0]; outputs];
        }
        if scales.len() == 1 {
            scales = vec![scales[0]; outputs];
        }
        let weights = dynamic::Weights::pack(&weights, &zero_points, &scales, depth);
        let bias = self.biased.then(|| constant::<f32>(model, inputs[6])).transpose()?;
        ensure!(bias.as_ref().is_none_or(|bias| bias.len() == outputs), "a bias of {outputs}");
        let mut op = ops::QuantizedLinear {
            weights: Arc::new(weights),
            bias: bias.map(Into::into),
            finish: if self.relu { Finish::Relu } else { Finish::Store },
        };
        let Some(&residual) = inputs.last().filter(|_| self.residual) else {
            return model.wire_node(prefix, op, &inputs[..3]);
        };
        let mut shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        *shape.last_mut().context("takes at least one axis")? = outputs.to_dim();
        let mut taken: TVec<_> = inputs[..3].into();
        if *model.outlet_fact(residual)?.shape == *shape {
            op.finish = Finish::Add;
            taken.push(residual);
            return model.wire_node(prefix, op, &taken);
        }
        let product = model.wire_node(format!("{prefix}.product"), op, &taken)?[0];
        let sum = [product, residual];
        let sum = tract_onnx::tract_hir::ops::binary::wire_rank_broadcast(prefix, model, &sum)?;
        model.wire_node(prefix, tract_onnx::tract_core::ops::math::add(), &sum)
    }
}
