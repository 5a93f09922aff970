use kernels::depthwise;
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{float_products, floats, last_axis, operator, zeros};

/// The memory block of FSMN (Zhang et al. 2018): each channel of `[batch, time, channels]` is
/// filtered over time, to the same length.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fsmn {
    /// `[taps][channels]`.
    pub(crate) weights: Arc<[f32]>,
    pub(crate) channels: usize,
    /// Taps before the present.
    pub(crate) before: usize,
    /// Add what goes in.
    pub(crate) residual: bool,
}

// Weights that are not numbers make it unequal to itself, which only costs a comparison more.
impl Eq for Fsmn {}

operator!(Fsmn);

impl EvalOp for Fsmn {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let &[_, time, channels] = inputs[0].shape() else {
            bail!("takes [batch, time, channels]")
        };
        let mut out = zeros(inputs[0].shape())?;
        if time > 0 {
            let mut view = out.try_as_plain_ram_mut()?;
            let outs = view.as_slice_mut::<f32>()?.chunks_exact_mut(time * channels);
            for (x, out) in floats(&inputs[0])?.chunks_exact(time * channels).zip(outs) {
                depthwise::filter(x, &self.weights, channels, self.before, self.residual, out);
            }
        }
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for Fsmn {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs[0].rank() == 3 && last_axis(inputs[0])? == self.channels, "channels");
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        Ok(float_products(inputs[0].shape.volume() * (self.weights.len() / self.channels)))
    }
}
