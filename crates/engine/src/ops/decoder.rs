//! Operators of autoregressive decoders, which read and extend the [`DecoderState`] of the run.

use std::cell::{RefCell, RefMut};

use kernels::{Rows, attention};
use tract_onnx::tract_core::internal::*;

use super::support::{floats, last_axis, operator, with_last_axis, zeros};
use crate::{decoding::DecoderState, linear::Linear};

fn decoder_state<'a>(context: &EvalContext<'a>) -> TractResult<RefMut<'a, DecoderState>> {
    let shared = context.shared.context("runs only in a decoder")?;
    let cell = shared.get::<RefCell<DecoderState>>().context("runs only in a decoder")?;
    Ok(cell.try_borrow_mut()?)
}

/// Sum of token embeddings and position encodings, `[beams, n]` to `[beams, n, width]`.
#[derive(Debug, Clone)]
pub(crate) struct Embedding {
    pub(crate) table: Arc<Linear>,
    pub(crate) positions: Arc<[f32]>,
}

impl PartialEq for Embedding {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.table, &other.table) && Arc::ptr_eq(&self.positions, &other.positions)
    }
}

impl Eq for Embedding {}

operator!(Embedding);

impl EvalOp for Embedding {
    not_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let &[beams, added] = inputs[0].shape() else { bail!("takes [beams, n]") };
        let tokens = inputs[0].try_as_plain_ram()?.as_slice::<i64>()?;
        let width = self.table.inputs();
        let start = decoder_state(context)?.cache.length();
        let positions = self.positions.get(start * width..(start + added) * width);
        let positions = positions.context("the tokens exceed the positions")?;
        let mut out = zeros(&[beams, added, width])?;
        let mut view = out.try_as_plain_ram_mut()?;
        let rows = view.as_slice_mut::<f32>()?.chunks_exact_mut(width);
        let positions = positions.chunks_exact(width).cycle();
        for ((row, &token), position) in rows.zip(tokens).zip(positions) {
            let token = usize::try_from(token).ok().filter(|&token| token < self.table.outputs());
            self.table.row(token.context("a token is not in the vocabulary")?, row);
            row.iter_mut().zip(position).for_each(|(value, position)| *value += position);
        }
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for Embedding {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs[0].datum_type == i64::datum_type() && inputs[0].rank() == 2);
        let mut shape = inputs[0].shape.to_tvec();
        shape.push(self.table.inputs().to_dim());
        Ok(tvec!(f32::fact(&*shape)))
    }
}

/// Causal self-attention over the cache, after appending the new positions to it:
/// `[beams, n, 3 * width]` to `[beams, n, width]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CachedAttention {
    pub(crate) layer: usize,
    pub(crate) heads: usize,
}

operator!(CachedAttention);

impl EvalOp for CachedAttention {
    not_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let &[beams, added, stride] = inputs[0].shape() else {
            bail!("takes [beams, n, 3 * width]")
        };
        let qkv = floats(&inputs[0])?;
        let width = stride / 3;
        let head_width = width / self.heads;
        let mut state = decoder_state(context)?;
        let cache = &mut state.cache;
        let start = cache.length();
        let mut scores = vec![0.0; start + added];
        let mut out = zeros(&[beams, added, width])?;
        let mut view = out.try_as_plain_ram_mut()?;
        let out_rows = view.as_slice_mut::<f32>()?;
        for beam in 0..beams {
            let qkv = &qkv[beam * added * stride..][..added * stride];
            let out_rows = &mut out_rows[beam * added * width..][..added * width];
            for head in 0..self.heads {
                let column = head * head_width;
                let (keys, values) =
                    cache.head(beam, self.layer, head).context("the cache has no such head")?;
                for index in 0..added {
                    let row = &qkv[index * stride + column..];
                    let at = (start + index) * head_width..(start + index + 1) * head_width;
                    keys[at.clone()].copy_from_slice(&row[width..][..head_width]);
                    values[at.clone()].copy_from_slice(&row[2 * width..][..head_width]);
                    attention::attend_one(
                        &row[..head_width],
                        &keys[..at.end],
                        &values[..at.end],
                        &mut scores[..=start + index],
                        &mut out_rows[index * width + column..][..head_width],
                    );
                }
            }
        }
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for CachedAttention {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let stride = last_axis(inputs[0])?;
        ensure!(inputs[0].rank() == 3 && self.heads > 0, "takes [beams, n, 3 * width]");
        ensure!(
            stride > 0 && stride % (3 * self.heads) == 0,
            "{} heads do not divide {stride}",
            self.heads
        );
        Ok(tvec!(with_last_axis(inputs[0], stride / 3)?))
    }
}

/// Cross-attention to the encoder's output: `[beams, n, width]` to the same shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CrossAttention {
    pub(crate) layer: usize,
    pub(crate) heads: usize,
}

operator!(CrossAttention);

impl EvalOp for CrossAttention {
    not_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let queries = floats(&inputs[0])?;
        let width = *inputs[0].shape().last().context("takes queries")?;
        let head_width = width / self.heads;
        let memory = decoder_state(context)?.memory.clone();
        let heads = memory.heads(self.layer).context("the encoder memory has no such layer")?;
        ensure!(heads.len() == self.heads, "the encoder memory has {} heads", heads.len());
        let mut out = zeros(inputs[0].shape())?;
        let mut view = out.try_as_plain_ram_mut()?;
        let values = view.as_slice_mut::<f32>()?;
        for (head, first) in heads.iter().zip((0..width).step_by(head_width)) {
            let rows = queries.len() / width;
            let queries = Rows { values: &queries[first..], stride: width, count: rows };
            head.attend(queries, &mut values[first..], width);
        }
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for CrossAttention {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let width = last_axis(inputs[0])?;
        ensure!(
            self.heads > 0 && width > 0 && width % self.heads == 0,
            "{} heads do not divide {width}",
            self.heads
        );
        Ok(tvec!(with_last_axis(inputs[0], width)?))
    }
}

/// The last of n positions, `[beams, n, width]` to `[beams, width]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastPosition;

operator!(LastPosition);

impl EvalOp for LastPosition {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let &[beams, added, width] = inputs[0].shape() else { bail!("takes [beams, n, width]") };
        ensure!(added > 0, "takes at least one position");
        let mut out = zeros(&[beams, width])?;
        let mut view = out.try_as_plain_ram_mut()?;
        let x = floats(&inputs[0])?.chunks_exact(added * width);
        for (out, x) in view.as_slice_mut::<f32>()?.chunks_exact_mut(width).zip(x) {
            out.copy_from_slice(&x[(added - 1) * width..]);
        }
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for LastPosition {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs[0].rank() == 3, "takes [beams, n, width]");
        let mut shape = inputs[0].shape.to_tvec();
        shape.remove(1);
        Ok(tvec!(f32::fact(&*shape)))
    }
}
