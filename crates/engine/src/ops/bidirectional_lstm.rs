//! LSTM layers that read a sequence in both directions.

use kernels::lstm::{Lstm, State};
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    cost::{bf16_macs, f32_macs, int8_macs},
    pool::{pooled_tensor, recycle},
    support::{floats, last_axis, operator, with_last_axis},
};

/// An LSTM from the first step to the last beside one from the last to the first, both from a state
/// of zeros: `[time, batch, inputs]` to `[time, batch, 2 * width]`.
#[derive(Clone)]
pub(crate) struct BidirectionalLstm {
    pub(crate) directions: Arc<[Lstm; 2]>,
}

impl BidirectionalLstm {
    fn width(&self) -> usize {
        self.directions[0].width()
    }

    fn inputs(&self) -> usize {
        self.directions[0].inputs()
    }
}

impl std::fmt::Debug for BidirectionalLstm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BidirectionalLstm({} -> 2 x {})", self.inputs(), self.width())
    }
}

impl PartialEq for BidirectionalLstm {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.directions, &other.directions)
    }
}

impl Eq for BidirectionalLstm {}

operator!(BidirectionalLstm);

impl EvalOp for BidirectionalLstm {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let &[time, batch, _] = inputs[0].shape() else { bail!("takes [time, batch, inputs]") };
        let width = self.width();
        let mut out = pooled_tensor::<f32>(&[time, batch, 2 * width])?;
        let mut view = out.try_as_plain_ram_mut()?;
        let all = view.as_slice_mut::<f32>()?;
        for (index, lstm) in self.directions.iter().enumerate() {
            let (mut hidden, mut cell) = (vec![0.0; batch * width], vec![0.0; batch * width]);
            let state = State { hidden: &mut hidden, cell: &mut cell };
            lstm.run(floats(&inputs[0])?, state, index == 1, |time, hidden| {
                let rows = all[time * batch * 2 * width..].chunks_exact_mut(2 * width);
                for (row, hidden) in rows.zip(hidden.chunks_exact(width)) {
                    row[index * width..][..width].copy_from_slice(hidden);
                }
            });
        }
        recycle(inputs);
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for BidirectionalLstm {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs[0].rank() == 3, "takes [time, batch, inputs], not {:?}", inputs[0].shape);
        let width = last_axis(inputs[0])?;
        ensure!(width == self.inputs(), "takes {} inputs, not {width}", self.inputs());
        Ok(tvec!(with_last_axis(inputs[0], 2 * self.width())?))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let per_step = 4 * self.width() * (self.inputs() + self.width()) * 2;
        let count = inputs[0].shape[0].clone() * &inputs[0].shape[1] * per_step;
        Ok(match &self.directions[0] {
            lstm if lstm.is_int8() => int8_macs(count),
            lstm if lstm.is_bf16() => bf16_macs(count),
            _ => f32_macs(count),
        })
    }
}
