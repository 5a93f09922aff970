//! Linear layers: packed weights with their bias.

use std::cell::RefCell;

use kernels::{
    AlignedBuffer,
    dynamic::{self, QuantizationParameters},
};

use crate::{error::Error, precision::Precision};

/// Weights of a linear layer, packed once for its kernel, and its bias.
#[derive(Clone)]
pub struct Linear {
    weights: Weights,
    bias: Option<Box<[f32]>>,
}

#[derive(Clone)]
enum Weights {
    Float(kernels::float::Weights),
    Bf16(kernels::bf16::Weights),
    Int8(kernels::int8::Weights),
    /// Both operands have zero points, and all inputs one scale.
    Dynamic(dynamic::Weights),
}

thread_local! {
    /// Quantized inputs of dynamic layers.
    static QUANTIZED: RefCell<AlignedBuffer<u8>> = RefCell::default();
}

impl Linear {
    /// Packs `weights`, row-major `[outputs, inputs]`.
    ///
    /// # Errors
    /// [`Error::Graph`] if the sizes of weights and bias do not fit `outputs`, as for all
    /// constructors.
    pub fn float(weights: &[f32], outputs: usize, bias: Option<Vec<f32>>) -> Result<Self, Error> {
        let inputs = inputs(weights.len(), outputs, bias.as_deref())?;
        let weights = Weights::Float(kernels::float::Weights::pack(weights, outputs, inputs));
        Ok(Self { weights, bias: bias.map(Into::into) })
    }

    /// Rounds `weights`, row-major `[outputs, inputs]`, to bfloat16; see [`kernels::bf16`].
    pub fn bf16(weights: &[f32], outputs: usize, bias: Option<Vec<f32>>) -> Result<Self, Error> {
        let inputs = inputs(weights.len(), outputs, bias.as_deref())?;
        let weights = Weights::Bf16(kernels::bf16::Weights::pack(weights, outputs, inputs));
        Ok(Self { weights, bias: bias.map(Into::into) })
    }

    /// Packs transposed `weights`, row-major `[inputs, outputs]`, the order of ONNX. Rounds them to
    /// bfloat16 if `bf16`.
    pub(crate) fn from_transposed(
        weights: &[f32],
        outputs: usize,
        bias: Option<Vec<f32>>,
        bf16: bool,
    ) -> Result<Self, Error> {
        let inputs = inputs(weights.len(), outputs, bias.as_deref())?;
        let weights = if bf16 {
            Weights::Bf16(kernels::bf16::Weights::pack_by_input(weights, outputs, inputs))
        } else {
            Weights::Float(kernels::float::Weights::pack_by_input(weights, outputs, inputs))
        };
        Ok(Self { weights, bias: bias.map(Into::into) })
    }

    /// Quantizes `weights`, row-major `[outputs, inputs]`; see [`kernels::int8`].
    pub fn quantize(
        weights: &[f32],
        outputs: usize,
        bias: Option<Vec<f32>>,
    ) -> Result<Self, Error> {
        let inputs = int8_inputs(weights.len(), outputs, bias.as_deref())?;
        let weights = Weights::Int8(kernels::int8::Weights::quantize(weights, outputs, inputs));
        Ok(Self { weights, bias: bias.map(Into::into) })
    }

    /// Packs quantized `weights`, row-major `[outputs, inputs]`. A weight stands for
    /// `weight / scale`, with the scale of its output.
    pub fn int8(weights: &[i8], scales: &[f32], bias: Option<Vec<f32>>) -> Result<Self, Error> {
        let outputs = scales.len();
        let inputs = int8_inputs(weights.len(), outputs, bias.as_deref())?;
        let weights = kernels::int8::Weights::pack(weights, scales, outputs, inputs);
        Ok(Self { weights: Weights::Int8(weights), bias: bias.map(Into::into) })
    }

    /// Packs transposed `weights`, row-major `[inputs, outputs]`, the order of ONNX, in any precision.
    pub fn transposed(
        weights: &[f32],
        outputs: usize,
        bias: Option<Vec<f32>>,
        precision: Precision,
    ) -> Result<Self, Error> {
        match precision {
            Precision::F32 => Self::from_transposed(weights, outputs, bias, false),
            Precision::Bf16 => Self::from_transposed(weights, outputs, bias, true),
            Precision::Int8 => {
                let inputs = int8_inputs(weights.len(), outputs, bias.as_deref())?;
                let weights = kernels::int8::Weights::quantize_by_input(weights, outputs, inputs);
                Ok(Self { weights: Weights::Int8(weights), bias: bias.map(Into::into) })
            }
        }
    }

