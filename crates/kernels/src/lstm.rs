//! Long short-term memory (Hochreiter and Schmidhuber 1997), with the gates in ONNX's order: input,
//! output, forget, candidate.
//!
//! What a step adds to its gates for its input does not depend on other steps, so that it is one
//! GEMM for many of them. What it adds for the hidden state is a GEMM with one row per item of the
//! batch: the more items, the fewer times the weights are read.

use crate::{
    bf16,
    dynamic::{self, QuantizationParameters, QuantizedTensor},
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
    isa: Isa,
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
    Dynamic(dynamic::Weights),
}

/// Quantized weights, row-major `[inputs, outputs]`, with the parameters of each output.
pub type QuantizedMatrix<'a> = (&'a [u8], &'a QuantizationParameters);

/// Number format of the products of an LSTM.
#[derive(Debug, Clone, Copy)]
enum Format {
    Float,
    Bf16,
    Int8,
}

impl Matrix {
    fn pack(isa: Isa, format: Format, weights: &[f32], outputs: usize, inputs: usize) -> Self {
        match format {
            Format::Float => Self::Float(float::Weights::pack_for(isa, weights, outputs, inputs)),
            Format::Bf16 => Self::Bf16(bf16::Weights::pack_for(isa, weights, outputs, inputs)),
            Format::Int8 => Self::Int8(int8::Weights::quantize_for(isa, weights, outputs, inputs)),
        }
    }

    fn apply(&self, x: &[f32], inputs: usize, epilogue: Epilogue<'_>, out: &mut [f32]) {
        match self {
            Self::Float(weights) => weights.apply(x, inputs, x.len() / inputs, epilogue, out),
            Self::Bf16(weights) => weights.apply(x, inputs, x.len() / inputs, epilogue, out),
            Self::Int8(weights) => weights.apply(x, epilogue, out),
            Self::Dynamic(weights) => {
                let mut values = vec![0; x.len()];
                let (scale, zero_point) = dynamic::quantize(x, &mut values);
                weights.apply(
                    QuantizedTensor { values: &values, scale, zero_point },
                    epilogue,
                    out,
                );
            }
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
        Self::pack_for(Isa::selected(), Format::Float, input, recurrent, bias)
    }

    /// As [`Self::pack`]; rounds weights, inputs and hidden states to bfloat16. Sums, gates and
    /// cells are f32.
    ///
    /// # Panics
    /// If the lengths do not match.
    pub fn pack_bf16(input: &[f32], recurrent: &[f32], bias: &[f32]) -> Self {
        Self::pack_for(Isa::selected(), Format::Bf16, input, recurrent, bias)
    }

    /// As [`Self::pack`]; quantizes weights per row, and inputs and hidden states per step and item,
    /// as [`int8`] does. Gates and cells are f32.
    ///
    /// # Panics
    /// If the lengths do not match, or if there are more than [`int8::MAX_INPUTS`] inputs or units.
    pub fn quantize(input: &[f32], recurrent: &[f32], bias: &[f32]) -> Self {
        Self::pack_for(Isa::selected(), Format::Int8, input, recurrent, bias)
    }

    /// As [`Self::pack`], of weights that are quantized as ONNX's `DynamicQuantizeLSTM` has them, row-major
    /// `[inputs, 4 * width]` and `[width, 4 * width]`; see [`dynamic`]. Inputs and hidden states are
    /// quantized as it does, if there are no more steps than fit a block.
    ///
    /// # Panics
    /// If the lengths do not match, or if there are more than [`dynamic::MAX_INPUTS`] inputs or units.
    pub fn pack_dynamic(
        input: QuantizedMatrix<'_>,
        recurrent: QuantizedMatrix<'_>,
        bias: &[f32],
    ) -> Self {
        let (isa, gates) = (Isa::selected(), bias.len());
        assert!(gates > 0 && gates.is_multiple_of(4), "gates of an LSTM");
        let pack = |(weights, parameters): QuantizedMatrix<'_>, inputs| {
            let QuantizationParameters { zero_points, scales } = parameters;
            assert_eq!(scales.len(), gates, "scales of an LSTM");
            Matrix::Dynamic(dynamic::Weights::pack_for(isa, weights, zero_points, scales, inputs))
        };
        let inputs = input.0.len() / gates;
        Self {
            isa,
            input: pack(input, inputs),
            recurrent: pack(recurrent, gates / 4),
            bias: bias.to_vec(),
            inputs,
        }
    }

