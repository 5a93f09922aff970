//! Multi-head attention.

use kernels::{
    Rows,
    attention::{ComputeType, attend},
};
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    compute_into::{self, ComputeInto},
    cost::{bf16_macs, f32_macs},
    support::{floats, last_axis, operator, with_last_axis},
};

/// Multi-head attention without a mask: queries `[..., rows, width]`, keys and values
/// `[..., length, width]`, to `[..., rows, width]`. Each may be some columns of a wider input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attention {
    pub(crate) heads: usize,
    /// Width of all heads together.
    pub(crate) width: usize,
    pub(crate) compute_type: ComputeType,
    /// Columns of queries, keys and values.
    pub(crate) qkv: [Columns; 3],
}

/// The columns of an input from `first` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) input: usize,
    pub(crate) first: usize,
}

impl Attention {
    /// Makes self-attention of every position to all: one input `[..., time, 3 * width]`, in each
    /// row queries, keys and values.
    pub(crate) fn self_attention(heads: usize, width: usize, compute_type: ComputeType) -> Self {
        let qkv = [0, 1, 2].map(|third| Columns { input: 0, first: third * width });
        Self { heads, width, compute_type, qkv }
    }
}

operator!(Attention);

impl ComputeInto for Attention {
    fn output_shape(&self, inputs: &[TValue]) -> TractResult<TVec<usize>> {
        let mut shape: TVec<usize> = inputs[self.qkv[0].input].shape().into();
        *shape.last_mut().context("takes at least one axis")? = self.width;
        Ok(shape)
    }

    fn compute_into(&self, inputs: &[TValue], out: &mut [f32]) -> TractResult<()> {
        let [queries, keys, values] =
            self.qkv.map(|columns| batch_items(&inputs[columns.input], columns));
        let (mut queries, mut keys, mut values) = (queries?, keys?, values?);
        let length = inputs[self.qkv[1].input].shape();
        if out.is_empty() || length[length.len() - 2] == 0 {
            out.fill(0.0);
            return Ok(());
        }
        let rows = inputs[self.qkv[0].input].shape();
        let rows = rows[rows.len() - 2];
        for out in out.chunks_exact_mut(rows * self.width) {
            let (Some(queries), Some(keys), Some(values)) =
                (queries.next(), keys.next(), values.next())
            else {
                bail!("queries, keys and values have different batch sizes");
            };
            ensure!(keys.count == values.count, "{} keys, {} values", keys.count, values.count);
            let head_width = self.width / self.heads;
            for first in (0..self.width).step_by(head_width) {
                let [q, k, v] = [queries, keys, values]
                    .map(|rows| Rows { values: &rows.values[first..], ..rows });
                attend(q, k, v, head_width, self.compute_type, &mut out[first..], self.width);
            }
        }
        Ok(())
    }
}

/// Returns the rows of each item of a batch, from the first of `columns` on.
fn batch_items(tensor: &Tensor, columns: Columns) -> TractResult<impl Iterator<Item = Rows<'_>>> {
    let &[.., count, stride] = tensor.shape() else { bail!("takes [..., rows, width]") };
    let items = floats(tensor)?.chunks_exact((count * stride).max(1));
    Ok(items.map(move |item| Rows { values: &item[columns.first..], stride, count }))
}

impl EvalOp for Attention {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        compute_into::eval(self, inputs)
    }
}

impl TypedOp for Attention {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let Self { heads, width, .. } = *self;
        ensure!(
            heads > 0 && width > 0 && width % heads == 0,
            "{heads} heads do not divide {width} columns"
        );
        for columns in self.qkv {
            let fact = inputs.get(columns.input).context("takes queries, keys and values")?;
            ensure!(
                fact.rank() >= 2 && fact.rank() == inputs[0].rank(),
                "takes [..., rows, width]"
            );
            let (found, end) = (last_axis(fact)?, columns.first + width);
            ensure!(found >= end, "takes {end} columns, not {found}");
        }
        Ok(tvec!(with_last_axis(inputs[self.qkv[0].input], width)?))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let [rows, length, _] = self.qkv.map(|columns| {
            let shape = &inputs[columns.input].shape;
            shape.iter().take(shape.rank() - 1).cloned().collect::<TVec<TDim>>()
        });
        let length = length.last().cloned().unwrap_or(TDim::Val(1));
        let count = rows.into_iter().product::<TDim>() * length * (2 * self.width);
        Ok(match self.compute_type {
            ComputeType::F32 => f32_macs(count),
            ComputeType::Bf16 => bf16_macs(count),
        })
    }
}
