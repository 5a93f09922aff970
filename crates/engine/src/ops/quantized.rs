//! Dynamic quantization of ONNX, and linear layers of its output.

use kernels::{Epilogue, PostOp, dynamic};
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    compute_into::{self, ComputeInto},
    cost::int8_macs,
    pool::{pooled_tensor, recycle},
    support::{floats, operator},
};

/// `DynamicQuantizeLinear` of ONNX: f32 to u8 values of the same shape, their scale and zero point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DynamicQuantize;

operator!(DynamicQuantize);

impl EvalOp for DynamicQuantize {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut out = pooled_tensor::<u8>(inputs[0].shape())?;
        let (scale, zero_point) = dynamic::quantize(
            floats(&inputs[0])?,
            out.try_as_plain_ram_mut()?.as_slice_mut::<u8>()?,
        );
        Ok(tvec!(
            out.into_tvalue(),
            tensor0(scale).into_tvalue(),
            tensor0(zero_point).into_tvalue()
        ))
    }
}

impl TypedOp for DynamicQuantize {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs[0].datum_type == f32::datum_type(), "takes f32");
        let scalar: [TDim; 0] = [];
        let values = u8::fact(inputs[0].shape.clone());
        Ok(tvec!(values, f32::fact(&scalar), u8::fact(&scalar)))
    }
}

/// A linear layer to f32. The inputs are the outputs of [`DynamicQuantize`] and, if `post_op` is
/// [`PostOp::Add`], the residual.
#[derive(Clone)]
pub(crate) struct QuantizedLinear {
    pub(crate) weights: Arc<dynamic::Weights>,
    pub(crate) bias: Option<Arc<[f32]>>,
    pub(crate) post_op: PostOp,
}

impl std::fmt::Debug for QuantizedLinear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (inputs, outputs) = (self.weights.inputs(), self.weights.outputs());
        write!(f, "QuantizedLinear({inputs} -> {outputs})")
    }
}

impl PartialEq for QuantizedLinear {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.weights, &other.weights)
            && self.bias.as_deref() == other.bias.as_deref()
            && self.post_op == other.post_op
    }
}

impl Eq for QuantizedLinear {}

operator!(QuantizedLinear);

impl QuantizedLinear {
    pub(super) fn epilogue(&self) -> Epilogue<'_> {
        Epilogue { bias: self.bias.as_deref(), post_op: self.post_op }
    }

    fn check_no_residual(&self) -> TractResult<()> {
        ensure!(self.post_op != PostOp::Add, "the output is added to the residual in place");
        Ok(())
    }
}

/// Returns the outputs of [`DynamicQuantize`], the first three inputs of a [`QuantizedLinear`].
pub(super) fn quantized_input(inputs: &[TValue]) -> TractResult<dynamic::QuantizedTensor<'_>> {
    Ok(dynamic::QuantizedTensor {
        values: inputs[0].try_as_plain_ram()?.as_slice::<u8>()?,
        scale: inputs[1].cast_to_scalar()?,
        zero_point: inputs[2].cast_to_scalar()?,
    })
}

impl ComputeInto for QuantizedLinear {
    fn output_shape(&self, inputs: &[TValue]) -> TractResult<TVec<usize>> {
        let mut shape: TVec<usize> = inputs[0].shape().into();
        *shape.last_mut().context("takes at least one axis")? = self.weights.outputs();
        Ok(shape)
    }

    fn compute_into(&self, inputs: &[TValue], out: &mut [f32]) -> TractResult<()> {
        self.check_no_residual()?;
        self.weights.apply(quantized_input(inputs)?, self.epilogue(), out);
        Ok(())
    }

    fn compute_into_with_min_max(
        &self,
        inputs: &[TValue],
        out: &mut [f32],
    ) -> TractResult<(f32, f32)> {
        self.check_no_residual()?;
        Ok(self.weights.apply_with_min_max(quantized_input(inputs)?, self.epilogue(), out))
    }
}

impl EvalOp for QuantizedLinear {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        if self.post_op != PostOp::Add {
            return compute_into::eval(self, inputs);
        }
        let mut out = inputs.pop().context("takes a residual")?.into_tensor();
        let mut view = out.try_as_plain_ram_mut()?;
        self.weights.apply(quantized_input(&inputs)?, self.epilogue(), view.as_slice_mut()?);
        recycle(inputs);
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for QuantizedLinear {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (&[x, scale, zero_point], residual) =
            inputs.split_first_chunk().context("takes values, scale and zero point")?;
        ensure!(x.datum_type == u8::datum_type() && zero_point.datum_type == u8::datum_type());
        ensure!(scale.datum_type == f32::datum_type());
        let mut shape = x.shape.to_tvec();
        let last = shape.last_mut().context("takes at least one axis")?;
        ensure!(*last == self.weights.inputs().to_dim(), "{self:?} does not take {last} inputs");
        *last = self.weights.outputs().to_dim();
        match residual {
            [] => ensure!(self.post_op != PostOp::Add, "takes a residual"),
            [residual] => ensure!(self.post_op == PostOp::Add && *residual.shape == *shape),
            _ => bail!("takes one residual"),
        }
        Ok(tvec!(f32::fact(&*shape)))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        Ok(int8_macs(inputs[0].shape.volume() * self.weights.outputs()))
    }
}
