//! The CT-Transformer itself: ids to classes.

use engine::{Input, OnnxFile, OnnxNetwork, Tensor};

use super::Setup;
use crate::{files::broken, recognizer::Error};

/// Name of the axis of words.
const LENGTH: &str = "words";

/// The network of either variant (<https://arxiv.org/abs/2003.01309>).
pub(super) struct Network {
    graph: OnnxNetwork,
    classes: usize,
    /// `true` for the real-time variant, which takes masks.
    masked: bool,
}

impl Network {
    /// Refuses a network that does not fit `setup`: not at the first text, but here.
    pub(super) fn new(file: &OnnxFile, setup: &Setup) -> Result<Self, Error> {
        let path = file.path();
        let names: Vec<&str> = file.inputs().iter().map(|port| port.name.as_str()).collect();
        let (words, lengths, masks) = match names[..] {
            [words, lengths] => (words, lengths, vec![]),
            [words, lengths, held, future] => (words, lengths, vec![held, future]),
            _ => {
                let message = format!("has {} inputs, where a punctuator has 2 or 4", names.len());
                return Err(broken(path, message));
            }
        };
        setup.tokens.fit(vocabulary(file, words).ok_or_else(|| {
            broken(path, "does not begin with a table of words: it is no punctuator")
        })?)?;
        let [Some(output), None] = [0, 1].map(|index| file.outputs().get(index)) else {
            let message = format!("has {} outputs, not 1", file.outputs().len());
            return Err(broken(path, message));
        };
        let mut inputs =
            vec![Input::new(words, [1.into(), LENGTH.into()]), Input::full_length(lengths, LENGTH)];
        let mask = [1.into(), 1.into(), LENGTH.into(), LENGTH.into()];
        inputs.extend(masks.iter().map(|&name| Input::new(name, mask.clone())));
        let graph = file.network(&inputs, &[&output.name]).map_err(|error| broken(path, error))?;
        let network = Self { graph, classes: setup.marks.len(), masked: !masks.is_empty() };
        let probe: Vec<i32> = (0..20).map(|word| word % 2 * setup.unknown).collect();
        network.classes(&probe, 0).map_err(|error| broken(path, error))?;
        Ok(network)
    }

    pub(super) fn is_real_time(&self) -> bool {
        self.masked
    }

    /// The class after each of `ids`, of which there is at least one. `held`: so many of them were
    /// seen before, when those behind were not yet known. Only the real-time variant heeds it.
    pub(super) fn classes(&self, ids: &[i32], held: usize) -> Result<Vec<usize>, Error> {
        self.logits(ids, held)?.chunks_exact(self.classes).map(largest).collect()
    }

    /// As [`Self::classes`]: a value for each class, row-major `[ids, classes]`.
    pub(super) fn logits(&self, ids: &[i32], held: usize) -> Result<Vec<f32>, Error> {
        let length = ids.len();
        let mut inputs = vec![engine::tensor(&[1, length], ids).map_err(network)?];
        if self.masked {
            let mask = engine::tensor(&[1, 1, length, length], &mask(length, held));
            let mask = mask.map_err(network)?;
            // FunASR's runtimes pass the same mask for both, where training had a causal one.
            inputs.extend([mask.clone(), mask]);
        }
        let outputs = self.graph.run(inputs).map_err(network)?;
        let expected = [1, length, self.classes];
        match outputs.first() {
            Some(logits) if logits.shape() == expected => {
                engine::values::<f32>(logits).map(<[f32]>::to_vec).map_err(network)
            }
            outputs => Err(Error::Network(format!(
                "the output has the shape {:?}, not {expected:?}: the list of marks is of another \
                 model",
                outputs.map(Tensor::shape)
            ))),
        }
    }
}

/// Words in the table that the network looks `words` up in.
fn vocabulary(file: &OnnxFile, words: &str) -> Option<usize> {
    let lookup = file.consumers(words).find(|node| node.op() == "Gather")?;
    file.constant(lookup.input(0)?)?.shape().first().copied()
}

/// What each of `length` words may attend to, 1 or 0, row-major: all words, but that all of the
/// first `held` except the last do not see what came after them. FunASR's `vad_mask`.
fn mask(length: usize, held: usize) -> Vec<f32> {
    let mut mask = vec![1.0; length * length];
    if held < length {
        for row in mask.chunks_exact_mut(length).take(held.saturating_sub(1)) {
            row[held..].fill(0.0);
        }
    }
    mask
}

/// Index of the first of the largest values.
fn largest(logits: &[f32]) -> Result<usize, Error> {
    let mut best = 0;
    for (class, value) in logits.iter().enumerate() {
        if !value.is_finite() {
            return Err(Error::Network("the network computes values that are no numbers".into()));
        }
        if *value > logits[best] {
            best = class;
        }
    }
    Ok(best)
}

fn network(error: impl std::fmt::Display) -> Error {
    Error::Network(error.to_string())
}
