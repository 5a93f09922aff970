//! `out = x W` in int8, quantized as ONNX's `DynamicQuantizeLinear` and `MatMulInteger`, and
//! therefore FunASR's exporter, do: both operands unsigned with zero points, one per column of the
//! weights, and one for all activations, computed at run time.
//!
//! Instructions multiply u8 by i8, so 128 is subtracted from weights and their zero points. (Where
//! they multiply i8 by i8, 128 is subtracted from activations, too, which adds a correction.) Zero
//! points are taken out of the sum, `Σ (x - zx) (w - zw) = Σ x w - zw Σ x - zx Σ w + K zx zw`:
//! `Σ w` is known when the weights are packed, `Σ x` is one sum per row. All sums are exact in i32.
//! The rest follows ONNX's order of operations, `f32(sum) * (scale of x * scale of column) + bias`,
//! each rounded, so that results equal ONNX Runtime's bit for bit.

use std::cell::RefCell;

use crate::{
    aligned::AlignedBuffer,
    epilogue::{Epilogue, PostOp},
    int8_panels::{Columns, Int8Panels, QuantizedRows, row_block},
    isa::Isa,
    layout::shifted,
};

/// Maximum number of inputs for which no sum can overflow i32.
pub const MAX_INPUTS: usize = i32::MAX as usize / (255 * 255);

/// Packed weights of a linear layer. Parameters of outputs are padded to whole panels.
#[derive(Clone)]
pub struct Weights {
    panels: Int8Panels,
    scales: AlignedBuffer<f32>,
    /// Sum of the weights of each output, minus 128 each.
    sums: AlignedBuffer<i32>,
    /// 128 minus the zero point of each output.
    zero_points: AlignedBuffer<i32>,
}

/// A quantized tensor: a value stands for `(value - zero_point) * scale`.
#[derive(Debug, Clone, Copy)]
pub struct QuantizedTensor<'a> {
    pub values: &'a [u8],
    pub scale: f32,
    pub zero_point: u8,
}

/// Quantizes `x` with one scale and one zero point, and returns these.
///
/// ```
/// let mut values = [0; 3];
/// let (scale, zero_point) = kernels::dynamic::quantize(&[-1.0, 0.0, 254.0], &mut values);
/// assert_eq!((scale, zero_point, values), (1.0, 1, [0, 1, 255]));
/// ```
///
/// # Panics
/// If the lengths differ.
pub fn quantize(x: &[f32], out: &mut [u8]) -> (f32, u8) {
    quantize_with(Isa::selected(), x, out)
}

pub(crate) fn quantize_with(isa: Isa, x: &[f32], out: &mut [u8]) -> (f32, u8) {
    assert_eq!(x.len(), out.len(), "quantization");
    quantize_range(isa, isa.min_max(x), x, out)
}

/// Returns the minimum and maximum of `x` and zero.
pub fn min_max(x: &[f32]) -> (f32, f32) {
    Isa::selected().min_max(x)
}

/// Computes [`quantize`] for an `x` whose [`min_max`] is known.
///
/// # Panics
/// If the lengths differ.
pub fn quantize_with_min_max(min_max: (f32, f32), x: &[f32], out: &mut [u8]) -> (f32, u8) {
    quantize_range(Isa::selected(), min_max, x, out)
}

fn quantize_range(isa: Isa, (min, max): (f32, f32), x: &[f32], out: &mut [u8]) -> (f32, u8) {
    let scale = (max - min) / 255.0;
    let scale = if scale > 0.0 { scale } else { 1.0 };
    let zero_point = (-min / scale).clamp(0.0, 255.0).round_ties_even() as u8;
    isa.quantize_affine(x, scale, zero_point, out);
    (scale, zero_point)
}

/// Zero point and scale of each output, for [`Weights::pack`].
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizationParameters {
    pub zero_points: Vec<u8>,
    pub scales: Vec<f32>,
}

