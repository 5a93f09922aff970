//! The network of CT-Transformer: ids of units to classes of marks.

use engine::{Input, OnnxFile, OnnxNetwork, Tensor};

use super::PunctuationSettings;
use crate::{
    files::{broken, broken_by, not_loaded},
    recognizer::Error,
};

/// Name of the axis of units.
const LENGTH: &str = "words";

/// The network of either variant, offline or real-time (<https://arxiv.org/abs/2003.01309>).
pub(super) struct Network {
    graph: OnnxNetwork,
    classes: usize,
    /// Whether this is the real-time variant, which takes masks.
    masked: bool,
}

impl Network {
    /// Opens the network and runs it once, so that a broken one fails here and not at the first
    /// text.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is another network, does not fit `settings`, or is damaged.
    pub(super) fn new(file: &OnnxFile, settings: &PunctuationSettings) -> Result<Self, Error> {
        let path = file.path();
        let names: Vec<&str> = file.inputs().iter().map(|port| port.name.as_str()).collect();
        let (words, lengths, masks) = match names[..] {
            [words, lengths] => (words, lengths, vec![]),
            [words, lengths, held, future] => (words, lengths, vec![held, future]),
            _ => {
                let message =
                    format!("has {} inputs, but a punctuation model has 2 or 4", names.len());
                return Err(broken(path, message));
            }
        };
        settings.vocabulary.check_size(vocabulary_size(file, words).ok_or_else(|| {
            broken(path, "does not begin with an embedding table: it is not a punctuation model")
        })?)?;
        let [Some(output), None] = [0, 1].map(|index| file.outputs().get(index)) else {
            let message = format!("has {} outputs, not 1", file.outputs().len());
            return Err(broken(path, message));
        };
        let mut inputs =
            vec![Input::new(words, [1.into(), LENGTH.into()]), Input::full_length(lengths, LENGTH)];
        let mask = [1.into(), 1.into(), LENGTH.into(), LENGTH.into()];
        inputs.extend(masks.iter().map(|&name| Input::new(name, mask.clone())));
        let graph =
            file.network(&inputs, &[&output.name]).map_err(|error| not_loaded(path, error))?;
        let network = Self { graph, classes: settings.marks.len(), masked: !masks.is_empty() };
        let probe: Vec<i32> = (0..20).map(|word| word % 2 * settings.unknown).collect();
        network.classes(&probe, 0).map_err(|error| broken_by(path, "cannot be run", error))?;
        Ok(network)
    }

    pub(super) fn is_real_time(&self) -> bool {
        self.masked
    }

    /// Returns the class after each of `ids`, of which there is at least one. The first `held` of
    /// them were already punctuated, before the others were known; only the real-time variant uses
    /// this.
    pub(super) fn classes(&self, ids: &[i32], held: usize) -> Result<Vec<usize>, Error> {
        self.logits(ids, held)?.chunks_exact(self.classes).map(argmax).collect()
    }

    /// Like [`Self::classes`], but returns the logits of all classes, row-major `[ids, classes]`.
    pub(super) fn logits(&self, ids: &[i32], held: usize) -> Result<Vec<f32>, Error> {
        let length = ids.len();
        let mut inputs = vec![engine::tensor(&[1, length], ids)?];
        if self.masked {
            let mask = engine::tensor(&[1, 1, length, length], &mask(length, held));
            let mask = mask?;
            // FunASR's runtimes pass the same mask for both inputs. In training the second was
            // causal.
            inputs.extend([mask.clone(), mask]);
        }
        let outputs = self.graph.run(inputs)?;
        let expected = [1, length, self.classes];
        match outputs.first() {
            Some(logits) if logits.shape() == expected => {
                engine::values::<f32>(logits).map(<[f32]>::to_vec).map_err(Error::from)
            }
            outputs => Err(Error::Network(format!(
                "the output has the shape {:?}, not {expected:?}: the list of punctuation is from \
                 another model",
                outputs.map(Tensor::shape)
            ))),
        }
    }
}

/// Returns the number of rows of the embedding table for the input `words`.
fn vocabulary_size(file: &OnnxFile, words: &str) -> Option<usize> {
    let lookup = file.consumers(words).find(|node| node.op() == "Gather")?;
    file.constant(lookup.input(0)?)?.shape().first().copied()
}

/// Returns FunASR's `vad_mask`, row-major `[length, length]`: 1 where a unit may attend to another.
/// All do, except that the first `held` units other than the last of these do not attend to later
/// ones.
fn mask(length: usize, held: usize) -> Vec<f32> {
    let mut mask = vec![1.0; length * length];
    if held < length {
        for row in mask.chunks_exact_mut(length).take(held.saturating_sub(1)) {
            row[held..].fill(0.0);
        }
    }
    mask
}

/// Returns the index of the first maximum; refuses values that are not finite.
fn argmax(logits: &[f32]) -> Result<usize, Error> {
    let mut best = 0;
    for (class, value) in logits.iter().enumerate() {
        if !value.is_finite() {
            return Err(Error::Network("the outputs are not finite".into()));
        }
        if *value > logits[best] {
            best = class;
        }
    }
    Ok(best)
}
