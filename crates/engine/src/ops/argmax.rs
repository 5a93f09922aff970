//! Most probable class of each row of scores.

use std::cell::RefCell;

use kernels::{
    AlignedBuffer, PostOp,
    dynamic::{QuantizedTensor, min_max},
    scores,
};
use tract_onnx::tract_core::{internal::*, ops::Cost};

use super::{
    linear::Linear,
    pool::{pooled_tensor, recycle},
    quantized::{QuantizedLinear, quantized_input},
    support::{floats, operator, with_last_axis},
};

/// Number of rows whose scores are in memory at a time. With tens of thousands of classes, the
/// scores of a whole segment would take tens of megabytes.
const ROWS: usize = 24;
/// Class numbers below this are exact in f32.
const MAX_CLASSES: usize = 1 << 24;

/// `[..., classes]` to `[..., 2]`: the class with the highest score (of equal ones the first), and
/// its log-probability under softmax, NaN if a score is NaN or infinite.
///
/// The scores are either the input or the output of a linear layer of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Argmax {
    Scores,
    Linear(Linear),
    Quantized(QuantizedLinear),
}

operator!(Argmax);

thread_local! {
    static SCORES: RefCell<AlignedBuffer<f32>> = RefCell::default();
}

impl Argmax {
    /// Fuses `op`, which computes the scores, with their argmax, if that is possible.
    pub(crate) fn fuse(op: &dyn TypedOp) -> Option<Self> {
        let linear = op.downcast_ref::<Linear>();
        let linear = linear.filter(|linear| linear.post_op != PostOp::Add);
        let quantized = op.downcast_ref::<QuantizedLinear>();
        let quantized = quantized.filter(|linear| linear.post_op != PostOp::Add);
        let linear = linear.cloned().map(Self::Linear);
        linear.or_else(|| quantized.cloned().map(Self::Quantized))
    }

    /// Returns the number of columns of the input and of the scores.
    fn widths(&self, columns: usize) -> (usize, usize) {
        match self {
            Self::Scores => (columns, columns),
            Self::Linear(linear) => (linear.layer.inputs(), linear.layer.outputs()),
            Self::Quantized(linear) => (linear.weights.inputs(), linear.weights.outputs()),
        }
    }
}

impl EvalOp for Argmax {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut shape: TVec<usize> = inputs[0].shape().into();
        let last = shape.last_mut().context("takes at least one axis")?;
        let (width, classes) = self.widths(std::mem::replace(last, 2));
        ensure!((1..MAX_CLASSES).contains(&classes), "{classes} classes");
        let mut out = pooled_tensor::<f32>(&shape)?;
        let mut view = out.try_as_plain_ram_mut()?;
        let out_rows = view.as_slice_mut::<f32>()?.as_chunks_mut::<2>().0;
        SCORES.with_borrow_mut(|scores| -> TractResult<()> {
            scores.grow(ROWS * classes);
            for (block, out) in out_rows.chunks_mut(ROWS).enumerate() {
                let range = block * ROWS * width..(block * ROWS + out.len()) * width;
                let scores = &mut scores[..out.len() * classes];
                match self {
                    Self::Scores => scores.copy_from_slice(&floats(&inputs[0])?[range]),
                    Self::Linear(linear) => {
                        linear.layer.apply(&floats(&inputs[0])?[range], linear.post_op, scores);
                    }
                    Self::Quantized(linear) => {
                        let all = quantized_input(&inputs)?;
                        let rows = QuantizedTensor { values: &all.values[range], ..all };
                        linear.weights.apply(rows, linear.epilogue(), scores);
                    }
                }
                for (scores, out) in scores.chunks_exact(classes).zip(out) {
                    let (class, max) = scores::argmax(scores).unwrap_or((0, f32::NAN));
                    let finite = min_max(scores).0.is_finite();
                    let log_probability = -scores::sum_exp(scores, max, 1.0).ln();
                    *out = [class as f32, if finite { log_probability } else { f32::NAN }];
                }
            }
            Ok(())
        })?;
        recycle(inputs);
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for Argmax {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let scores = match self {
            Self::Scores => inputs[0].clone(),
            Self::Linear(linear) => linear.output_facts(inputs)?.remove(0),
            Self::Quantized(linear) => linear.output_facts(inputs)?.remove(0),
        };
        Ok(tvec!(with_last_axis(&scores, 2)?))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        match self {
            Self::Scores => Ok(tvec!()),
            Self::Linear(linear) => linear.cost(inputs),
            Self::Quantized(linear) => linear.cost(inputs),
        }
    }
}
