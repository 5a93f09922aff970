use kernels::{Rows, depthwise};
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    float_products, floats, last_axis, operator,
    room::{recycle, room},
    with_last_axis,
};

/// The memory block of FSMN (Zhang et al. 2018): each of the channels from `first` on of
/// `[batch, time, channels in all]` is filtered over time, to `[batch, time, channels]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fsmn {
    /// `[taps][channels]`.
    pub(crate) weights: Arc<[f32]>,
    pub(crate) channels: usize,
    pub(crate) first: usize,
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
        let &[batch, time, stride] = inputs[0].shape() else {
            bail!("takes [batch, time, channels]")
        };
        let mut out = room::<f32>(&[batch, time, self.channels])?;
        if time > 0 {
            let mut view = out.try_as_plain_ram_mut()?;
            let outs = view.as_slice_mut::<f32>()?.chunks_exact_mut(time * self.channels);
            for (x, out) in floats(&inputs[0])?.chunks_exact(time * stride).zip(outs) {
                let x = Rows { values: &x[self.first..], stride, count: time };
                depthwise::convolve(
                    x,
                    &self.weights,
                    self.channels,
                    self.before,
                    self.residual,
                    out,
                );
            }
        }
        recycle(inputs);
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for Fsmn {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs[0].rank() == 3, "takes [batch, time, channels]");
        ensure!(last_axis(inputs[0])? >= self.first + self.channels, "too few channels");
        Ok(tvec!(with_last_axis(inputs[0], self.channels)?))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let positions = inputs[0].shape[0].clone() * &inputs[0].shape[1];
        Ok(float_products(positions * self.weights.len()))
    }
}
