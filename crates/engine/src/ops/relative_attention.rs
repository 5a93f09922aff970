//! Multi-head self-attention with relative positions.

use kernels::{Rows, relative_attention::RelativePositions};
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    cost::{bf16_macs, f32_macs},
    pool::{pooled_tensor, recycle},
    support::{floats, last_axis, operator, with_last_axis},
};

/// Self-attention of every position to all: `[time, 3 * width]`, in each row queries, keys and
/// values, to `[time, width]`.
#[derive(Clone)]
pub(crate) struct RelativeAttention {
    /// At least one, of the same size.
    pub(crate) heads: Arc<[RelativePositions]>,
}

impl RelativeAttention {
    /// Returns the width of all heads together.
    fn width(&self) -> usize {
        self.heads.iter().map(RelativePositions::width).sum()
    }
}

impl std::fmt::Debug for RelativeAttention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RelativeAttention({} heads of {})", self.heads.len(), self.heads[0].width())
    }
}

impl PartialEq for RelativeAttention {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.heads, &other.heads)
    }
}

impl Eq for RelativeAttention {}

operator!(RelativeAttention);

impl EvalOp for RelativeAttention {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let &[time, _] = inputs[0].shape() else { bail!("takes [time, columns]") };
        let (width, most) = (self.width(), self.heads[0].max_rows());
        ensure!(time <= most, "{time} positions, but the model has {most}");
        let mut out = pooled_tensor::<f32>(&[time, width])?;
        if time > 0 {
            let mut view = out.try_as_plain_ram_mut()?;
            let (x, values) = (floats(&inputs[0])?, view.as_slice_mut::<f32>()?);
            let mut first = 0;
            for head in self.heads.iter() {
                let rows = |third: usize| {
                    let values = &x[third * width + first..];
                    Rows { values, stride: 3 * width, count: time }
                };
                head.attend(rows(0), rows(1), rows(2), &mut values[first..], width);
                first += head.width();
            }
        }
        recycle(inputs);
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for RelativeAttention {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs[0].rank() == 2, "takes [time, columns]");
        let (columns, width) = (last_axis(inputs[0])?, self.width());
        ensure!(columns == 3 * width, "takes {} columns, not {columns}", 3 * width);
        Ok(tvec!(with_last_axis(inputs[0], width)?))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let time = &inputs[0].shape[0];
        // Products with keys, positions and values.
        let count = time.clone() * time * (3 * self.width());
        Ok(if self.heads[0].is_bf16() { bf16_macs(count) } else { f32_macs(count) })
    }
}
