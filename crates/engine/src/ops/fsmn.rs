//! The memory block of FSMN.

use kernels::{Rows, depthwise};
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    cost::f32_macs,
    pool::{pooled_tensor, recycle},
    support::{floats, last_axis, operator, with_last_axis},
};

/// The memory block of FSMN (Zhang et al. 2018), a depthwise convolution over time: `channels`
/// columns of `[batch, time, columns]` from column `first` on, to `[batch, time, channels]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fsmn {
    /// `[taps][channels]`.
    pub(crate) weights: Arc<[f32]>,
    pub(crate) channels: usize,
    pub(crate) first: usize,
    /// Number of taps before the current frame.
    pub(crate) before: usize,
    /// Whether the input is added to the output.
    pub(crate) residual: bool,
}

// NaN weights make an operator unequal to itself, which only costs an optimization.
impl Eq for Fsmn {}

operator!(Fsmn);

impl EvalOp for Fsmn {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let &[batch, time, stride] = inputs[0].shape() else {
            bail!("takes [batch, time, channels]")
        };
        let Self { channels, before, residual, .. } = *self;
        let mut out = pooled_tensor::<f32>(&[batch, time, channels])?;
        if time > 0 {
            let mut view = out.try_as_plain_ram_mut()?;
            let outs = view.as_slice_mut::<f32>()?.chunks_exact_mut(time * channels);
            for (x, out) in floats(&inputs[0])?.chunks_exact(time * stride).zip(outs) {
                let x = Rows { values: &x[self.first..], stride, count: time };
                depthwise::convolve(x, &self.weights, channels, before, residual, out);
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
        let (columns, end) = (last_axis(inputs[0])?, self.first + self.channels);
        ensure!(columns >= end, "takes {end} columns, not {columns}");
        Ok(tvec!(with_last_axis(inputs[0], self.channels)?))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let positions = inputs[0].shape[0].clone() * &inputs[0].shape[1];
        Ok(f32_macs(positions * self.weights.len()))
    }
}
