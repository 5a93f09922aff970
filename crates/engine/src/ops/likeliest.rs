use std::cell::RefCell;

use kernels::{AlignedBuffer, PostOp, dynamic::min_max, scores};
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    Linear, QuantizedLinear, floats, operator, quantized,
    room::{recycle, room},
    with_last_axis,
};

/// Rows whose scores are held at a time: those of tens of thousands of classes would be tens of
/// megabytes for a segment.
const ROWS: usize = 24;

/// `[..., classes]` to `[..., 2]`: the class of the greatest of the scores, the first of equals, and
/// the logarithm of its share in their softmax. That is NaN where scores are not finite numbers.
///
/// Scores are given, or what a linear layer makes of its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Likeliest {
    Given,
    Linear(Linear),
    Quantized(QuantizedLinear),
}

operator!(Likeliest);

thread_local! {
    static SCORES: RefCell<AlignedBuffer<f32>> = RefCell::default();
}

impl Likeliest {
    /// Of what `op` gives, in its place, if that is possible.
    pub(crate) fn of(op: &dyn TypedOp) -> Option<Self> {
        let adds = |post_op| post_op == PostOp::Add;
        let linear = op.downcast_ref::<Linear>().filter(|linear| !adds(linear.post_op));
        let quantized = op.downcast_ref::<QuantizedLinear>();
        let quantized = quantized.filter(|linear| !adds(linear.post_op));
        let linear = linear.cloned().map(Self::Linear);
        linear.or_else(|| quantized.cloned().map(Self::Quantized))
    }

    /// Numbers in a row of the input, and in a row of scores.
    fn widths(&self, given: usize) -> (usize, usize) {
        match self {
            Self::Given => (given, given),
            Self::Linear(linear) => (linear.layer.inputs(), linear.layer.outputs()),
            Self::Quantized(linear) => (linear.weights.inputs(), linear.weights.outputs()),
        }
    }
}

impl EvalOp for Likeliest {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut shape: TVec<usize> = inputs[0].shape().into();
        let last = shape.last_mut().context("takes at least one axis")?;
        let (width, classes) = self.widths(std::mem::replace(last, 2));
        // So many are exact in f32.
        ensure!((1..1 << 24).contains(&classes), "{classes} classes");
        let mut out = room::<f32>(&shape)?;
        let mut view = out.try_as_plain_ram_mut()?;
        let out_rows = view.as_slice_mut::<f32>()?.as_chunks_mut::<2>().0;
        SCORES.with_borrow_mut(|scores| -> TractResult<()> {
            scores.grow(ROWS * classes);
            for (block, out) in out_rows.chunks_mut(ROWS).enumerate() {
                let part = block * ROWS * width..(block * ROWS + out.len()) * width;
                let scores = &mut scores[..out.len() * classes];
                match self {
                    Self::Given => scores.copy_from_slice(&floats(&inputs[0])?[part]),
                    Self::Linear(linear) => {
                        linear.layer.apply(&floats(&inputs[0])?[part], linear.post_op, scores);
                    }
                    Self::Quantized(linear) => {
                        let all = quantized(&inputs)?;
                        let rows =
                            kernels::dynamic::QuantizedTensor { values: &all.values[part], ..all };
                        linear.weights.apply(rows, linear.epilogue(), scores);
                    }
                }
                for (scores, out) in scores.chunks_exact(classes).zip(out) {
                    let (class, greatest) = scores::argmax(scores).unwrap_or((0, f32::NAN));
                    let finite = min_max(scores).0.is_finite();
                    let log_share = -scores::sum_exp(scores, greatest, 1.0).ln();
                    *out = [class as f32, if finite { log_share } else { f32::NAN }];
                }
            }
            Ok(())
        })?;
        recycle(inputs);
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for Likeliest {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let scores = match self {
            Self::Given => inputs[0].clone(),
            Self::Linear(linear) => linear.output_facts(inputs)?.remove(0),
            Self::Quantized(linear) => linear.output_facts(inputs)?.remove(0),
        };
        Ok(tvec!(with_last_axis(&scores, 2)?))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        match self {
            Self::Given => Ok(tvec!()),
            Self::Linear(linear) => linear.cost(inputs),
            Self::Quantized(linear) => linear.cost(inputs),
        }
    }
}
