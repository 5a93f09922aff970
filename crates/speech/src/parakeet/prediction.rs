//! The prediction network: an LSTM over the tokens so far.

use engine::{Linear, OnnxFile, Precision};
use kernels::lstm::{self, Lstm};

use super::weights::{Reader, foreign};

/// Limit on the layers of the LSTM. The published models have two.
const MAX_LAYERS: usize = 8;

/// Embeddings of tokens, and the layers of the LSTM.
pub(super) struct Prediction {
    embeddings: Linear,
    layers: Vec<Lstm>,
}

/// What the network knows of the tokens so far.
pub(super) struct State {
    /// Hidden state of each layer.
    hidden: Vec<Vec<f32>>,
    cells: Vec<Vec<f32>>,
    embedding: Vec<f32>,
}

impl Prediction {
    /// Reads the network from a file that has it, alone or with the joint network. Errors are messages
    /// that follow the file's name.
    pub(super) fn read(file: &OnnxFile, precision: Precision) -> Result<Self, String> {
        let reader = Reader { file };
        let mut layers: Vec<Lstm> = Vec::new();
        let (mut last, mut embeddings) = ("", None);
        for node in nodes(file) {
            let input = node.input(0).ok_or_else(|| foreign("an LSTM has no input"))?;
            let layer = reader.lstm(node)?;
            match layers.last() {
                None => embeddings = Some(reader.embedding(input)?),
                Some(_) if reader.origin(input) != last => {
                    return Err(foreign(&format!(
                        "`{}` does not continue the layer before",
                        node.name()
                    )));
                }
                Some(_) => {}
            }
            let inputs = match (layers.last(), &embeddings) {
                (Some(below), _) => below.width(),
                (None, Some(embeddings)) => embeddings.inputs,
                (None, None) => 0,
            };
            if layer.inputs() != inputs || layers.len() == MAX_LAYERS {
                return Err(foreign(&format!(
                    "`{}` has {} inputs after {inputs} outputs",
                    node.name(),
                    layer.inputs()
                )));
            }
            layers.push(layer.pack(precision)?);
            last = node.output();
        }
        let embeddings = embeddings.ok_or_else(|| foreign("it has no LSTM"))?;
        Ok(Self { embeddings: embeddings.linear(None, precision)?, layers })
    }

    /// Returns the number of tokens, with the blank.
    pub(super) fn tokens(&self) -> usize {
        self.embeddings.outputs()
    }

    /// Returns the number of outputs.
    pub(super) fn width(&self) -> usize {
        self.layers.last().map_or(0, Lstm::width)
    }

    /// Returns the state before any token.
    pub(super) fn state(&self) -> State {
        let zeros = || self.layers.iter().map(|layer| vec![0.0; layer.width()]).collect();
        State { hidden: zeros(), cells: zeros(), embedding: vec![0.0; self.embeddings.inputs()] }
    }

    /// Adds a token, which must be one of the vocabulary or the blank, to the state.
    pub(super) fn take(&self, token: usize, state: &mut State) {
        self.embeddings.row(token, &mut state.embedding);
        for (index, layer) in self.layers.iter().enumerate() {
            let (below, hidden) = state.hidden.split_at_mut(index);
            let x = below.last().unwrap_or(&state.embedding);
            let layer_state = lstm::State { hidden: &mut hidden[0], cell: &mut state.cells[index] };
            layer.run(x, layer_state, false, |_, _| {});
        }
    }
}

impl State {
    /// Returns the output of the network.
    pub(super) fn output(&self) -> &[f32] {
        self.hidden.last().map_or(&[], Vec::as_slice)
    }
}

/// Returns the layers of the LSTM, in order.
fn nodes(file: &OnnxFile) -> impl Iterator<Item = &engine::OnnxNode> {
    file.nodes().iter().filter(|node| ["LSTM", "DynamicQuantizeLSTM"].contains(&node.op()))
}

/// Returns the tensor that holds the outputs of the prediction network.
pub(super) fn output(file: &OnnxFile) -> Option<&str> {
    nodes(file).last().map(engine::OnnxNode::output)
}