    fn pack_for(isa: Isa, format: Format, input: &[f32], recurrent: &[f32], bias: &[f32]) -> Self {
        let gates = bias.len();
        assert!(gates > 0 && gates.is_multiple_of(4), "gates of an LSTM");
        assert!(!input.is_empty() && input.len().is_multiple_of(gates), "weights of an LSTM");
        let inputs = input.len() / gates;
        Self {
            isa,
            input: Matrix::pack(isa, format, input, gates, inputs),
            recurrent: Matrix::pack(isa, format, recurrent, gates, gates / 4),
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
        matches!(self.input, Matrix::Int8(_) | Matrix::Dynamic(_))
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
        let (isa, width) = (self.isa, self.width());
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests::{assert_close, numbers};

    /// Computes the hidden states of all steps, `[time, batch, width]`, in f64.
    fn naive(
        x: &[f32],
        [input, recurrent, bias]: [&[f32]; 3],
        batch: usize,
        backward: bool,
    ) -> Vec<f64> {
        let (gates, width) = (bias.len(), bias.len() / 4);
        let (inputs, sigmoid) = (input.len() / gates, |x: f64| 1.0 / (1.0 + (-x).exp()));
        let time = x.len() / (batch * inputs);
        let mut all = vec![0.0; time * batch * width];
        for item in 0..batch {
            let (mut hidden, mut cell) = (vec![0.0; width], vec![0.0; width]);
            for step in 0..time {
                let step = if backward { time - 1 - step } else { step };
                let x = &x[(step * batch + item) * inputs..][..inputs];
                let sums: Vec<f64> = (0..gates)
                    .map(|gate| {
                        let of_input = input[gate * inputs..].iter().zip(x);
                        let of_hidden = recurrent[gate * width..].iter().zip(&hidden);
                        f64::from(bias[gate])
                            + of_input.map(|(w, x)| f64::from(w * x)).sum::<f64>()
                            + of_hidden.map(|(&w, h)| f64::from(w) * h).sum::<f64>()
                    })
                    .collect();
                for (unit, (cell, hidden)) in cell.iter_mut().zip(&mut hidden).enumerate() {
                    let gate = |of: usize| sums[of * width + unit];
                    *cell = sigmoid(gate(2)) * *cell + sigmoid(gate(0)) * gate(3).tanh();
                    *hidden = sigmoid(gate(1)) * cell.tanh();
                }
                all[(step * batch + item) * width..][..width].copy_from_slice(&hidden);
            }
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// More steps than a block has, whatever the batch.
        #[test]
        fn steps_of_batches(
            time in 0usize..200, batch in 1usize..6, inputs in 1usize..20, width in 1usize..20,
            backward: bool, seed: u64,
        ) {
            let x = numbers(seed, time * batch * inputs);
            let input = numbers(seed ^ 1, 4 * width * inputs);
            let recurrent: Vec<f32> =
                numbers(seed ^ 2, 4 * width * width).iter().map(|w| w * 0.5).collect();
            let bias = numbers(seed ^ 3, 4 * width);
            let expected = naive(&x, [&input, &recurrent, &bias], batch, backward);
            for &isa in Isa::available() {
                for (format, tolerance) in
                    [(Format::Float, 1e-4), (Format::Bf16, 0.1), (Format::Int8, 0.15)]
                {
                    let lstm = Lstm::pack_for(isa, format, &input, &recurrent, &bias);
                    let mut found = vec![f32::NAN; time * batch * width];
                    let (mut hidden, mut cell) = (vec![0.0; batch * width], vec![0.0; batch * width]);
                    let state = State { hidden: &mut hidden, cell: &mut cell };
                    lstm.run(&x, state, backward, |step, hidden| {
                        found[step * batch * width..][..batch * width].copy_from_slice(hidden);
                    });
                    assert_close(&found, &expected, tolerance);
                    let last = if backward { 0 } else { time.saturating_sub(1) };
                    if time > 0 {
                        prop_assert_eq!(&found[last * batch * width..][..batch * width], &hidden[..]);
                    }
                }
            }
        }
    }

    #[test]
    fn dynamically_quantized_steps() {
        let (inputs, width) = (9, 5);
        let quantized = |seed, rows: usize| {
            let floats = numbers(seed, rows * 4 * width);
            let mut values = vec![0; floats.len()];
            let parameters = dynamic::quantize_columns(&floats, 4 * width, &mut values);
            (values, parameters)
        };
        let (input, recurrent) = (quantized(1, inputs), quantized(2, width));
        let bias = numbers(3, 4 * width);
        // By output, as the plain computation takes them.
        let floats = |(values, parameters): &(Vec<u8>, QuantizationParameters), rows: usize| {
            let value = |output: usize, row: usize| {
                let steps = i32::from(values[row * 4 * width + output])
                    - i32::from(parameters.zero_points[output]);
                steps as f32 * parameters.scales[output]
            };
            (0..4 * width * rows).map(|index| value(index / rows, index % rows)).collect::<Vec<_>>()
        };
        let x = numbers(4, inputs);
        let weights = [&floats(&input, inputs)[..], &floats(&recurrent, width), &bias];
        let expected = naive(&x, weights, 1, false);
        let lstm = Lstm::pack_dynamic((&input.0, &input.1), (&recurrent.0, &recurrent.1), &bias);
        assert!(lstm.is_int8() && lstm.inputs() == inputs);
        let (mut hidden, mut cell) = (vec![0.0; width], vec![0.0; width]);
        let state = State { hidden: &mut hidden, cell: &mut cell };
        lstm.run(&x, state, false, |_, _| {});
        assert_close(&hidden, &expected, 0.01);
    }
}
