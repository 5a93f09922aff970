//! `out = x Wᵀ` in f32, with `W` packed in panels.
//!
//! A panel holds [`PANEL`] outputs, `[inputs][PANEL]`; the last one is filled up with zeros.

use crate::{Epilogue, Finish, Isa, PANEL, aligned::Aligned, end_of_rows};

/// Rows that go past all panels together: their inputs and outputs stay in the second-level cache.
const ROW_BLOCK: usize = 96;

/// Packed weights of a linear layer.
#[derive(Clone)]
pub struct Weights {
    panels: Aligned<f32>,
    inputs: usize,
    outputs: usize,
}

/// A block of rows and one panel.
pub(crate) struct Tile<'a> {
    pub(crate) a: &'a [f32],
    pub(crate) a_stride: usize,
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    /// `[depth][PANEL]`.
    pub(crate) panel: &'a [f32],
    /// Columns of the panel in use.
    pub(crate) columns: usize,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) out_stride: usize,
    /// Add to the output instead of storing.
    pub(crate) add: bool,
}

impl Tile<'_> {
    /// Panics unless all slices are long enough for kernels to go without checks.
    pub(crate) fn check(&self, out: &[f32]) {
        assert!(self.a.len() >= end_of_rows(self.rows, self.a_stride, self.depth));
        assert!(self.panel.len() >= self.depth * PANEL && self.columns <= PANEL);
        assert!(self.bias.is_none_or(|bias| bias.len() >= self.columns));
        assert!(out.len() >= end_of_rows(self.rows, self.out_stride, self.columns));
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
        let mut panels = Aligned::zeroed(outputs.div_ceil(PANEL) * PANEL * inputs);
        for (output, row) in weights.chunks_exact(inputs).enumerate() {
            let panel = &mut panels[output / PANEL * PANEL * inputs..];
            for (input, &weight) in row.iter().enumerate() {
                panel[input * PANEL + output % PANEL] = weight;
            }
        }
        Self { panels, inputs, outputs }
    }

    /// Packs `weights`, row-major `[inputs, outputs]`.
    ///
    /// # Panics
    /// As [`Self::pack`].
    pub fn pack_by_input(weights: &[f32], outputs: usize, inputs: usize) -> Self {
        assert_eq!(weights.len(), outputs * inputs, "weights of a linear layer");
        assert!(!weights.is_empty(), "a linear layer without weights");
        let mut panels = Aligned::zeroed(outputs.div_ceil(PANEL) * PANEL * inputs);
        for (index, panel) in panels.chunks_exact_mut(PANEL * inputs).enumerate() {
            let first = index * PANEL;
            let used = PANEL.min(outputs - first);
            for (to, row) in panel.chunks_exact_mut(PANEL).zip(weights.chunks_exact(outputs)) {
                to[..used].copy_from_slice(&row[first..first + used]);
            }
        }
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
            let rows = out.len() / self.outputs;
            for (index, panel) in self.panels.chunks_exact(PANEL * self.inputs).enumerate() {
                let first = index * PANEL;
                let columns = PANEL.min(self.outputs - first);
                let tile = Tile {
                    a: &x[block * ROW_BLOCK * stride..],
                    a_stride: stride,
                    rows,
                    depth: self.inputs,
                    panel,
                    columns,
                    bias: epilogue.bias.map(|bias| &bias[first..first + columns]),
                    out_stride: self.outputs,
                    add: epilogue.finish == Finish::Add,
                };
                isa.float_panel(tile, &mut out[first..]);
            }
            isa.activate(out, epilogue.finish);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        }
    }
}
