//! `out = x W` with 8-bit integers, quantized as ONNX does it with `DynamicQuantizeLinear` and
//! `MatMulInteger` and as FunASR's exporter therefore does: both sides unsigned with zero points,
//! weights with one per column, activations with one for the whole tensor, found on the fly.
//!
//! Instructions multiply u8 by i8, so weights are shifted by 128, which their zero points follow
//! (some multiply i8 by i8: then activations are shifted, too, which is one more correction).
//! Zero points come out of the sum, `Σ (x - zx) (w - zw) = Σ x w - zw Σ x - zx Σ w + K zx zw`:
//! `Σ w` is known when weights are packed, `Σ x` is one sum per row. All sums are exact in i32.
//! What follows is in ONNX's order of operations, so that results are ONNX Runtime's to the bit:
//! `f32(sum) * (scale of x * scale of column) + bias`, each rounded.

use std::cell::RefCell;

use crate::{
    Epilogue, Isa, PostOp,
    aligned::AlignedBuffer,
    int8::{Columns, Panels, Rows, row_block},
    layout::shifted,
};

/// The most inputs for which no sum leaves i32.
pub const MAX_INPUTS: usize = i32::MAX as usize / (255 * 255);

/// Packed weights of a linear layer.
#[derive(Clone)]
pub struct Weights {
    panels: Panels,
    /// Per output, filled up to whole panels, as are the others.
    scales: AlignedBuffer<f32>,
    /// Of the shifted weights.
    sums: AlignedBuffer<i32>,
    /// Minus those of the shifted weights.
    zero_points: AlignedBuffer<i32>,
}

/// A quantized tensor: a value is worth `(value - zero_point) * scale`.
#[derive(Debug, Clone, Copy)]
pub struct QuantizedTensor<'a> {
    pub values: &'a [u8],
    pub scale: f32,
    pub zero_point: u8,
}

/// Quantizes all of `x` with one scale and zero point, which are returned.
///
/// # Panics
/// If the lengths differ.
pub fn quantize(x: &[f32], out: &mut [u8]) -> (f32, u8) {
    quantize_with(Isa::best(), x, out)
}

pub(crate) fn quantize_with(isa: Isa, x: &[f32], out: &mut [u8]) -> (f32, u8) {
    assert_eq!(x.len(), out.len(), "quantization");
    quantize_between(isa, isa.min_max(x), x, out)
}

/// The least and the greatest of `x` and zero.
pub fn min_max(x: &[f32]) -> (f32, f32) {
    Isa::best().min_max(x)
}

/// As [`quantize`], for an `x` whose min_max, and zero, are known.
///
/// # Panics
/// If the lengths differ.
pub fn quantize_with_min_max(min_max: (f32, f32), x: &[f32], out: &mut [u8]) -> (f32, u8) {
    quantize_between(Isa::best(), min_max, x, out)
}

fn quantize_between(isa: Isa, (min, max): (f32, f32), x: &[f32], out: &mut [u8]) -> (f32, u8) {
    let scale = (max - min) / 255.0;
    let scale = if scale > 0.0 { scale } else { 1.0 };
    let zero_point = (-min / scale).clamp(0.0, 255.0).round_ties_even() as u8;
    isa.quantize_around(x, scale, zero_point, out);
    (scale, zero_point)
}

/// What [`Weights::pack`] takes besides the weights: one of each per output.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizationParameters {
    pub zero_points: Vec<u8>,
    pub scales: Vec<f32>,
}

/// Quantizes `weights`, row-major `[inputs, outputs]`, to `values`, with a scale and a zero point per column, to the
/// bit as ONNX Runtime's `quantize_dynamic` does with `per_channel=True` and `QuantType.QUInt8`
/// (`onnxruntime/quantization/quant_utils.py`).
///
/// # Panics
/// If there are no outputs, weights are no multiple of them, or values not as many.
pub fn quantize_columns(
    weights: &[f32],
    outputs: usize,
    values: &mut [u8],
) -> QuantizationParameters {
    assert_eq!(weights.len(), values.len(), "weights of a linear layer");
    assert!(outputs > 0 && weights.len().is_multiple_of(outputs), "weights of a linear layer");
    let (mut least, mut most) = (vec![0f32; outputs], vec![0f32; outputs]);
    for row in weights.chunks_exact(outputs) {
        for ((least, most), &weight) in least.iter_mut().zip(&mut most).zip(row) {
            *least = if weight < *least { weight } else { *least };
            *most = if weight > *most { weight } else { *most };
        }
    }
    let parameters = least.iter().zip(&most).map(|(&least, &most)| {
        let scale = f64::from(most - least) / 255.0;
        if scale < f64::from(f32::MIN_POSITIVE) {
            return (1.0, 0);
        }
        (scale as f32, (-f64::from(least) / scale).round_ties_even() as u8)
    });
    let (scales, zero_points): (Vec<f32>, Vec<u8>) = parameters.unzip();
    let offsets: Vec<f32> = zero_points.iter().map(|&zero_point| f32::from(zero_point)).collect();
    for (row, to) in weights.chunks_exact(outputs).zip(values.chunks_exact_mut(outputs)) {
        let columns = scales.iter().zip(&offsets);
        for ((to, weight), (scale, offset)) in to.iter_mut().zip(row).zip(columns) {
            // Numbers of this size have no bits below one: rounds to the nearest, ties to even.
            const ROUND: f32 = 12_582_912.0;
            let value = (weight / scale + ROUND) - ROUND + offset;
            // And such ones have their value in the last bits.
            const LAST_BITS: f32 = 8_388_608.0;
            *to = (value.clamp(0.0, 255.0) + LAST_BITS).to_bits() as u8;
        }
    }
    QuantizationParameters { zero_points, scales }
}