/// Quantizes `weights`, row-major `[inputs, outputs]`, to `values`, with a scale and a zero point
/// per column. The result equals that of ONNX Runtime's `quantize_dynamic` with `per_channel=True`
/// and `QuantType.QUInt8` (`onnxruntime/quantization/quant_utils.py`) bit for bit.
///
/// # Panics
/// If there are no outputs, the number of weights is not a multiple of them, or the numbers of
/// weights and values differ.
pub fn quantize_columns(
    weights: &[f32],
    outputs: usize,
    values: &mut [u8],
) -> QuantizationParameters {
    assert_eq!(weights.len(), values.len(), "weights of a linear layer");
    assert!(outputs > 0 && weights.len().is_multiple_of(outputs), "weights of a linear layer");
    let (mut mins, mut maxs) = (vec![0f32; outputs], vec![0f32; outputs]);
    for row in weights.chunks_exact(outputs) {
        for ((min, max), &weight) in mins.iter_mut().zip(&mut maxs).zip(row) {
            *min = if weight < *min { weight } else { *min };
            *max = if weight > *max { weight } else { *max };
        }
    }
    let parameters = mins.iter().zip(&maxs).map(|(&min, &max)| {
        let scale = f64::from(max - min) / 255.0;
        if scale < f64::from(f32::MIN_POSITIVE) {
            return (1.0, 0);
        }
        (scale as f32, (-f64::from(min) / scale).round_ties_even() as u8)
    });
    let (scales, zero_points): (Vec<f32>, Vec<u8>) = parameters.unzip();
    let offsets: Vec<f32> = zero_points.iter().map(|&zero_point| f32::from(zero_point)).collect();
    for (row, to) in weights.chunks_exact(outputs).zip(values.chunks_exact_mut(outputs)) {
        let columns = scales.iter().zip(&offsets);
        for ((to, weight), (scale, offset)) in to.iter_mut().zip(row).zip(columns) {
            // Floats of this size are whole numbers: rounds to the nearest, ties to even.
            const ROUND: f32 = 12_582_912.0;
            let value = (weight / scale + ROUND) - ROUND + offset;
            // Floats of this size hold the whole number in their low bits.
            const LOW_BITS: f32 = 8_388_608.0;
            *to = (value.clamp(0.0, 255.0) + LOW_BITS).to_bits() as u8;
        }
    }
    QuantizationParameters { zero_points, scales }
}

/// Buffers of [`Weights::apply`], kept per thread.
#[derive(Default)]
struct Scratch {
    /// Rows in the layout of the instruction set.
    packed: AlignedBuffer<u8>,
    row_scales: Vec<f32>,
    row_sums: Vec<i32>,
    corrections: AlignedBuffer<i32>,
    column_scales: AlignedBuffer<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Weights {
    /// Packs `weights`, row-major `[inputs, outputs]`. A weight stands for
    /// `(weight - zero_point) * scale` of its column.
    ///
    /// # Panics
    /// If the numbers of weights, zero points and scales do not match the shape or are zero, or
    /// there are more than [`MAX_INPUTS`] inputs.
    pub fn pack(weights: &[u8], zero_points: &[u8], scales: &[f32], inputs: usize) -> Self {
        Self::pack_for(Isa::selected(), weights, zero_points, scales, inputs)
    }

    pub(crate) fn pack_for(
        isa: Isa,
        weights: &[u8],
        zero_points: &[u8],
        scales: &[f32],
        inputs: usize,
    ) -> Self {
        let outputs = scales.len();
        assert!(inputs > 0 && inputs <= MAX_INPUTS, "{inputs} inputs");
        assert!(outputs > 0 && zero_points.len() == outputs, "zero points of a linear layer");
        assert_eq!(weights.len(), inputs * outputs, "weights of a linear layer");
        let panels = Int8Panels::pack(isa, inputs, outputs, |layout, to| {
            layout.pack_by_input(weights, inputs, outputs, to);
        });
        let padded = panels.padded_outputs();
        let mut packed = Self {
            panels,
            scales: AlignedBuffer::zeroed(padded),
            sums: AlignedBuffer::zeroed(padded),
            zero_points: AlignedBuffer::zeroed(padded),
        };
        // Sums of up to 257 bytes fit 16 bits.
        let mut part = vec![0u16; outputs];
        for rows in weights.chunks(257 * outputs) {
            part.fill(0);
            for row in rows.chunks_exact(outputs) {
                part.iter_mut().zip(row).for_each(|(sum, &weight)| *sum += u16::from(weight));
            }
            let depth = (rows.len() / outputs) as i32;
            for (sum, &part) in packed.sums.iter_mut().zip(&part) {
                *sum += i32::from(part) - 128 * depth;
            }
        }
        packed.scales[..outputs].copy_from_slice(scales);
        for (to, &zero_point) in packed.zero_points.iter_mut().zip(zero_points) {
            *to = -i32::from(shifted(zero_point));
        }
        packed
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
            // 128 was subtracted from the packed weight.
            let steps = i32::from(self.panels.weight(input, output)) + self.zero_points[output];
            *weight = steps as f32 * self.scales[output];
        }
    }

    /// Computes `x W` and the epilogue for rows of [`Self::inputs`] numbers.
    ///
    /// # Panics
    /// If the lengths do not match.
    pub fn apply(&self, x: QuantizedTensor<'_>, epilogue: Epilogue<'_>, out: &mut [f32]) {
        self.apply_and(x, epilogue, out, |isa, block| isa.activate(block, epilogue.post_op));
    }

    /// Computes [`Self::apply`] and returns the minimum and maximum of the output and zero.
    ///
    /// # Panics
    /// See [`Self::apply`].
    pub fn apply_with_min_max(
        &self,
        x: QuantizedTensor<'_>,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
    ) -> (f32, f32) {
        let mut min_max = (0f32, 0f32);
        // Block by block, while the block is in the cache.
        self.apply_and(x, epilogue, out, |isa, block| {
            let (min, max) = if epilogue.post_op == PostOp::Relu {
                (0.0, isa.relu_with_max(block))
            } else {
                isa.activate(block, epilogue.post_op);
                isa.min_max(block)
            };
            min_max = (min_max.0.min(min), min_max.1.max(max));
        });
        min_max
    }

