//! What is registered with tract beside its own operators, and in the place of some.

use kernels::{Finish, dynamic, lstm};
use tract_onnx::{
    model::{OnnxOpRegister, ParsingContext, optional_inputs},
    pb::NodeProto,
    tract_core::internal::*,
    tract_hir::{internal::*, ops::array::ConstantOfShape},
};

use super::{fuse, masks};
use crate::ops;

type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

pub(super) fn register(register: &mut OnnxOpRegister) {
    register.insert(masks::ALL_TRUE, |_, _| {
        Ok((expand(ConstantOfShape::new(rctensor0(true))), vec![]))
    });
    register.insert("DynamicQuantizeLinear", |_, _| Ok((expand(DynamicQuantize), vec![])));
    register.insert(fuse::QUANTIZED_LINEAR, |_, node| {
        let relu = node.get_attr_opt::<i64>(fuse::RELU)?.is_some();
        let finish = if relu { Finish::Relu } else { Finish::Store };
        Ok((expand(QuantizedLinear { biased: node.input.len() > 6, finish }), vec![]))
    });
    register.insert(fuse::LAYER_NORM, |_, node| {
        Ok((expand(LayerNorm { epsilon: node.get_attr("epsilon")? }), vec![]))
    });
    register.insert(fuse::TRUNCATE, |_, node| {
        let (axis, length) = (node.get_attr("axis")?, node.get_attr("length")?);
        Ok((expand(Truncate { axis, length }), vec![]))
    });
    register.insert("LSTM", lstm_or_tracts);
    register.insert("TopK", top_k_or_tracts);
}

fn constant<T: Datum + Copy>(model: &TypedModel, outlet: OutletId) -> TractResult<Vec<T>> {
    let value = model.outlet_fact(outlet)?.konst.clone().context("is not constant")?;
    Ok(value.try_as_plain_ram()?.as_slice::<T>()?.to_vec())
}

#[derive(Debug, Clone)]
struct DynamicQuantize;

impl Expansion for DynamicQuantize {
    fn name(&self) -> StaticName {
        "DynamicQuantizeLinear".into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(3)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 3)?;
        s.equals(&inputs[0].datum_type, f32::datum_type())?;
        s.equals(&inputs[0].shape, &outputs[0].shape)?;
        let kinds = [u8::datum_type(), f32::datum_type(), u8::datum_type()];
        for (output, kind) in outputs.iter().zip(kinds) {
            s.equals(&output.datum_type, kind)?;
        }
        s.equals(&outputs[1].rank, 0)?;
        s.equals(&outputs[2].rank, 0)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, ops::DynamicQuantize, inputs)
    }
}

/// Takes values, scale, zero point; weights `[inputs, outputs]`, their zero points and scales, a
/// bias: the last four constant.
#[derive(Debug, Clone)]
struct QuantizedLinear {
    biased: bool,
    finish: Finish,
}

impl Expansion for QuantizedLinear {
    fn name(&self) -> StaticName {
        "QuantizedLinear".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, if self.biased { 7 } else { 6 })?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, f32::datum_type())?;
        s.given_2(&inputs[0].shape, &inputs[3].shape, |s, mut shape, weights| {
            ensure!(weights.len() == 2, "weights {weights:?}");
            *shape.last_mut().context("takes at least one axis")? = weights[1].clone();
            s.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        // Signed weights are the unsigned ones shifted, zero points too.
        let bytes = |outlet| match model.outlet_fact(outlet)?.datum_type {
            DatumType::I8 => {
                Ok(constant::<i8>(model, outlet)?.into_iter().map(|w| w as u8 ^ 0x80).collect())
            }
            _ => constant::<u8>(model, outlet),
        };
        let (weights, mut zero_points) = (bytes(inputs[3])?, bytes(inputs[4])?);
        let mut scales = constant::<f32>(model, inputs[5])?;
        let depth = model.outlet_fact(inputs[3])?.shape[0].to_usize()?;
        ensure!((1..=dynamic::MAX_INPUTS).contains(&depth), "{depth} inputs");
        let outputs = weights.len() / depth;
        // One for all columns.
        for parameter in [zero_points.len(), scales.len()] {
            ensure!(parameter == 1 || parameter == outputs, "{parameter} for {outputs} columns");
        }
        if zero_points.len() == 1 {
            zero_points = vec![zero_points[0]; outputs];
        }
        if scales.len() == 1 {
            scales = vec![scales[0]; outputs];
        }
        let weights = dynamic::Weights::pack(&weights, &zero_points, &scales, depth);
        let bias = self.biased.then(|| constant::<f32>(model, inputs[6])).transpose()?;
        ensure!(bias.as_ref().is_none_or(|bias| bias.len() == outputs), "a bias of {outputs}");
        let op = ops::QuantizedLinear {
            weights: Arc::new(weights),
            bias: bias.map(Into::into),
            finish: self.finish,
        };
        model.wire_node(prefix, op, &inputs[..3])
    }
}

