//! Convolutions over one or two axes, as GEMM of rows that are gathered from `[height, width,
//! channels]`.
//!
//! An input is converted once, with zeros around it. Channels are the inner axis, so that what an
//! output needs of a row of the input is contiguous; a block of outputs is gathered at a time, and
//! multiplied while it is in the first or second level of the cache.

use bytemuck::Pod;

use crate::{
    epilogue::{Epilogue, PostOp},
    gemm::Element,
    isa::Isa,
    linear::{PackedWeights, ROW_BLOCK},
    rows::Rows,
};

/// Which inputs an output of a convolution is computed of: for height, then width. A convolution
/// over time only has height 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Inputs per output.
    pub kernel: [usize; 2],
    /// Inputs from one output to the next.
    pub stride: [usize; 2],
    /// Inputs from one input of an output to the next.
    pub dilation: [usize; 2],
    /// Zeros before the input.
    pub before: [usize; 2],
    /// Zeros after the input.
    pub after: [usize; 2],
}

impl Window {
    /// Returns height and width of the output for those of an input: `None` if it would be empty.
    ///
    /// ```
    /// # use kernels::convolution::Window;
    /// let window = Window {
    ///     kernel: [3, 3], stride: [2, 1], dilation: [1, 1], before: [1, 1], after: [1, 1],
    /// };
    /// assert_eq!(window.output([80, 150]), Some([40, 150]));
    /// ```
    pub fn output(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let length = |axis: usize| {
            let padded =
                input[axis].checked_add(self.before[axis])?.checked_add(self.after[axis])?;
            Some(padded.checked_sub(self.reach(axis)?)? / self.stride[axis] + 1)
        };
        if input.contains(&0) || self.stride.contains(&0) {
            return None;
        }
        Some([length(0)?, length(1)?])
    }

    /// Returns from how many successive inputs an output is computed, `None` if that is not a
    /// number or zero.
    fn reach(&self, axis: usize) -> Option<usize> {
        let gaps = self.kernel[axis].checked_sub(1)?.checked_mul(self.dilation[axis])?;
        (self.dilation[axis] > 0).then_some(())?;
        gaps.checked_add(1)
    }
}

/// Batch normalization and ReLU before a convolution: `max(x * scale + shift, 0)`, one number per
/// channel.
#[derive(Debug, Clone, Copy)]
pub struct Normalization<'a> {
    pub scale: &'a [f32],
    pub shift: &'a [f32],
}

/// What is added to a convolution, and its activation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Finish<'a> {
    /// One number per output channel.
    pub bias: Option<&'a [f32]>,
    /// As many numbers as the output has.
    pub residual: Option<&'a [f32]>,
    /// Not [`PostOp::Add`].
    pub activation: PostOp,
}

/// Packed weights of a convolution, generic over f32 and bfloat16 (`u16`, see [`crate::bf16`]).
#[derive(Clone)]
pub struct Convolution<T: Pod> {
    weights: PackedWeights<T>,
    channels: usize,
    window: Window,
}

#[expect(private_bounds, reason = "`T` is f32 or u16")]
impl<T: Element> Convolution<T> {
    /// Packs `weights`, row-major `[outputs, channels, kernel height, kernel width]`.
    ///
    /// # Panics
    /// If there are not as many weights, or none.
    pub fn pack(weights: &[f32], outputs: usize, channels: usize, window: Window) -> Self {
        Self::pack_for(Isa::selected(), weights, outputs, channels, window)
    }

    pub(crate) fn pack_for(
        isa: Isa,
        weights: &[f32],
        outputs: usize,
        channels: usize,
        window: Window,
    ) -> Self {
        let taps = window.kernel[0] * window.kernel[1];
        let inputs = taps * channels;
        assert_eq!(weights.len(), outputs * inputs, "weights of a convolution");
        // Channels last, as in the rows that are gathered.
        let mut by_tap = vec![0.0; weights.len()];
        for (row, to) in weights.chunks_exact(inputs).zip(by_tap.chunks_exact_mut(inputs)) {
            for (tap, to) in to.chunks_exact_mut(channels).enumerate() {
                to.iter_mut().zip(row[tap..].iter().step_by(taps)).for_each(|(to, w)| *to = *w);
            }
        }
        Self { weights: PackedWeights::pack_for(isa, &by_tap, outputs, inputs), channels, window }
    }

    pub fn channels(&self) -> usize {
        self.channels
    }

    pub fn outputs(&self) -> usize {
        self.weights.outputs()
    }

    pub fn window(&self) -> Window {
        self.window
    }