    fn apply_and(
        &self,
        x: QuantizedTensor<'_>,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
        mut activate: impl FnMut(Isa, &mut [f32]),
    ) {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let rows = x.values.len() / inputs;
        assert_eq!(x.values.len(), rows * inputs, "inputs of a linear layer");
        assert_eq!(out.len(), rows * outputs, "outputs of a linear layer");
        assert!(epilogue.bias.is_none_or(|bias| bias.len() == outputs), "biases");
        let isa = self.panels.isa;
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { packed, row_scales, row_sums, corrections, column_scales } = scratch;
            let padded = self.panels.padded_outputs();
            corrections.grow(padded);
            column_scales.grow(padded);
            let (zero_point, shift) = (i32::from(x.zero_point), isa.int8_layout().shift);
            let depth = inputs as i32;
            for (correction, (sum, zero)) in
                corrections.iter_mut().zip(self.sums.iter().zip(self.zero_points.iter()))
            {
                // Intermediate results may overflow i32; the last one does not.
                let products =
                    zero_point.wrapping_mul(depth.wrapping_mul(*zero).wrapping_add(*sum));
                *correction = shift.wrapping_mul(*sum).wrapping_sub(products);
            }
            // With row scales of one, sums are multiplied by `scale of x * scale of column`.
            for (to, scale) in column_scales.iter_mut().zip(self.scales.iter()) {
                *to = x.scale * scale;
            }
            let rows = row_block(outputs);
            let blocks = x.values.chunks(rows * inputs);
            for (block, out) in blocks.zip(out.chunks_mut(rows * outputs)) {
                row_scales.clear();
                row_scales.resize(block.len() / inputs, 1.0);
                row_sums.clear();
                row_sums.extend(block.chunks_exact(inputs).map(|row| isa.sum_bytes(row)));
                let columns =
                    Columns { scales: column_scales, corrections, zero_points: &self.zero_points };
                let rows = QuantizedRows {
                    values: block,
                    stride: inputs,
                    scales: row_scales,
                    sums: Some(row_sums),
                };
                self.panels.multiply(rows, columns, epilogue, out, packed);
                activate(isa, out);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with numpy's formula, element by element.
    #[test]
    fn columns_are_quantized_like_onnx_runtime() {
        let outputs = 7;
        let weights: Vec<f32> = (0..40 * outputs)
            .map(|index| match index % outputs {
                // All zero, all positive, all negative, too small for a scale, ties.
                0 => 0.0,
                1 => 0.25 + (index % 13) as f32,
                2 => -0.25 - (index % 11) as f32,
                3 => f32::MIN_POSITIVE / 4.0,
                4 => (index / outputs) as f32 * 6.5 - 2.5,
                column => ((index * 7919 % 1009) as f32 - 400.0) / (column * 100) as f32,
            })
            .collect();
        let mut found = vec![0; weights.len()];
        let quantized = quantize_columns(&weights, outputs, &mut found);
        for column in 0..outputs {
            let values: Vec<f32> = weights[column..].iter().step_by(outputs).copied().collect();
            let min = values.iter().copied().fold(0f32, f32::min);
            let max = values.iter().copied().fold(0f32, f32::max);
            let scale = f64::from(max - min) / 255.0;
            let (scale, zero_point) = if scale < f64::from(f32::MIN_POSITIVE) {
                (1.0, 0.0)
            } else {
                (scale as f32, (0.0 - f64::from(min) / scale).round_ties_even() as f32)
            };
            assert_eq!(quantized.scales[column], scale);
            assert_eq!(f32::from(quantized.zero_points[column]), zero_point);
            for (row, value) in values.iter().enumerate() {
                let expected = ((value / scale).round_ties_even() + zero_point).clamp(0.0, 255.0);
                assert_eq!(f32::from(found[row * outputs + column]), expected);
            }
        }
    }

    #[test]
    fn sums_of_long_columns_are_exact() {
        let (inputs, outputs) = (600, 3);
        let weights: Vec<u8> =
            (0..inputs * outputs).map(|index| [255, 0, (index % 256) as u8][index % 3]).collect();
        let packed = Weights::pack(&weights, &[0; 3], &[1.0; 3], inputs);
        for output in 0..outputs {
            let column = weights[output..].iter().step_by(outputs);
            let sum: i32 = column.map(|&weight| i32::from(weight) - 128).sum();
            assert_eq!(packed.sums[output], sum);
        }
    }

    #[test]
    fn rows_are_dequantized() {
        let (weights, zero_points, scales) = ([7, 250, 0, 255, 128, 3], [7, 128], [0.5, 2.0]);
        let packed = Weights::pack(&weights, &zero_points, &scales, 3);
        let mut row = [0.0; 3];
        packed.row(0, &mut row);
        assert_eq!(row, [0.0, -3.5, 60.5]);
        packed.row(1, &mut row);
        assert_eq!(row, [244.0, 254.0, -250.0]);
    }
}