/// Takes x, gamma, beta: the last two constant.
#[derive(Debug, Clone)]
struct LayerNorm {
    epsilon: f32,
}

impl Expansion for LayerNorm {
    fn name(&self) -> StaticName {
        "LayerNorm".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 3)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, f32::datum_type())?;
        s.equals(&outputs[0].datum_type, f32::datum_type())?;
        s.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let op = ops::LayerNorm {
            gamma: constant(model, inputs[1])?.into(),
            beta: constant(model, inputs[2])?.into(),
            epsilon: self.epsilon,
        };
        model.wire_node(prefix, op, &inputs[..1])
    }
}

/// An LSTM as exporters write it, the others as tract runs them: with given lengths, other
/// activations, peepholes.
fn lstm_or_tracts(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let given: Vec<_> = optional_inputs(node).take(8).collect();
    let unusual = ["activations", "activation_alpha", "activation_beta", "clip", "input_forget"];
    let layout = node.get_attr_opt::<i64>("layout")?.unwrap_or(0);
    if given[4].is_some()
        || given[7].is_some()
        || given[5].is_some() != given[6].is_some()
        || layout != 0
        || node.attribute.iter().any(|attribute| unusual.contains(&attribute.name.as_str()))
    {
        return tract_onnx::ops::rec::lstm::lstm(context, node);
    }
    let outputs = node.output.iter().enumerate().filter(|(_, name)| !name.is_empty());
    let lstm = Lstm {
        bias: given[3],
        states: given[5].zip(given[6]),
        outputs: outputs.map(|(index, _)| index).collect(),
        direction: node.get_attr_opt::<String>("direction")?.unwrap_or("forward".to_owned()),
    };
    Ok((expand(lstm), vec![]))
}

#[derive(Debug, Clone)]
struct Lstm {
    bias: Option<usize>,
    /// Hidden, cell.
    states: Option<(usize, usize)>,
    outputs: TVec<usize>,
    direction: String,
}

