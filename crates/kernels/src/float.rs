//! `out = x Wᵀ` in f32, with `W` packed in panels.
//!
//! A panel holds [`PANEL`] outputs, `[inputs][PANEL]`; the last one is filled up with zeros.

use crate::{
    Epilogue, Isa, PANEL,
    aligned::AlignedBuffer,
    end_of_rows,
    product::{self, Product},
    rows::Rows,
};

/// Rows that go past all panels together: their inputs and outputs stay in the second-level cache.
const ROW_BLOCK: usize = 96;

/// Packed weights of a linear layer.
#[derive(Clone)]
pub struct Weights {
    panels: AlignedBuffer<f32>,
    inputs: usize,
    outputs: usize,
}

/// `panel` is `[depth][PANEL]`.
pub(crate) type Tile<'a> = product::Tile<'a, f32>;

impl Tile<'_> {
    /// Panics unless all slices are long enough for kernels to go without checks.
    pub(crate) fn check(&self, out: &[f32]) {
        assert!(self.a.len() >= end_of_rows(self.rows, self.a_stride, self.depth));
        self.check_columns(out);
    }
}

impl Weights {
    /// Packs `weights`, row-major `[outputs, inputs]`.
    ///
    /// # Panics
    /// If there are not `outputs * inputs` weights, or none.
    pub fn pack(weights: &[f32], outputs: usize, inputs: usize) -> Self {
        assert_eq!(weights.len(), outputs * inputs, "weights of a linear layer");
        assert!(!weights.is_empty(), "a linear layer without weights");
        let mut panels = AlignedBuffer::default();
        let rows = Rows { values: weights, stride: inputs, count: outputs };
        pack_outputs(rows, inputs, &mut panels);
        Self { panels, inputs, outputs }
    }

    /// Packs `weights`, row-major `[inputs, outputs]`.
    ///
    /// # Panics
    /// As [`Self::pack`].
    pub fn pack_by_input(weights: &[f32], outputs: usize, inputs: usize) -> Self {
        assert_eq!(weights.len(), outputs * inputs, "weights of a linear layer");
        assert!(!weights.is_empty(), "a linear layer without weights");
        let mut panels = AlignedBuffer::default();
        let rows = Rows { values: weights, stride: outputs, count: inputs };
        pack_inputs(rows, outputs, &mut panels);
        Self { panels, inputs, outputs }
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The weights of one output.
    ///
    /// # Panics
    /// If there is no such output.
    pub fn row(&self, output: usize, row: &mut [f32]) {
        assert!(output < self.outputs, "output {output} of {}", self.outputs);
        let panel = &self.panels[output / PANEL * PANEL * self.inputs..];
        for (input, weight) in row.iter_mut().enumerate().take(self.inputs) {
            *weight = panel[input * PANEL + output % PANEL];
        }
    }

    /// Multiplies `rows` rows of `x`. Row `i` starts at `i * stride`: rows may overlap, which makes
    /// this a convolution over time.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn apply(
        &self,
        x: &[f32],
        stride: usize,
        rows: usize,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
    ) {
        self.apply_with(Isa::best(), x, stride, rows, epilogue, out);
    }

    pub(crate) fn apply_with(
        &self,
        isa: Isa,
        x: &[f32],
        stride: usize,
        rows: usize,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
    ) {
        assert_eq!(out.len(), rows * self.outputs, "outputs of a linear layer");
        assert!(x.len() >= end_of_rows(rows, stride, self.inputs), "inputs of a linear layer");
        assert!(epilogue.bias.is_none_or(|bias| bias.len() == self.outputs), "biases");
        for (block, out) in out.chunks_mut(ROW_BLOCK * self.outputs).enumerate() {
            let product = Product {
                a: &x[block * ROW_BLOCK * stride..],
                a_stride: stride,
                rows: out.len() / self.outputs,
                depth: self.inputs,
                panels: &self.panels,
                outputs: self.outputs,
                epilogue,
                out_stride: self.outputs,
            };
            product.multiply(isa, out);
            isa.activate(out, epilogue.post_op);
        }
    }
}

/// Packs a matrix with a row of `inputs` numbers for each output.
pub(crate) fn pack_outputs(rows: Rows<'_>, inputs: usize, panels: &mut AlignedBuffer<f32>) {
    let size = inputs * PANEL;
    let size_of_all = rows.count.div_ceil(PANEL) * size;
    panels.grow(size_of_all);
    for (index, panel) in panels[..size_of_all].chunks_exact_mut(size).enumerate() {
        let count = PANEL.min(rows.count - index * PANEL);
        if count < PANEL {
            panel.fill(0.0);
        }
        for column in 0..count {
            let row = rows.row(index * PANEL + column, inputs);
            for (to, &weight) in panel.as_chunks_mut::<PANEL>().0.iter_mut().zip(row) {
                to[column] = weight;
            }
        }
    }
}

/// Packs a matrix with a row of `outputs` numbers for each input.
pub(crate) fn pack_inputs(rows: Rows<'_>, outputs: usize, panels: &mut AlignedBuffer<f32>) {
    let size = rows.count * PANEL;
    let size_of_all = outputs.div_ceil(PANEL) * size;
    panels.grow(size_of_all);
    for (index, panel) in panels[..size_of_all].chunks_exact_mut(size).enumerate() {
        let first = index * PANEL;
        let columns = PANEL.min(outputs - first);
        for (input, to) in panel.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
            to[..columns].copy_from_slice(&rows.row(input, outputs)[first..first + columns]);
            to[columns..].fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bf16;

    #[test]
    fn both_orders_pack_the_same() {
        for (inputs, outputs) in [(1, 1), (3, 65), (8, 64), (5, 130)] {
            let weights: Vec<f32> = (0..inputs * outputs).map(|index| index as f32).collect();
            let by_output: Vec<f32> = (0..inputs * outputs)
                .map(|index| weights[index % inputs * outputs + index / inputs])
                .collect();
            let a = Weights::pack_by_input(&weights, outputs, inputs);
            let b = Weights::pack(&by_output, outputs, inputs);
            assert!(a.panels[..] == b.panels[..], "{inputs} to {outputs}");
            let a = bf16::Weights::pack_by_input(&weights, outputs, inputs);
            let b = bf16::Weights::pack(&by_output, outputs, inputs);
            let (mut row, mut other) = (vec![0.0; inputs], vec![1.0; inputs]);
            for output in 0..outputs {
                a.row(output, &mut row);
                b.row(output, &mut other);
                assert_eq!(row, other);
            }
        }
    }
}
