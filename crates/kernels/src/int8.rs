//! `out = x Wᵀ` in int8, quantized as CTranslate2 does with `compute_type="int8"`
//! (`src/ops/quantize.cc` there): one scale per row of `W`, and one scale per row of `x`, computed
//! at run time; both are 127 / max |value|.
//!
//! Instructions multiply u8 by i8, so 128 is added to activations. As
//! `Σ (a - 128) w = Σ a w - 128 Σ w`, sums start at `-128 Σ w`, which is known when the weights are
//! packed. (For instructions that multiply i8 by i8, sums start at zero.) All sums are exact in
//! i32.
//!
//! The packed layout of the weights depends on the instruction set they were packed for; see
//! `layout.rs`.

use std::cell::RefCell;

use crate::{
    aligned::AlignedBuffer,
    epilogue::Epilogue,
    int8_panels::{Columns, Int8Panels, QuantizedRows, row_block},
    isa::Isa,
    loops::ROUND,
};

/// Added to quantized activations.
const SHIFT: i32 = 128;
/// Maximum number of inputs for which neither a sum nor its initial value can overflow i32.
pub const MAX_INPUTS: usize = i32::MAX as usize / ((255 + 128) * 128);

/// Packed weights of a linear layer.
#[derive(Clone)]
pub struct Weights {
    panels: Int8Panels,
    /// The value of one quantization step of each output, padded to whole panels.
    scales: AlignedBuffer<f32>,
    /// Initial value of the sum of each output, padded likewise.
    corrections: AlignedBuffer<i32>,
}

