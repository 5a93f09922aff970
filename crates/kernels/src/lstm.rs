//! Long short-term memory (Hochreiter and Schmidhuber 1997), with the gates in ONNX's order: input,
//! output, forget, candidate.
//!
//! What a step adds to its gates for its input does not depend on other steps, so that it is one
//! GEMM for many of them. What it adds for the hidden state is a GEMM with one row per item of the
//! batch: the more items, the fewer times the weights are read.

use crate::{
    bf16,
    epilogue::{Epilogue, PostOp},
    float, int8,
    isa::Isa,
};

/// Rows of gates that are computed from inputs at once, so that they stay in the second-level cache
/// until their steps are computed: 256 KB for 128 hidden units.
const BLOCK_ROWS: usize = 128;

/// Packed weights of one direction.
#[derive(Clone)]
pub struct Lstm {
    /// Weights of the input, `[4 * width, inputs]`.
    input: Matrix,
    /// Weights of the hidden state, `[4 * width, width]`.
    recurrent: Matrix,
    /// `[4 * width]`.
    bias: Vec<f32>,
    inputs: usize,
}

#[derive(Clone)]
enum Matrix {
    Float(float::Weights),
    Bf16(bf16::Weights),
    Int8(int8::Weights),
}

impl Matrix {
    fn apply(&self, x: &[f32], inputs: usize, epilogue: Epilogue<'_>, out: &mut [f32]) {
        match self {
            Self::Float(weights) => weights.apply(x, inputs, x.len() / inputs, epilogue, out),
            Self::Bf16(weights) => weights.apply(x, inputs, x.len() / inputs, epilogue, out),
            Self::Int8(weights) => weights.apply(x, epilogue, out),
        }
    }
}

/// Hidden and cell states of a batch, each `[batch, width]`.
pub struct State<'a> {
    pub hidden: &'a mut [f32],
    pub cell: &'a mut [f32],
}

impl Lstm {
    /// Packs the weights of the input, row-major `[4 * width, inputs]`, those of the hidden state,
    /// `[4 * width, width]`, and the bias, `[4 * width]`.
    ///
    /// # Panics
    /// If the lengths do not match.
    pub fn pack(input: &[f32], recurrent: &[f32], bias: &[f32]) -> Self {
        Self::pack_with(input, recurrent, bias, |weights, outputs, inputs| {
            Matrix::Float(float::Weights::pack(weights, outputs, inputs))
        })
    }

    /// As [`Self::pack`]; rounds weights, inputs and hidden states to bfloat16. Sums, gates and
    /// cells are f32.
    ///
    /// # Panics
    /// If the lengths do not match.
    pub fn pack_bf16(input: &[f32], recurrent: &[f32], bias: &[f32]) -> Self {
        Self::pack_with(input, recurrent, bias, |weights, outputs, inputs| {
            Matrix::Bf16(bf16::Weights::pack(weights, outputs, inputs))
        })
    }

    /// As [`Self::pack`]; quantizes weights per row, and inputs and hidden states per step and item,
    /// as [`int8`] does. Gates and cells are f32.
    ///
    /// # Panics
    /// If the lengths do not match, or if there are more than [`int8::MAX_INPUTS`] inputs or units.
    pub fn quantize(input: &[f32], recurrent: &[f32], bias: &[f32]) -> Self {
        Self::pack_with(input, recurrent, bias, |weights, outputs, inputs| {
            Matrix::Int8(int8::Weights::quantize(weights, outputs, inputs))
        })
    }

    fn pack_with(
        input: &[f32],
        recurrent: &[f32],
        bias: &[f32],
        pack: impl Fn(&[f32], usize, usize) -> Matrix,
    ) -> Self {
        let gates = bias.len();
        assert!(gates > 0 && gates.is_multiple_of(4), "gates of an LSTM");
        assert!(!input.is_empty() && input.len().is_multiple_of(gates), "weights of an LSTM");
        let inputs = input.len() / gates;
        Self {
            input: pack(input, gates, inputs),
            recurrent: pack(recurrent, gates, gates / 4),
            bias: bias.to_vec(),
            inputs,
        }
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Returns the number of hidden units.
    pub fn width(&self) -> usize {
        self.bias.len() / 4
    }

    /// Returns whether the weights are quantized.
    pub fn is_int8(&self) -> bool {
        matches!(self.input, Matrix::Int8(_))
    }

    /// Returns whether the weights are rounded to bfloat16.
    pub fn is_bf16(&self) -> bool {
        matches!(self.input, Matrix::Bf16(_))
    }

    /// Runs over `x`, `[time, batch, inputs]`, from the first step to the last, or from the last to
    /// the first if `backward`. Calls `step(time, hidden)` after each step, with the hidden states
    /// `[batch, width]`.
    ///
    /// # Panics
    /// If the lengths do not match.
    pub fn run(
        &self,
        x: &[f32],
        state: State<'_>,
        backward: bool,
        mut step: impl FnMut(usize, &[f32]),
    ) {
        let (isa, width) = (Isa::selected(), self.width());
        let (State { hidden, cell }, gates) = (state, 4 * width);
        let batch = hidden.len() / width;
        assert!(hidden.len() == batch * width && cell.len() == hidden.len(), "states of an LSTM");
        if batch == 0 {
            return;
        }
        let row = batch * self.inputs;
        let (time, steps) = (x.len() / row, (BLOCK_ROWS / batch).max(1));
        let mut sums = vec![0.0; steps.min(time) * batch * gates];
        let bias = Epilogue { bias: Some(&self.bias), post_op: PostOp::None };
        let add = Epilogue { bias: None, post_op: PostOp::Add };
        let blocks = time.div_ceil(steps);
        for block in 0..blocks {
            let block = if backward { blocks - 1 - block } else { block };
            let first = block * steps;
            let steps = steps.min(time - first);
            let sums = &mut sums[..steps * batch * gates];
            self.input.apply(&x[first * row..][..steps * row], self.inputs, bias, sums);
            for index in 0..steps {
                let index = if backward { steps - 1 - index } else { index };
                let sums = &mut sums[index * batch * gates..][..batch * gates];
                self.recurrent.apply(hidden, width, add, sums);
                let states = cell.chunks_exact_mut(width).zip(hidden.chunks_exact_mut(width));
                for (sums, (cell, hidden)) in sums.chunks_exact_mut(gates).zip(states) {
                    isa.lstm_cell(sums, cell, hidden);
                }
                step(first + index, hidden);
            }
        }
    }
}
