//! Products of floats as FunASR's exporter quantizes them (`funasr/utils/export_utils.py`):
//! `quantize_dynamic` of ONNX Runtime on MatMul, with unsigned weights per channel, in which all but
//! some nodes, told by their names, become `DynamicQuantizeLinear`, `MatMulInteger`, `Cast` and `Mul`.
//! The rules that know such nodes then do the rest.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use kernels::dynamic::{self, QuantizationParameters};
use tract_onnx::{pb, tract_core::internal::*};

use super::{
    OnnxNode,
    graph::Graph,
    stored::{Late, late, with_floats},
};

/// What the names of nodes contain that stay as they are.
const EXCLUDED: [&str; 3] = ["output", "bias_encoder", "bias_decoder"];

/// Weights `[inputs, outputs]` that are quantized when they are read.
#[derive(Debug, Clone)]
pub(super) struct Quantized {
    weights: Arc<Tensor>,
    part: Part,
    /// Kept, because they are small and found together with the values.
    columns: Arc<OnceLock<QuantizationParameters>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Values,
    ZeroPoints,
    Scales,
}

impl Quantized {
    /// Values, zero points, scales.
    fn tensors(weights: &Arc<Tensor>) -> [Tensor; 3] {
        let columns = Arc::new(OnceLock::new());
        let outputs = &weights.shape()[1..];
        [
            (Part::Values, u8::datum_type(), weights.shape()),
            (Part::ZeroPoints, u8::datum_type(), outputs),
            (Part::Scales, f32::datum_type(), outputs),
        ]
        .map(|(part, kind, shape)| {
            late(kind, shape, Self { weights: weights.clone(), part, columns: columns.clone() })
        })
    }

    /// Quantizes to `values`, and remembers what goes with the columns.
    pub(super) fn fill(&self, values: &mut [u8]) -> TractResult<()> {
        ensure!(values.len() == self.weights.len(), "{} values", values.len());
        let outputs = self.weights.shape()[1];
        let parameters = with_floats(&self.weights, |weights| {
            Ok(dynamic::quantize_columns(weights, outputs, values))
        })?;
        // Somebody else's are the same.
        self.columns.set(parameters).ok();
        Ok(())
    }

    fn columns(&self) -> TractResult<&QuantizationParameters> {
        if self.columns.get().is_none() {
            self.fill(&mut vec![0; self.weights.len()])?;
        }
        self.columns.get().context("columns of weights")
    }
}

impl Late for Quantized {
    fn make(&self) -> TractResult<Tensor> {
        match self.part {
            Part::Values => {
                let mut values = Tensor::zero::<u8>(self.weights.shape())?;
                self.fill(values.as_bytes_mut())?;
                Ok(values)
            }
            Part::ZeroPoints => Ok(tensor1(&self.columns()?.zero_points)),
            Part::Scales => Ok(tensor1(&self.columns()?.scales)),
        }
    }

    fn bytes(&self) -> usize {
        match self.part {
            Part::Values => self.weights.len(),
            Part::ZeroPoints => self.weights.shape()[1],
            Part::Scales => self.weights.shape()[1] * size_of::<f32>(),
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.part == other.part && Arc::ptr_eq(&self.weights, &other.weights)
    }
}

/// Quantizes what FunASR's exporter would.
pub(super) fn quantize(graph: &mut Graph) {
    let mut quantized = HashMap::<String, [String; 3]>::new();
    for node in std::mem::take(&mut graph.nodes) {
        let Some((x, weights)) = fits(&node, graph) else {
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
        let constants = Quantized::tensors(&graph.constants[&weights]);
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

/// Values and weights of a product that is quantized.
fn fits<'a>(node: &'a OnnxNode, graph: &Graph) -> Option<(&'a str, &'a str)> {
    let (x, weights) = (node.input(0)?, node.input(1)?);
    let constant = graph.constants.get(weights)?;
    let &[inputs, outputs] = constant.shape() else { return None };
    let fits = node.op() == "MatMul"
        && !EXCLUDED.iter().any(|part| node.name().contains(part))
        && constant.datum_type() == f32::datum_type()
        && outputs > 0
        && (1..=dynamic::MAX_INPUTS).contains(&inputs)
        // What only renames weights, ONNX Runtime does not see through.
        && !graph.renamed.contains(weights)
        && !graph.constants.contains_key(x);
    fits.then_some((x, weights))
}