/// Buffers that are kept per thread, because every call needs them.
#[derive(Default)]
struct Scratch {
    /// Quantized rows.
    rows: AlignedBuffer<u8>,
    /// Quantized rows in the layout of the instruction set.
    packed: AlignedBuffer<u8>,
    scales: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Weights {
    /// Quantizes and packs `weights`, row-major `[outputs, inputs]`.
    ///
    /// # Panics
    /// See [`Self::pack`].
    pub fn quantize(weights: &[f32], outputs: usize, inputs: usize) -> Self {
        Self::quantize_for(Isa::selected(), weights, outputs, inputs)
    }

    pub(crate) fn quantize_for(isa: Isa, weights: &[f32], outputs: usize, inputs: usize) -> Self {
        assert!(inputs > 0 && weights.len() == outputs * inputs, "weights of a linear layer");
        let mut shifted = vec![0u8; inputs];
        let mut quantized = Vec::with_capacity(weights.len());
        let mut scales = Vec::with_capacity(outputs);
        for row in weights.chunks_exact(inputs) {
            scales.push(isa.quantize_symmetric(row, &mut shifted));
            quantized.extend(shifted.iter().map(|&q| (i32::from(q) - SHIFT) as i8));
        }
        Self::pack_for(isa, &quantized, &scales, outputs, inputs)
    }

    /// Quantizes and packs `weights`, row-major `[inputs, outputs]`. The result is that of
    /// [`Self::quantize`] for the transposed weights.
    ///
    /// # Panics
    /// See [`Self::pack`].
    pub fn quantize_by_input(weights: &[f32], outputs: usize, inputs: usize) -> Self {
        assert!(inputs > 0 && weights.len() == outputs * inputs, "weights of a linear layer");
        assert!(inputs <= MAX_INPUTS && outputs > 0, "{inputs} inputs of {outputs} outputs");
        let mut scales = vec![0f32; outputs];
        for row in weights.chunks_exact(outputs) {
            for (max, weight) in scales.iter_mut().zip(row) {
                let magnitude = weight.abs();
                *max = if magnitude > *max { magnitude } else { *max };
            }
        }
        for scale in &mut scales {
            *scale = 127.0 / *scale;
            *scale = if scale.is_normal() { *scale } else { 1.0 };
        }
        let (mut quantized, mut sums) = (vec![0u8; weights.len()], vec![0; outputs]);
        let rows = weights.chunks_exact(outputs).zip(quantized.chunks_exact_mut(outputs));
        for (row, to) in rows {
            let columns = scales.iter().zip(&mut sums);
            for ((to, weight), (scale, sum)) in to.iter_mut().zip(row).zip(columns) {
                // As `quantize_symmetric`.
                *to = (weight * scale + (ROUND + SHIFT as f32)).to_bits() as u8;
                *sum += i32::from(*to) - SHIFT;
            }
        }
        let panels = Int8Panels::pack(Isa::selected(), inputs, outputs, |layout, to| {
            layout.pack_by_input(&quantized, inputs, outputs, to);
        });
        Self::with_panels(panels, &scales, sums.into_iter())
    }

    /// Packs quantized weights, row-major `[outputs, inputs]`. A weight stands for
    /// `weight / scale`, where each output has a scale.
    ///
    /// # Panics
    /// If there are not `outputs * inputs` weights and `outputs` scales, or none, or more than
    /// [`MAX_INPUTS`] inputs.
    pub fn pack(weights: &[i8], scales: &[f32], outputs: usize, inputs: usize) -> Self {
        Self::pack_for(Isa::selected(), weights, scales, outputs, inputs)
    }

    pub(crate) fn pack_for(
        isa: Isa,
        weights: &[i8],
        scales: &[f32],
        outputs: usize,
        inputs: usize,
    ) -> Self {
        assert!(inputs > 0 && inputs <= MAX_INPUTS, "{inputs} inputs");
        assert!(outputs > 0 && scales.len() == outputs, "scales of a linear layer");
        assert_eq!(weights.len(), outputs * inputs, "weights of a linear layer");
        let panels = Int8Panels::pack(isa, inputs, outputs, |layout, to| {
            layout.pack_by_output(weights, inputs, to);
        });
        let sum = |row: &[i8]| row.iter().map(|&weight| i32::from(weight)).sum();
        Self::with_panels(panels, scales, weights.chunks_exact(inputs).map(sum))
    }

    /// Takes packed weights, and the sum of those of each output.
    fn with_panels(panels: Int8Panels, scales: &[f32], sums: impl Iterator<Item = i32>) -> Self {
        let mut corrections = AlignedBuffer::<i32>::zeroed(panels.padded_outputs());
        let mut steps = AlignedBuffer::<f32>::zeroed(panels.padded_outputs());
        let shift = panels.isa.int8_layout().shift - SHIFT;
        for (output, (sum, scale)) in sums.zip(scales).enumerate() {
            corrections[output] = shift * sum;
            steps[output] = 1.0 / scale;
        }
        Self { panels, scales: steps, corrections }
    }

    pub fn inputs(&self) -> usize {
        self.panels.inputs
    }

    pub fn outputs(&self) -> usize {
        self.panels.outputs
    }

    /// Writes the weights of one output to `row`, dequantized.
    ///
    /// # Panics
    /// If there is no such output.
    pub fn row(&self, output: usize, row: &mut [f32]) {
        assert!(output < self.outputs(), "output {output} of {}", self.outputs());
        for (input, weight) in row.iter_mut().enumerate().take(self.inputs()) {
            *weight = f32::from(self.panels.weight(input, output)) * self.scales[output];
        }
    }

    /// Computes `x Wᵀ` and the epilogue for rows of [`Self::inputs`] numbers.
    ///
    /// # Panics
    /// If the lengths do not match.
    pub fn apply(&self, x: &[f32], epilogue: Epilogue<'_>, out: &mut [f32]) {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let rows = x.len() / inputs;
        assert_eq!(x.len(), rows * inputs, "inputs of a linear layer");
        assert_eq!(out.len(), rows * outputs, "outputs of a linear layer");
        assert!(epilogue.bias.is_none_or(|bias| bias.len() == outputs), "biases");
        SCRATCH.with_borrow_mut(|scratch| {
            let rows = row_block(outputs);
            let outs = out.chunks_mut(rows * outputs);
            for (x, out) in x.chunks(rows * inputs).zip(outs) {
                self.apply_to_block(x, epilogue, out, scratch);
            }
        });
    }

    fn apply_to_block(
        &self,
        x: &[f32],
        epilogue: Epilogue<'_>,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let (inputs, isa) = (self.inputs(), self.panels.isa);
        // Rows are padded already, which is all that some layouts need.
        let stride = self.panels.depth();
        scratch.rows.grow(x.len() / inputs * stride);
        scratch.scales.clear();
        for (x, row) in x.chunks_exact(inputs).zip(scratch.rows.chunks_exact_mut(stride)) {
            let scale = isa.quantize_symmetric(x, &mut row[..inputs]);
            scratch.scales.push(1.0 / scale);
        }
        let rows =
            QuantizedRows { values: &scratch.rows, stride, scales: &scratch.scales, sums: None };
        let columns =
            Columns { scales: &self.scales, corrections: &self.corrections, zero_points: &[] };
        self.panels.multiply(rows, columns, epilogue, out, &mut scratch.packed);
        isa.activate(out, epilogue.post_op);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::numbers;

    #[test]
    fn both_orders_are_quantized_alike() {
        for (inputs, outputs) in [(1, 1), (3, 65), (64, 8), (130, 67)] {
            let mut by_output = numbers(1, inputs * outputs);
            // An output without weights, and numbers between two steps.
            by_output[..inputs].fill(0.0);
            by_output[outputs * inputs - 1] = 127.0;
            by_output[outputs * inputs - inputs] = 2.5;
            let by_input: Vec<f32> = (0..inputs * outputs)
                .map(|at| by_output[at % outputs * inputs + at / outputs])
                .collect();
            let expected = Weights::quantize(&by_output, outputs, inputs);
            let found = Weights::quantize_by_input(&by_input, outputs, inputs);
            assert!(found.scales[..] == expected.scales[..], "{inputs} to {outputs}");
            assert!(found.corrections[..] == expected.corrections[..]);
            for output in 0..outputs {
                for input in 0..inputs {
                    let weight = |packed: &Weights| packed.panels.weight(input, output);
                    assert_eq!(weight(&found), weight(&expected));
                }
            }
        }
    }
}
