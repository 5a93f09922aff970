use kernels::lstm;
use tract_onnx::{
    model::{ParsingContext, optional_inputs},
    pb::NodeProto,
    tract_core::internal::*,
    tract_hir::internal::*,
};

use super::{Built, constant, tracts};
use crate::ops;

/// An LSTM as exporters write it, the others as tract runs them: with given lengths, other
/// activations, peepholes.
pub(super) fn lstm_or_tracts(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let given: Vec<_> = optional_inputs(node).take(8).collect();
    let unusual = ["activations", "activation_alpha", "activation_beta", "clip", "input_forget"];
    let layout = node.get_attr_opt::<i64>("layout")?.unwrap_or(0);
    if given[4].is_some()
        || given[7].is_some()
        || given[5].is_some() != given[6].is_some()
        || layout != 0
        || node.attribute.iter().any(|attribute| unusual.contains(&attribute.name.as_str()))
    {
        return tracts("LSTM", context, node);
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
