//! Long short-term memory (Hochreiter and Schmidhuber 1997), with the gates in ONNX's order: input,
//! output, forget, candidate.

use crate::{
    epilogue::{Epilogue, PostOp},
    float,
    isa::Isa,
};

/// Packed weights of one direction.
#[derive(Clone)]
pub struct Lstm {
    /// Weights of the input, `[4 * width, inputs]`.
    input: float::Weights,
    /// Weights of the hidden state, `[4 * width, width]`.
    recurrent: float::Weights,
    /// `[4 * width]`.
    bias: Vec<f32>,
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
        let gates = bias.len();
        assert!(gates > 0 && gates.is_multiple_of(4), "gates of an LSTM");
        assert!(!input.is_empty() && input.len().is_multiple_of(gates), "weights of an LSTM");
        Self {
            input: float::Weights::pack(input, gates, input.len() / gates),
            recurrent: float::Weights::pack(recurrent, gates, gates / 4),
            bias: bias.to_vec(),
        }
    }

    pub fn inputs(&self) -> usize {
        self.input.inputs()
    }

    /// Returns the number of hidden units.
    pub fn width(&self) -> usize {
        self.recurrent.inputs()
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
        let time = x.len() / (batch * self.inputs());
        let mut sums = vec![0.0; time * batch * gates];
        let bias = Epilogue { bias: Some(&self.bias), post_op: PostOp::None };
        self.input.apply(x, self.inputs(), time * batch, bias, &mut sums);
        let add = Epilogue { bias: None, post_op: PostOp::Add };
        for index in 0..time {
            let index = if backward { time - 1 - index } else { index };
            let sums = &mut sums[index * batch * gates..][..batch * gates];
            self.recurrent.apply(hidden, width, batch, add, sums);
            let states = cell.chunks_exact_mut(width).zip(hidden.chunks_exact_mut(width));
            for (sums, (cell, hidden)) in sums.chunks_exact_mut(gates).zip(states) {
                isa.lstm_cell(sums, cell, hidden);
            }
            step(index, hidden);
        }
    }
}
