//! Linear layers, also those of ONNX's dynamic quantization.

use std::borrow::Cow;

use kernels::{PostOp, dynamic};
use tract_onnx::{
    pb::NodeProto,
    tract_core::{broadcast::multi_broadcast, internal::*, ops::math},
    tract_hir::{internal::*, ops::binary::wire_rank_broadcast},
};

use super::support::{constant, constant_tensor, has_attribute};
use crate::{
    linear,
    onnx::{lazy, names},
    ops,
};

/// Inputs: x. Outputs: values, scale, zero point.
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

/// Operators that were fused into a linear layer, after its GEMM.
#[derive(Debug, Clone, Copy)]
struct Epilogue {
    bias: bool,
    relu: bool,
    residual: bool,
}

impl Epilogue {
    fn new(node: &NodeProto) -> Self {
        let [bias, relu, residual] = [names::BIASED, names::RELU, names::RESIDUAL]
            .map(|attribute| has_attribute(node, attribute));
        Self { bias, relu, residual }
    }

    /// Rules of a linear layer that takes `count` inputs besides bias and residual, among them the
    /// weights at the index `weights`. The output has the shape of the first input, with the last
    /// axis of the weights.
    fn rules<'r, 'p: 'r>(
        self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        weights: usize,
        count: usize,
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, count + usize::from(self.bias) + usize::from(self.residual))?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, f32::datum_type())?;
        let residual = self.residual.then(|| inputs.len() - 1);
        s.given_2(&inputs[0].shape, &inputs[weights].shape, move |s, mut shape, weights| {
            ensure!(weights.len() == 2, "weights {weights:?}");
            *shape.last_mut().context("takes at least one axis")? = weights[1].clone();
            let Some(residual) = residual else { return s.equals(&outputs[0].shape, shape) };
            s.given(&inputs[residual].shape, move |s, other| {
                let sum = multi_broadcast(&[&shape, &other])?;
                s.equals(&outputs[0].shape, sum)
            })
        })
    }

    /// Wires the operator that `op` makes of a post-op, with the first `count` inputs and the
    /// residual.
    fn wire<O: Into<Box<dyn TypedOp>>>(
        self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
        count: usize,
        outputs: usize,
        op: impl FnOnce(PostOp) -> O,
    ) -> TractResult<TVec<OutletId>> {
        let mut op_inputs: TVec<_> = inputs[..count].into();
        let Some(&residual) = inputs.last().filter(|_| self.residual) else {
            let post_op = if self.relu { PostOp::Relu } else { PostOp::None };
            return model.wire_node(prefix, op(post_op), &op_inputs);
        };
        let mut shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        *shape.last_mut().context("takes at least one axis")? = outputs.to_dim();
        if *model.outlet_fact(residual)?.shape == *shape {
            op_inputs.push(residual);
            return model.wire_node(prefix, op(PostOp::Add), &op_inputs);
        }
        // A residual of another shape is broadcast, so that it cannot be added to in place.
        let name = format!("{prefix}.matmul");
        let output = model.wire_node(name, op(PostOp::None), &op_inputs)?[0];
        let sum = wire_rank_broadcast(prefix, model, &[output, residual])?;
        model.wire_node(prefix, math::add(), &sum)
    }
}

/// Inputs: values, scale, zero point; weights `[inputs, outputs]`, their zero points and scales, a
/// bias if there is one, all constant; a residual if there is one.
#[derive(Debug, Clone)]
pub(super) struct QuantizedLinear(Epilogue);

impl QuantizedLinear {
    pub(super) fn new(node: &NodeProto) -> Self {
        Self(Epilogue::new(node))
    }
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
        self.0.rules(s, inputs, 3, 6, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let weights = constant_tensor(model, inputs[3])?;
        let depth = *weights.shape().first().context("weights without inputs")?;
        ensure!((1..=dynamic::MAX_INPUTS).contains(&depth), "{depth} inputs");
        let outputs = weights.len() / depth;
        let signed = is_signed(&weights)?;
        let weights = lazy::with_bytes(&weights, |weights| {
            let weights = unsigned(weights, signed);
            // Weights that are quantized at load provide zero points and scales only now.
            let zero_points = constant_tensor(model, inputs[4])?;
            let signed = is_signed(&zero_points)?;
            let zero_points = lazy::load(&zero_points)?;
            let mut zero_points = unsigned(zero_points.as_bytes(), signed).into_owned();
            let mut scales = constant::<f32>(model, inputs[5])?;
            for (parameters, name) in [(zero_points.len(), "zero points"), (scales.len(), "scales")]
            {
                ensure!(
                    parameters == 1 || parameters == outputs,
                    "{parameters} {name} for {outputs} columns"
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
        let bias = self.0.bias.then(|| constant::<f32>(model, inputs[6])).transpose()?;
        if let Some(bias) = &bias {
            ensure!(bias.len() == outputs, "a bias of {} for {outputs} columns", bias.len());
        }
        let (weights, bias) = (Arc::new(weights), bias.map(Into::into));
        let op = |post_op| ops::QuantizedLinear { weights, bias, post_op };
        self.0.wire(prefix, model, inputs, 3, outputs, op)
    }
}

/// Returns whether quantized values are i8 rather than u8.
///
/// # Errors
/// If they are neither.
fn is_signed(values: &Tensor) -> TractResult<bool> {
    let kind = values.datum_type();
    ensure!([i8::datum_type(), u8::datum_type()].contains(&kind), "quantized to {kind:?}");
    Ok(kind == i8::datum_type())
}

/// Shifts signed values, or signed zero points, by 128 to unsigned ones.
fn unsigned(values: &[u8], signed: bool) -> Cow<'_, [u8]> {
    match signed {
        true => Cow::Owned(values.iter().map(|value| value ^ 0x80).collect()),
        false => Cow::Borrowed(values),
    }
}

/// Inputs: x; weights `[inputs, outputs]`, a bias if there is one, both constant; a residual if
/// there is one.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    epilogue: Epilogue,
    bf16: bool,
}

impl Linear {
    pub(super) fn new(node: &NodeProto) -> Self {
        Self { epilogue: Epilogue::new(node), bf16: has_attribute(node, names::BF16) }
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
        self.epilogue.rules(s, inputs, 1, 2, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let weights = constant_tensor(model, inputs[1])?;
        let &[_, outputs] = weights.shape() else { bail!("weights {:?}", weights.shape()) };
        let bias = self.epilogue.bias.then(|| constant::<f32>(model, inputs[2])).transpose()?;
        let layer = lazy::with_floats(&weights, |weights| {
            Ok(linear::Linear::from_transposed(weights, outputs, bias, self.bf16)?)
        })?;
        let layer = Arc::new(layer);
        let op = |post_op| ops::Linear { layer, post_op };
        self.epilogue.wire(prefix, model, inputs, 1, outputs, op)
    }
}
