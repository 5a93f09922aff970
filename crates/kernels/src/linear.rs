//! Packed weights of a linear layer, generic over f32 and bfloat16.

use bytemuck::Pod;

use crate::{
    aligned::AlignedBuffer,
    epilogue::Epilogue,
    gemm::{Element, Gemm},
    isa::Isa,
    rows::{Rows, end_of_rows},
};

/// Rows that are multiplied by all panels together, so that their inputs and outputs stay in the
/// second-level cache.
pub(crate) const ROW_BLOCK: usize = 96;

/// Packed weights of one linear layer; see [`float::Weights`](crate::float::Weights) and
/// [`bf16::Weights`](crate::bf16::Weights).
#[derive(Clone)]
pub struct PackedWeights<T: Pod> {
    /// The instruction set that the weights are packed for.
    isa: Isa,
    panels: AlignedBuffer<T>,
    inputs: usize,
    outputs: usize,
}

#[expect(private_bounds, reason = "`T` is f32 or u16")]
impl<T: Element> PackedWeights<T> {
    /// Packs `weights`, row-major `[outputs, inputs]`.
    ///
    /// # Panics
    /// If there are not `outputs * inputs` weights, or none.
    pub fn pack(weights: &[f32], outputs: usize, inputs: usize) -> Self {
        Self::pack_for(Isa::selected(), weights, outputs, inputs)
    }

    pub(crate) fn pack_for(isa: Isa, weights: &[f32], outputs: usize, inputs: usize) -> Self {
        check(weights, outputs, inputs);
        let mut panels = AlignedBuffer::default();
        let rows = Rows { values: weights, stride: inputs, count: outputs };
        T::pack_by_output(isa, rows, inputs, &mut panels);
        Self { isa, panels, inputs, outputs }
    }

    /// Packs `weights`, row-major `[inputs, outputs]`.
    ///
    /// # Panics
    /// If there are not `outputs * inputs` weights, or none.
    pub fn pack_by_input(weights: &[f32], outputs: usize, inputs: usize) -> Self {
        check(weights, outputs, inputs);
        let (isa, mut panels) = (Isa::selected(), AlignedBuffer::default());
        let rows = Rows { values: weights, stride: outputs, count: inputs };
        T::pack_by_input(isa, rows, outputs, &mut panels);
        Self { isa, panels, inputs, outputs }
    }

    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Writes the weights of one output to `row`.
    ///
    /// # Panics
    /// If there is no such output.
    pub fn row(&self, output: usize, row: &mut [f32]) {
        assert!(output < self.outputs, "output {output} of {}", self.outputs);
        for (input, weight) in row.iter_mut().enumerate().take(self.inputs) {
            *weight = T::weight(self.isa, &self.panels, self.inputs, input, output);
        }
    }

    /// Computes `x Wᵀ` and the epilogue for `rows` rows of `x`. Row `i` starts at `i * stride`;
    /// rows may overlap, which makes this a convolution over time.
    ///
    /// # Panics
    /// If the lengths do not match.
    pub fn apply(
        &self,
        x: &[f32],
        stride: usize,
        rows: usize,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
    ) {
        assert_eq!(out.len(), rows * self.outputs, "outputs of a linear layer");
        assert!(x.len() >= end_of_rows(rows, stride, self.inputs), "inputs of a linear layer");
        assert!(epilogue.bias.is_none_or(|bias| bias.len() == self.outputs), "biases");
        let (isa, depth) = (self.isa, T::depth(self.isa, self.inputs));
        T::with_buffer(ROW_BLOCK * depth, |buffer| {
            for (block, out) in out.chunks_mut(ROW_BLOCK * self.outputs).enumerate() {
                let values = &x[block * ROW_BLOCK * stride..];
                let rows = Rows { values, stride, count: out.len() / self.outputs };
                self.apply_converted(T::convert(isa, rows, self.inputs, buffer), epilogue, out);
                isa.activate(out, epilogue.post_op);
            }
        });
    }

    /// Computes `x Wᵀ` and the epilogue, without its activation function, for converted rows that
    /// are padded as the panels are.
    pub(crate) fn apply_converted(
        &self,
        rows: Rows<'_, T>,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
    ) {
        let gemm = Gemm {
            a: rows,
            depth: T::depth(self.isa, self.inputs),
            panels: &self.panels,
            outputs: self.outputs,
            epilogue,
            out_stride: self.outputs,
        };
        gemm.run(self.isa, out);
    }
}

fn check(weights: &[f32], outputs: usize, inputs: usize) {
    assert_eq!(weights.len(), outputs * inputs, "weights of a linear layer");
    assert!(!weights.is_empty(), "a linear layer without weights");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_are_packed_alike() {
        for (inputs, outputs) in [(1, 1), (3, 65), (8, 64), (5, 130)] {
            let weights: Vec<f32> = (0..inputs * outputs).map(|index| index as f32).collect();
            let by_output: Vec<f32> = (0..inputs * outputs)
                .map(|index| weights[index % inputs * outputs + index / inputs])
                .collect();
            let a = PackedWeights::<f32>::pack_by_input(&weights, outputs, inputs);
            let b = PackedWeights::<f32>::pack(&by_output, outputs, inputs);
            assert!(a.panels[..] == b.panels[..], "{inputs} to {outputs}");
            let a = PackedWeights::<u16>::pack_by_input(&weights, outputs, inputs);
            let b = PackedWeights::<u16>::pack(&by_output, outputs, inputs);
            let (mut row, mut other) = (vec![0.0; inputs], vec![1.0; inputs]);
            for output in 0..outputs {
                a.row(output, &mut row);
                b.row(output, &mut other);
                assert_eq!(row, other);
            }
        }
    }
}