    /// Packs quantized `weights`, row-major `[inputs, outputs]`, the order of ONNX, with the parameters
    /// of each output; see [`kernels::dynamic`].
    pub fn dynamic(
        weights: &[u8],
        parameters: &QuantizationParameters,
        bias: Option<Vec<f32>>,
    ) -> Result<Self, Error> {
        let QuantizationParameters { zero_points, scales } = parameters;
        let inputs = inputs(weights.len(), scales.len(), bias.as_deref())?;
        if zero_points.len() != scales.len() || inputs > dynamic::MAX_INPUTS {
            return Err(Error::graph(format!(
                "{inputs} inputs or {} zero points do not fit int8 weights of {} outputs",
                zero_points.len(),
                scales.len()
            )));
        }
        let weights = dynamic::Weights::pack(weights, zero_points, scales, inputs);
        Ok(Self { weights: Weights::Dynamic(weights), bias: bias.map(Into::into) })
    }

    pub fn inputs(&self) -> usize {
        match &self.weights {
            Weights::Float(weights) => weights.inputs(),
            Weights::Bf16(weights) => weights.inputs(),
            Weights::Int8(weights) => weights.inputs(),
            Weights::Dynamic(weights) => weights.inputs(),
        }
    }

    pub fn outputs(&self) -> usize {
        match &self.weights {
            Weights::Float(weights) => weights.outputs(),
            Weights::Bf16(weights) => weights.outputs(),
            Weights::Int8(weights) => weights.outputs(),
            Weights::Dynamic(weights) => weights.outputs(),
        }
    }

    pub(crate) fn is_int8(&self) -> bool {
        matches!(self.weights, Weights::Int8(_) | Weights::Dynamic(_))
    }

    pub(crate) fn is_bf16(&self) -> bool {
        matches!(self.weights, Weights::Bf16(_))
    }

    /// Copies the weights of one output, for example the embedding of a token, to `row`, which has
    /// [`Self::inputs`] values.
    ///
    /// # Panics
    /// If there is no such output.
    pub fn row(&self, output: usize, row: &mut [f32]) {
        match &self.weights {
            Weights::Float(weights) => weights.row(output, row),
            Weights::Bf16(weights) => weights.row(output, row),
            Weights::Int8(weights) => weights.row(output, row),
            Weights::Dynamic(weights) => weights.row(output, row),
        }
    }

    /// Computes [`Self::apply`]. Of layers with one scale for all inputs ([`Self::dynamic`]), quantizes
    /// each row by itself.
    ///
    /// # Panics
    /// As [`Self::apply`].
    pub fn apply_by_row(&self, x: &[f32], post_op: kernels::PostOp, out: &mut [f32]) {
        if !matches!(self.weights, Weights::Dynamic(_)) {
            return self.apply(x, post_op, out);
        }
        assert_eq!(
            x.len() / self.inputs() * self.outputs(),
            out.len(),
            "outputs of a linear layer"
        );
        let rows = x.chunks_exact(self.inputs()).zip(out.chunks_exact_mut(self.outputs()));
        rows.for_each(|(x, out)| self.apply(x, post_op, out));
    }

    /// Computes `post_op(x Wᵀ + b)` for rows `x` of [`Self::inputs`] values.
    ///
    /// # Panics
    /// If `x` is not whole rows, or `out` does not have [`Self::outputs`] values for each.
    pub fn apply(&self, x: &[f32], post_op: kernels::PostOp, out: &mut [f32]) {
        let epilogue = kernels::Epilogue { bias: self.bias.as_deref(), post_op };
        let rows = x.len() / self.inputs();
        match &self.weights {
            Weights::Float(weights) => weights.apply(x, self.inputs(), rows, epilogue, out),
            Weights::Bf16(weights) => weights.apply(x, self.inputs(), rows, epilogue, out),
            Weights::Int8(weights) => weights.apply(x, epilogue, out),
            Weights::Dynamic(weights) => QUANTIZED.with_borrow_mut(|buffer| {
                buffer.grow(x.len());
                let values = &mut buffer[..x.len()];
                let (scale, zero_point) = dynamic::quantize(x, values);
                let x = dynamic::QuantizedTensor { values, scale, zero_point };
                weights.apply(x, epilogue, out);
            }),
        }
    }
}

impl std::fmt::Debug for Linear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Linear({} -> {})", self.inputs(), self.outputs())
    }
}

fn inputs(weights: usize, outputs: usize, bias: Option<&[f32]>) -> Result<usize, Error> {
    if outputs == 0 || weights == 0 || !weights.is_multiple_of(outputs) {
        return Err(Error::graph(format!("{weights} weights do not fit {outputs} outputs")));
    }
    if let Some(bias) = bias.filter(|bias| bias.len() != outputs) {
        let length = bias.len();
        return Err(Error::graph(format!(
            "a bias of {length} values does not fit {outputs} outputs"
        )));
    }
    Ok(weights / outputs)
}

fn int8_inputs(weights: usize, outputs: usize, bias: Option<&[f32]>) -> Result<usize, Error> {
    let inputs = inputs(weights, outputs, bias)?;
    let limit = kernels::int8::MAX_INPUTS;
    if inputs > limit {
        return Err(Error::graph(format!(
            "{inputs} inputs are too many for int8: {limit} at most"
        )));
    }
    Ok(inputs)
}