impl Expansion for Lstm {
    fn name(&self) -> StaticName {
        "LSTM".into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.outputs.len())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        for (output, &which) in outputs.iter().zip(&self.outputs) {
            s.equals(&output.datum_type, f32::datum_type())?;
            // `[directions, batch, width]`, which the first output has one of for each time.
            let offset = usize::from(which == 0);
            s.equals(&output.rank, 3 + offset as i64)?;
            if which == 0 {
                s.equals(&output.shape[0], &inputs[0].shape[0])?;
            }
            s.equals(&output.shape[offset], &inputs[2].shape[0])?;
            s.equals(&output.shape[offset + 1], &inputs[0].shape[1])?;
            s.equals(&output.shape[offset + 2], &inputs[2].shape[2])?;
        }
        Ok(())
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let recurrent_shape = model.outlet_fact(inputs[2])?.shape.as_concrete();
        let &[count, gates, width] = recurrent_shape.context("weights of an LSTM")? else {
            bail!("weights of an LSTM")
        };
        let backward: &[bool] = match self.direction.as_str() {
            "forward" => &[false],
            "reverse" => &[true],
            _ => &[false, true],
        };
        ensure!(count == backward.len() && gates == 4 * width && width > 0, "{gates} gates");
        let (input, recurrent) =
            (constant::<f32>(model, inputs[1])?, constant::<f32>(model, inputs[2])?);
        let bias = match self.bias {
            Some(index) => constant::<f32>(model, inputs[index])?,
            None => vec![0.0; 2 * count * gates],
        };
        ensure!(bias.len() == 2 * count * gates, "bias of an LSTM");
        ensure!(!input.is_empty() && input.len() % (count * gates) == 0, "weights of an LSTM");
        let directions = backward.iter().enumerate().map(|(index, &backward)| {
            let part = |values: &[f32]| {
                let size = values.len() / count;
                values[index * size..][..size].to_vec()
            };
            // One bias for the input, one for the hidden state.
            let bias = part(&bias);
            let bias: Vec<f32> = (0..gates).map(|gate| bias[gate] + bias[gates + gate]).collect();
            let weights = lstm::Lstm::pack(&part(&input), &part(&recurrent), &bias);
            ops::Direction { weights, backward }
        });
        let op = ops::Lstm {
            directions: directions.collect(),
            stateful: self.states.is_some(),
            outputs: self.outputs.clone(),
        };
        let states = self.states.iter().flat_map(|&(hidden, cell)| [inputs[hidden], inputs[cell]]);
        let taken: TVec<_> = std::iter::once(inputs[0]).chain(states).collect();
        model.wire_node(prefix, op, &taken)
    }
}

fn top_k_or_tracts(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let largest = node.get_attr_opt::<i64>("largest")?.unwrap_or(1) == 1;
    let last = node.get_attr_opt::<i64>("axis")?.unwrap_or(-1) == -1;
    if last && node.output.iter().all(|output| !output.is_empty()) && node.output.len() == 2 {
        return Ok((expand(TopK { largest }), vec![]));
    }
    match tract_onnx::onnx().op_register.0.get("TopK") {
        Some(build) => build(context, node),
        None => bail!("TopK over another axis than the last"),
    }
}

fn scalar(value: &Tensor) -> TractResult<TDim> {
    Ok(value.cast_to::<TDim>()?.try_as_plain_ram()?.to_scalar::<TDim>()?.clone())
}

#[derive(Debug, Clone)]
struct TopK {
    largest: bool,
}

impl Expansion for TopK {
    fn name(&self) -> StaticName {
        "TopK".into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(2)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 2)?;
        s.equals(&inputs[0].datum_type, f32::datum_type())?;
        s.equals(&outputs[0].datum_type, f32::datum_type())?;
        s.equals(&outputs[1].datum_type, i64::datum_type())?;
        s.given_2(&inputs[0].shape, &inputs[1].value, |s, mut shape, k| {
            *shape.last_mut().context("takes an axis")? = scalar(&k)?;
            s.equals(&outputs[0].shape, shape.clone())?;
            s.equals(&outputs[1].shape, shape)
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let k = model.outlet_fact(inputs[1])?.konst.clone();
        let k = scalar(&*k.context("how many it takes depends on data")?)?;
        model.wire_node(prefix, ops::TopK { k, largest: self.largest }, &inputs[..1])
    }
}

#[derive(Debug, Clone)]
struct Truncate {
    axis: usize,
    length: usize,
}

impl Expansion for Truncate {
    fn name(&self) -> StaticName {
        "Truncate".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.given(&inputs[0].shape, move |s, mut shape| {
            let length = shape.get_mut(self.axis).context("has no such axis")?;
            *length = ops::at_most(length.clone(), self.length);
            s.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?;
        ensure!(self.axis < fact.rank(), "has no axis {}", self.axis);
        match ops::at_most(fact.shape[self.axis].clone(), self.length) {
            end @ TDim::Val(_) => {
                let slice = tract_onnx::tract_core::ops::array::Slice::new(self.axis, 0, end);
                model.wire_node(prefix, slice, inputs)
            }
            _ => {
                let (axis, length) = (self.axis, self.length);
                model.wire_node(prefix, ops::Truncate { axis, length }, inputs)
            }
        }
    }
}