    /// Computes the convolution of `x`, `[height, width]` rows of channels of which a part is used
    /// if they are wider. Writes `[height, width, outputs]` as [`Window::output`] says.
    ///
    /// # Panics
    /// If the lengths do not match, or if the output would be empty.
    pub fn apply(
        &self,
        x: Rows<'_>,
        shape: [usize; 2],
        normalization: Option<Normalization<'_>>,
        finish: Finish<'_>,
        out: &mut [f32],
    ) {
        let (channels, outputs, window) = (self.channels, self.outputs(), &self.window);
        let [out_height, out_width] = window.output(shape).expect("an output");
        let fits = |part: Option<&[f32]>, length| part.is_none_or(|part| part.len() == length);
        assert!(x.stride >= channels && x.holds(channels), "input of a convolution");
        assert_eq!(Some(x.count), shape[0].checked_mul(shape[1]), "input of a convolution");
        assert_eq!(out.len(), out_height * out_width * outputs, "output of a convolution");
        assert!(fits(finish.bias, outputs) && fits(finish.residual, out.len()), "epilogue");
        assert!(
            normalization.is_none_or(|n| n.scale.len() == channels && n.shift.len() == channels),
            "normalization of a convolution"
        );
        let isa = self.weights.isa();
        let plane = Plane::new(shape, window, channels);
        let depth = T::depth(isa, self.weights.inputs());
        // A row of the GEMM need not be gathered if it is contiguous.
        let contiguous =
            window.kernel[0] == 1 && (window.kernel[1] == 1 || window.dilation[1] == 1);
        let stride = window.stride[1] * channels;
        let direct = contiguous
            && (out_height == 1 || out_width * stride == window.stride[0] * plane.row)
            && (T::READS_ANY_STRIDE || stride == depth);
        let gathered = if direct { 0 } else { ROW_BLOCK * depth };
        T::with_plane(plane.length + gathered, |buffer| {
            let (converted, block) = buffer.split_at_mut(plane.length);
            plane.fill(isa, x, shape, window, normalization, converted);
            let add = if finish.residual.is_some() { PostOp::Add } else { PostOp::None };
            let epilogue = Epilogue { bias: finish.bias, post_op: add };
            for (index, out) in out.chunks_mut(ROW_BLOCK * outputs).enumerate() {
                let (first, count) = (index * ROW_BLOCK, out.len() / outputs);
                let rows = if direct {
                    Rows { values: &converted[first * stride..], stride, count }
                } else {
                    let segment = if window.dilation[1] == 1 { window.kernel[1] } else { 1 };
                    for (row, to) in block.chunks_exact_mut(depth).take(count).enumerate() {
                        let (y, x) = ((first + row) / out_width, (first + row) % out_width);
                        let start = y * window.stride[0] * plane.row + x * stride;
                        plane.gather(&converted[start..], window, segment * channels, to);
                    }
                    Rows { values: &*block, stride: depth, count }
                };
                if let Some(residual) = finish.residual {
                    out.copy_from_slice(&residual[first * outputs..][..out.len()]);
                }
                self.weights.apply_converted(rows, epilogue, out);
                isa.activate(out, finish.activation);
            }
        });
    }
}

/// A converted input with zeros around it.
struct Plane {
    channels: usize,
    /// Numbers per row of `[height]`.
    row: usize,
    length: usize,
}

impl Plane {
    fn new(shape: [usize; 2], window: &Window, channels: usize) -> Self {
        let padded = |axis: usize| window.before[axis] + shape[axis] + window.after[axis];
        let row = padded(1) * channels;
        Self { channels, row, length: padded(0) * row }
    }

    /// Converts `x`.
    fn fill<T: Element>(
        &self,
        isa: Isa,
        x: Rows<'_>,
        [_, width]: [usize; 2],
        window: &Window,
        normalization: Option<Normalization<'_>>,
        to: &mut [T],
    ) {
        let channels = self.channels;
        let (above, rest) = to.split_at_mut(window.before[0] * self.row);
        let (middle, below) = rest.split_at_mut(x.count / width * self.row);
        above.fill(T::zeroed());
        below.fill(T::zeroed());
        for (y, to) in middle.chunks_exact_mut(self.row).enumerate() {
            let (left, rest) = to.split_at_mut(window.before[1] * channels);
            let (to, right) = rest.split_at_mut(width * channels);
            left.fill(T::zeroed());
            right.fill(T::zeroed());
            let first = y * width;
            match normalization {
                None if x.stride == channels => {
                    T::round(isa, &x.values[first * channels..][..width * channels], to);
                }
                None => {
                    for (index, to) in to.chunks_exact_mut(channels).enumerate() {
                        T::round(isa, x.row(first + index, channels), to);
                    }
                }
                Some(Normalization { scale, shift }) => {
                    for (index, to) in to.chunks_exact_mut(channels).enumerate() {
                        T::normalize(isa, x.row(first + index, channels), scale, shift, to);
                    }
                }
            }
        }
    }

    /// Copies the inputs of the output that begins with `from`, `segment` contiguous ones at a time,
    /// and pads them with zeros.
    fn gather<T: Element>(&self, from: &[T], window: &Window, segment: usize, to: &mut [T]) {
        let [height, width] = window.kernel;
        let across = width * self.channels / segment;
        let mut segments = to.chunks_exact_mut(segment);
        for y in 0..height {
            let from = &from[y * window.dilation[0] * self.row..];
            for (x, to) in (0..across).zip(&mut segments) {
                let from = &from[x * window.dilation[1] * self.channels..][..segment];
                to.copy_from_slice(from);
            }
        }
        let used = height * width * self.channels;
        to[used..].fill(T::zeroed());
    }
}
