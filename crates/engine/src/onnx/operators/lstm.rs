//! LSTM layers.

use tract_onnx::{
    model::{ParsingContext, optional_inputs},
    pb::NodeProto,
    tract_core::internal::*,
    tract_hir::internal::*,
};

use super::support::{Built, build_generic, built, constant, has_attribute};
use crate::ops;

/// Builds our LSTM for what exporters write, and tract's for LSTMs with given lengths, other
/// activations or peepholes.
pub(super) fn lstm(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let given: Vec<_> = optional_inputs(node).take(8).collect();
    let unusual = ["activations", "activation_alpha", "activation_beta", "clip", "input_forget"];
    let layout = node.get_attr_opt::<i64>("layout")?.unwrap_or(0);
    if given[4].is_some()
        || given[7].is_some()
        || given[5].is_some() != given[6].is_some()
        || layout != 0
        || unusual.iter().any(|attribute| has_attribute(node, attribute))
    {
        return build_generic("LSTM", context, node);
    }
    let outputs = node.output.iter().enumerate().filter(|(_, name)| !name.is_empty());
    let lstm = Lstm {
        bias: given[3],
        states: given[5].zip(given[6]),
        outputs: outputs.map(|(index, _)| index).collect(),
        direction: node.get_attr_opt::<String>("direction")?.unwrap_or("forward".to_owned()),
    };
    built(lstm)
}

const WEIGHTS: &str = "the weights of an LSTM have an unexpected shape";

/// Inputs: x, weights of the inputs, recurrent weights, and optional ones by index.
#[derive(Debug, Clone)]
struct Lstm {
    /// Index of the bias.
    bias: Option<usize>,
    /// Indices of hidden and cell state.
    states: Option<(usize, usize)>,
    /// Indices of the outputs in use.
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
            // States are `[directions, batch, width]`. The first output holds one per time step.
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
        let &[count, gates, width] = recurrent_shape.context(WEIGHTS)? else { bail!(WEIGHTS) };
        let backward: &[bool] = match self.direction.as_str() {
            "forward" => &[false],
            "reverse" => &[true],
            _ => &[false, true],
        };
        ensure!(count == backward.len() && gates == 4 * width && width > 0, WEIGHTS);
        let (input, recurrent) =
            (constant::<f32>(model, inputs[1])?, constant::<f32>(model, inputs[2])?);
        let bias = match self.bias {
            Some(index) => constant::<f32>(model, inputs[index])?,
            None => vec![0.0; 2 * count * gates],
        };
        ensure!(bias.len() == 2 * count * gates, "the bias of an LSTM has another size");
        ensure!(!input.is_empty() && input.len() % (count * gates) == 0, WEIGHTS);
        let directions = backward.iter().enumerate().map(|(index, &backward)| {
            let of_direction = |values: &[f32]| {
                let size = values.len() / count;
                values[index * size..][..size].to_vec()
            };
            // ONNX has one bias for the input and one for the hidden state.
            let bias = of_direction(&bias);
            let bias: Vec<f32> = (0..gates).map(|gate| bias[gate] + bias[gates + gate]).collect();
            let weights =
                kernels::lstm::Lstm::pack(&of_direction(&input), &of_direction(&recurrent), &bias);
            ops::Direction { weights, backward }
        });
        let op = ops::Lstm {
            directions: directions.collect(),
            stateful: self.states.is_some(),
            outputs: self.outputs.clone(),
        };
        let states = self.states.iter().flat_map(|&(hidden, cell)| [inputs[hidden], inputs[cell]]);
        let inputs: TVec<_> = std::iter::once(inputs[0]).chain(states).collect();
        model.wire_node(prefix, op, &inputs)
    }
}
