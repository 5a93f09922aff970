//! Quantization of f32 linear layers as FunASR's exporter does it (`funasr/utils/export_utils.py`):
//! `quantize_dynamic` of ONNX Runtime on MatMul, with unsigned weights per channel. All MatMuls,
//! except some that are chosen by name, become `DynamicQuantizeLinear`, `MatMulInteger`, `Cast` and
//! `Mul`, which the fusion rules then match as in a file that the exporter quantized.

use std::{
    any::Any,
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use kernels::dynamic::{self, QuantizationParameters};
use tract_onnx::{pb, tract_core::internal::*};

use super::{
    graph::Graph,
    lazy::{Loader, lazy_tensor, with_floats},
    node::OnnxNode,
};

/// Nodes stay in f32 if their name contains one of these.
const EXCLUDED: [&str; 3] = ["output", "bias_encoder", "bias_decoder"];

/// One of the three tensors that weights `[inputs, outputs]` are quantized to, when it is loaded.
#[derive(Debug)]
struct QuantizedWeights {
    weights: Arc<Tensor>,
    part: Part,
    /// Zero points and scales, shared by the three tensors. They are computed together with the
    /// values, and kept because they are small.
    parameters: Arc<OnceLock<QuantizationParameters>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Values,
    ZeroPoints,
    Scales,
}

impl QuantizedWeights {
    /// Makes the lazy tensors of values, zero points and scales.
    fn tensors(weights: &Arc<Tensor>) -> [Tensor; 3] {
        let parameters = Arc::new(OnceLock::new());
        let outputs = &weights.shape()[1..];
        [
            (Part::Values, u8::datum_type(), weights.shape()),
            (Part::ZeroPoints, u8::datum_type(), outputs),
            (Part::Scales, f32::datum_type(), outputs),
        ]
        .map(|(part, kind, shape)| {
            let (weights, parameters) = (weights.clone(), parameters.clone());
            lazy_tensor(kind, shape, Self { weights, part, parameters })
        })
    }

    /// Quantizes the weights to `values`, and keeps the parameters.
    fn quantize_into(&self, values: &mut [u8]) -> TractResult<()> {
        ensure!(values.len() == self.weights.len(), "{} values", values.len());
        let outputs = self.weights.shape()[1];
        let parameters = with_floats(&self.weights, |weights| {
            Ok(dynamic::quantize_columns(weights, outputs, values))
        })?;
        // If another thread was faster, its parameters are equal.
        self.parameters.set(parameters).ok();
        Ok(())
    }

    fn parameters(&self) -> TractResult<&QuantizationParameters> {
        if self.parameters.get().is_none() {
            self.quantize_into(&mut vec![0; self.weights.len()])?;
        }
        self.parameters.get().context("the weights have no quantization parameters")
    }
}

impl Loader for QuantizedWeights {
    fn load(&self) -> TractResult<Tensor> {
        match self.part {
            Part::Values => {
                let mut values = Tensor::zero::<u8>(self.weights.shape())?;
                self.quantize_into(values.as_bytes_mut())?;
                Ok(values)
            }
            Part::ZeroPoints => Ok(tensor1(&self.parameters()?.zero_points)),
            Part::Scales => Ok(tensor1(&self.parameters()?.scales)),
        }
    }

    fn load_into(&self, to: &mut [u8]) -> TractResult<()> {
        if self.part == Part::Values {
            return self.quantize_into(to);
        }
        let tensor = self.load()?;
        ensure!(to.len() == tensor.as_bytes().len(), "{} bytes", to.len());
        to.copy_from_slice(tensor.as_bytes());
        Ok(())
    }

    fn byte_len(&self) -> usize {
        match self.part {
            Part::Values => self.weights.len(),
            Part::ZeroPoints => self.weights.shape()[1],
            Part::Scales => self.weights.shape()[1] * size_of::<f32>(),
        }
    }

    fn is_same(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<Self>().is_some_and(|other| {
            self.part == other.part && Arc::ptr_eq(&self.weights, &other.weights)
        })
    }
}

/// Quantizes the linear layers that FunASR's exporter would quantize.
pub(super) fn quantize(graph: &mut Graph) {
    let mut quantized = HashMap::<String, [String; 3]>::new();
    for node in std::mem::take(&mut graph.nodes) {
        let Some((x, weights)) = quantizable(&node, graph) else {
            graph.nodes.push(node);
            continue;
        };
        let (x, weights, output) = (x.to_owned(), weights.to_owned(), node.output().to_owned());
        let named = |suffix: &str| format!("{output}_{suffix}");
        let [values, scale, zero_point] = quantized.entry(x.clone()).or_insert_with(|| {
            let names = ["quantized", "scale", "zero_point"].map(|part| format!("{x}_{part}"));
            let mut node = OnnxNode::with("DynamicQuantizeLinear", &[&x], &names[0]);
            node.proto.output = names.to_vec();
            graph.nodes.push(node);
            names
        });
        let constants = QuantizedWeights::tensors(&graph.constants[&weights]);
        let names = ["quantized", "zero_point", "scale"].map(|part| format!("{weights}_{part}"));
        for (name, tensor) in names.iter().zip(constants) {
            graph.constants.entry(name.clone()).or_insert_with(|| Arc::new(tensor));
        }
        let [weights, weight_zero_points, weight_scales] = names;
        let (scales, sums, floats) = (named("scales"), named("sums"), named("sums_cast"));
        let inputs: [&str; 4] = [values, &weights, zero_point, &weight_zero_points];
        let mut cast = OnnxNode::with("Cast", &[&sums], &floats);
        cast.set_int("to", pb::tensor_proto::DataType::Float as i64);
        graph.nodes.extend([
            OnnxNode::with("Mul", &[scale, &weight_scales], &scales),
            OnnxNode::with("MatMulInteger", &inputs, &sums),
            cast,
            OnnxNode::with("Mul", &[&floats, &scales], &output),
        ]);
    }
}

/// Returns input and weights of `node`, if it is a linear layer that is quantized.
fn quantizable<'a>(node: &'a OnnxNode, graph: &Graph) -> Option<(&'a str, &'a str)> {
    let (x, weights) = (node.input(0)?, node.input(1)?);
    let constant = graph.constants.get(weights)?;
    let &[inputs, outputs] = constant.shape() else { return None };
    let fits = node.op() == "MatMul"
        && !EXCLUDED.iter().any(|part| node.name().contains(part))
        && constant.datum_type() == f32::datum_type()
        && outputs > 0
        && (1..=dynamic::MAX_INPUTS).contains(&inputs)
        // ONNX Runtime does not recognize aliases of weights.
        && !graph.aliases.contains(weights)
        && !graph.constants.contains_key(x);
    fits.then_some((x, weights))
}
