use kernels::attention::{Products, Rows, attend};
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    bf16_products, float_products, floats, last_axis, operator,
    quantize::{Fill, filled},
    with_last_axis,
};

/// Multi-head attention without a mask: queries `[batch, rows, width]`, keys and values
/// `[batch, length, width]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attention {
    pub(crate) heads: usize,
    pub(crate) products: Products,
}

operator!(Attention);

impl Fill for Attention {
    fn shape(&self, inputs: &[TValue]) -> TractResult<TVec<usize>> {
        Ok(inputs[0].shape().into())
    }

    fn fill(&self, inputs: &[TValue], out: &mut [f32]) -> TractResult<()> {
        let &[batch, rows, width] = inputs[0].shape() else { bail!("takes [batch, rows, width]") };
        let length = inputs[1].shape()[1];
        ensure!(inputs[1].shape() == [batch, length, width], "keys {:?}", inputs[1].shape());
        ensure!(inputs[2].shape() == [batch, length, width], "values {:?}", inputs[2].shape());
        if rows == 0 || length == 0 {
            out.fill(0.0);
            return Ok(());
        }
        let outs = out.chunks_exact_mut(rows * width);
        let queries = floats(&inputs[0])?.chunks_exact(rows * width);
        let keys = floats(&inputs[1])?.chunks_exact(length * width);
        let values = floats(&inputs[2])?.chunks_exact(length * width);
        for (((out, queries), keys), values) in outs.zip(queries).zip(keys).zip(values) {
            let queries = Rows { values: queries, stride: width, count: rows };
            let keys = Rows { values: keys, stride: width, count: length };
            let values = Rows { values, ..keys };
            all_heads([queries, keys, values], self.heads, width, self.products, out);
        }
        Ok(())
    }
}

impl EvalOp for Attention {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        filled(self, &inputs)
    }
}

impl TypedOp for Attention {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 3 && inputs.iter().all(|fact| fact.rank() == 3), "takes q, k, v");
        let width = last_axis(inputs[0])?;
        ensure!(self.heads > 0 && width > 0 && width % self.heads == 0, "{} heads", self.heads);
        Ok(tvec!(f32::fact(inputs[0].shape.clone())))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        Ok(cost(self.products, inputs[0].shape.volume() * &inputs[1].shape[1] * 2))
    }
}

/// Multi-head attention of every position to all, without a mask: `[..., time, 3 * width]`, queries,
/// keys and values side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SelfAttention {
    pub(crate) heads: usize,
    pub(crate) products: Products,
}

operator!(SelfAttention);

impl Fill for SelfAttention {
    fn shape(&self, inputs: &[TValue]) -> TractResult<TVec<usize>> {
        let mut shape: TVec<usize> = inputs[0].shape().into();
        *shape.last_mut().context("takes an axis")? /= 3;
        Ok(shape)
    }

    fn fill(&self, inputs: &[TValue], out: &mut [f32]) -> TractResult<()> {
        let &[.., count, stride] = inputs[0].shape() else { bail!("takes [time, 3 * width]") };
        if count == 0 {
            return Ok(());
        }
        let width = stride / 3;
        let batch = floats(&inputs[0])?.chunks_exact(count * stride);
        for (qkv, out) in batch.zip(out.chunks_exact_mut(count * width)) {
            let third = |index: usize| Rows { values: &qkv[index * width..], stride, count };
            all_heads([0, 1, 2].map(third), self.heads, width, self.products, out);
        }
        Ok(())
    }
}

impl EvalOp for SelfAttention {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        filled(self, &inputs)
    }
}

impl TypedOp for SelfAttention {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let stride = last_axis(inputs[0])?;
        ensure!(inputs[0].rank() >= 2 && self.heads > 0, "takes [time, 3 * width]");
        ensure!(stride > 0 && stride % (3 * self.heads) == 0, "{} heads of {stride}", self.heads);
        Ok(tvec!(with_last_axis(inputs[0], stride / 3)?))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let time = &inputs[0].shape[inputs[0].rank() - 2];
        Ok(cost(self.products, inputs[0].shape.volume() * time * 2 / 3))
    }
}

fn cost(products: Products, count: TDim) -> TVec<(Cost, TDim)> {
    match products {
        Products::Float => float_products(count),
        Products::Bf16 => bf16_products(count),
    }
}

/// Queries, keys and values with the heads side by side, `width` numbers in all.
fn all_heads(qkv: [Rows<'_>; 3], heads: usize, width: usize, products: Products, out: &mut [f32]) {
    let head_width = width / heads;
    for first in (0..width).step_by(head_width) {
        let [q, k, v] = qkv.map(|rows| Rows { values: &rows.values[first..], ..rows });
        attend(q, k, v, head_width, products, &mut out[first..], width);
    }
}