/// What one product needs beside its operands; kept per thread.
#[derive(Default)]
struct Scratch {
    laid: AlignedBuffer<u8>,
    scales: Vec<f32>,
    sums: Vec<i32>,
    starts: AlignedBuffer<i32>,
    column_scales: AlignedBuffer<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Weights {
    /// Packs `weights`, row-major `[inputs, outputs]`; a weight is worth
    /// `(weight - zero_point) * scale` of its column.
    ///
    /// # Panics
    /// If there are not as many weights, zero points and scales as the shape says, or none, or more
    /// inputs than [`MAX_INPUTS`].
    pub fn pack(weights: &[u8], zero_points: &[u8], scales: &[f32], inputs: usize) -> Self {
        Self::pack_for(Isa::best(), weights, zero_points, scales, inputs)
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
        let panels = Panels::pack(isa, inputs, outputs, |layout, to| {
            layout.pack_by_input(weights, inputs, outputs, to);
        });
        let padded = panels.padded_outputs();
        let mut packed = Self {
            panels,
            scales: AlignedBuffer::zeroed(padded),
            sums: AlignedBuffer::zeroed(padded),
            zero_points: AlignedBuffer::zeroed(padded),
        };
        // As many rows as the sums of whose bytes stay in 16 bits.
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

    /// Multiplies rows of [`Self::inputs`] numbers.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn apply(&self, x: QuantizedTensor<'_>, epilogue: Epilogue<'_>, out: &mut [f32]) {
        self.apply_and(x, epilogue, out, |isa, block| isa.activate(block, epilogue.post_op));
    }

    /// As [`Self::apply`]; returns the least and the greatest of what is in `out` then and zero.
    ///
    /// # Panics
    /// As [`Self::apply`].
    pub fn apply_with_min_max(
        &self,
        x: QuantizedTensor<'_>,
        epilogue: Epilogue<'_>,
        out: &mut [f32],
    ) -> (f32, f32) {
        let mut min_max = (0f32, 0f32);
        // While it is in the cache.
        self.apply_and(x, epilogue, out, |isa, block| {
            let (least, greatest) = if epilogue.post_op == PostOp::Relu {
                (0.0, isa.relu_with_greatest(block))
            } else {
                isa.activate(block, epilogue.post_op);
                isa.min_max(block)
            };
            min_max = (min_max.0.min(least), min_max.1.max(greatest));
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
            let Scratch { laid, scales, sums, starts, column_scales } = scratch;
            let padded = self.panels.padded_outputs();
            starts.grow(padded);
            column_scales.grow(padded);
            let (zero_point, shift) = (i32::from(x.zero_point), isa.layout().shift);
            let depth = inputs as i32;
            for (start, (sum, zero)) in
                starts.iter_mut().zip(self.sums.iter().zip(self.zero_points.iter()))
            {
                // On the way it may leave i32; where it ends is in it.
                let products =
                    zero_point.wrapping_mul(depth.wrapping_mul(*zero).wrapping_add(*sum));
                *start = shift.wrapping_mul(*sum).wrapping_sub(products);
            }
            // Scales of rows are one, so that a product meets `scale of x * scale of column`.
            for (to, scale) in column_scales.iter_mut().zip(self.scales.iter()) {
                *to = x.scale * scale;
            }
            let rows = row_block(outputs);
            let blocks = x.values.chunks(rows * inputs);
            for (block, out) in blocks.zip(out.chunks_mut(rows * outputs)) {
                scales.clear();
                scales.resize(block.len() / inputs, 1.0);
                sums.clear();
                sums.extend(block.chunks_exact(inputs).map(|row| isa.sum(row)));
                let columns =
                    Columns { scales: column_scales, starts, zero_points: &self.zero_points };
                let rows = Rows { values: block, stride: inputs, scales, sums: Some(sums) };
                self.panels.multiply(rows, columns, epilogue, out, laid);
                activate(isa, out);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// numpy's formula, element by element.
    #[test]
    fn columns_are_quantized_as_onnx_runtime_does() {
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
            let least = values.iter().copied().fold(0f32, f32::min);
            let most = values.iter().copied().fold(0f32, f32::max);
            let scale = f64::from(most - least) / 255.0;
            let (scale, zero_point) = if scale < f64::from(f32::MIN_POSITIVE) {
                (1.0, 0.0)
            } else {
                (scale as f32, (0.0 - f64::from(least) / scale).round_ties_even() as f32)
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
}
