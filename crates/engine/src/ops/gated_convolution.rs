//! The part of Conformer's convolution module between its linear layers.

use std::cell::RefCell;

use kernels::{AlignedBuffer, Rows, depthwise, pointwise};
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    cost::f32_macs,
    pool::{pooled_tensor, recycle},
    support::{floats, last_axis, operator, with_last_axis},
};

/// Gated linear unit, depthwise convolution over time with "same" zero padding, and SiLU: `[time,
/// 2 * channels]` to `[time, channels]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GatedConvolution {
    /// `[taps][channels]`; an odd number of taps.
    pub(crate) weights: Arc<[f32]>,
    pub(crate) bias: Arc<[f32]>,
}

// NaN weights make an operator unequal to itself, which only costs an optimization.
impl Eq for GatedConvolution {}

thread_local! {
    static GATED: RefCell<AlignedBuffer<f32>> = RefCell::default();
}

operator!(GatedConvolution);

impl EvalOp for GatedConvolution {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let &[time, _] = inputs[0].shape() else { bail!("takes [time, channels]") };
        let channels = self.bias.len();
        let before = self.weights.len() / channels / 2;
        let mut out = pooled_tensor::<f32>(&[time, channels])?;
        let mut view = out.try_as_plain_ram_mut()?;
        let values = view.as_slice_mut::<f32>()?;
        GATED.with_borrow_mut(|gated| -> TractResult<()> {
            gated.grow(values.len());
            let gated = &mut gated[..values.len()];
            pointwise::gated_linear_unit(floats(&inputs[0])?, channels, gated);
            let x = Rows { values: gated, stride: channels, count: time };
            depthwise::convolve(x, &self.weights, channels, before, false, values);
            pointwise::silu_with_bias(values, &self.bias);
            Ok(())
        })?;
        recycle(inputs);
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for GatedConvolution {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs[0].rank() == 2, "takes [time, channels]");
        let (columns, channels) = (last_axis(inputs[0])?, self.bias.len());
        ensure!(columns == 2 * channels, "takes {} columns, not {columns}", 2 * channels);
        Ok(tvec!(with_last_axis(inputs[0], channels)?))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        Ok(f32_macs(inputs[0].shape[0].clone() * self.weights.len()))
    }
}
