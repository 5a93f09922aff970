use kernels::{
    Rows,
    attention::{ComputeType, attend},
};
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    bf16_products, float_products, floats, last_axis, operator,
    quantize::{Fill, filled},
    with_last_axis,
};

/// Multi-head attention without a mask: queries `[..., rows, width]`, keys and values
/// `[..., length, width]`, of which each may lie among other columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attention {
    pub(crate) heads: usize,
    /// Of all heads together.
    pub(crate) width: usize,
    pub(crate) products: ComputeType,
    /// Where queries, keys and values are.
    pub(crate) parts: [Part; 3],
}

/// Columns of an input from `first` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) input: usize,
    pub(crate) first: usize,
}

impl Attention {
    /// Of every position to all: `[..., time, 3 * width]`, queries, keys and values side by side.
    pub(crate) fn to_itself(heads: usize, width: usize, products: ComputeType) -> Self {
        let parts = [0, 1, 2].map(|third| Part { input: 0, first: third * width });
        Self { heads, width, products, parts }
    }
}

operator!(Attention);

impl Fill for Attention {
    fn shape(&self, inputs: &[TValue]) -> TractResult<TVec<usize>> {
        let mut shape: TVec<usize> = inputs[self.parts[0].input].shape().into();
        *shape.last_mut().context("takes an axis")? = self.width;
        Ok(shape)
    }

    fn fill(&self, inputs: &[TValue], out: &mut [f32]) -> TractResult<()> {
        let [queries, keys, values] = self.parts.map(|part| matrices(&inputs[part.input], part));
        let (mut queries, mut keys, mut values) = (queries?, keys?, values?);
        let length = inputs[self.parts[1].input].shape();
        if out.is_empty() || length[length.len() - 2] == 0 {
            out.fill(0.0);
            return Ok(());
        }
        let rows = inputs[self.parts[0].input].shape();
        let rows = rows[rows.len() - 2];
        for out in out.chunks_exact_mut(rows * self.width) {
            let (Some(queries), Some(keys), Some(values)) =
                (queries.next(), keys.next(), values.next())
            else {
                bail!("queries, keys and values of different batches");
            };
            ensure!(keys.count == values.count, "{} keys, {} values", keys.count, values.count);
            let head_width = self.width / self.heads;
            for first in (0..self.width).step_by(head_width) {
                let [q, k, v] = [queries, keys, values]
                    .map(|rows| Rows { values: &rows.values[first..], ..rows });
                attend(q, k, v, head_width, self.products, &mut out[first..], self.width);
            }
        }
        Ok(())
    }
}

/// The rows of each item of a batch.
fn matrices(tensor: &Tensor, part: Part) -> TractResult<impl Iterator<Item = Rows<'_>>> {
    let &[.., count, stride] = tensor.shape() else { bail!("takes [..., rows, width]") };
    let items = floats(tensor)?.chunks_exact((count * stride).max(1));
    Ok(items.map(move |item| Rows { values: &item[part.first..], stride, count }))
}

impl EvalOp for Attention {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        filled(self, inputs)
    }
}

impl TypedOp for Attention {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let Self { heads, width, .. } = *self;
        ensure!(heads > 0 && width > 0 && width % heads == 0, "{heads} heads of {width}");
        for part in self.parts {
            let fact = inputs.get(part.input).context("takes queries, keys and values")?;
            ensure!(
                fact.rank() >= 2 && fact.rank() == inputs[0].rank(),
                "takes [..., rows, width]"
            );
            let columns = last_axis(fact)?;
            ensure!(columns >= part.first + width, "{columns} columns are too few");
        }
        Ok(tvec!(with_last_axis(inputs[self.parts[0].input], width)?))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let [rows, length, _] = self.parts.map(|part| {
            let shape = &inputs[part.input].shape;
            shape.iter().take(shape.rank() - 1).cloned().collect::<TVec<TDim>>()
        });
        let length = length.last().cloned().unwrap_or(TDim::Val(1));
        let count = rows.into_iter().product::<TDim>() * length * (2 * self.width);
        Ok(match self.products {
            ComputeType::F32 => float_products(count),
            ComputeType::Bf16 => bf16_products(count),
        })
    }
}
