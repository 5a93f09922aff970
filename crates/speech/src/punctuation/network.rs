//! The CT-Transformer itself: ids to classes.

use std::path::Path;

use engine::{Dim, Onnx, Tensor};

use super::Setup;
use crate::{files::broken, recognizer::Error};

/// The network of either variant (<https://arxiv.org/abs/2003.01309>).
pub(super) struct Network {
    graph: Onnx,
    classes: usize,
    /// `true` for the real-time variant, which takes masks.
    masked: bool,
}

impl Network {
    /// Refuses a network that does not fit `setup`: not at the first text, but here.
    pub(super) fn open(path: &Path, setup: &Setup) -> Result<Self, Error> {
        let graph = Onnx::open(path, &dims(false)).map_err(|error| broken(path, error))?;
        let network = Self { graph, classes: setup.marks.len(), masked: false };
        // The first and the last word, and enough of them for a window.
        let probe: Vec<i32> = (0..20).map(|place| if place % 2 == 0 { 0 } else { setup.unknown }).collect();
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
        let count = i32::try_from(length).map_err(network)?;
        let mut inputs = vec![tensor(&[1, length], ids)?, tensor(&[1], &[count])?];
        if self.masked {
            let mask = tensor(&[1, 1, length, length], &mask(length, held))?;
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

/// Shapes of the inputs: `inputs`, `text_lengths`, and, if `masked`, `vad_masks` and `sub_masks`.
fn dims(masked: bool) -> Vec<Vec<Dim>> {
    let mask: Vec<Dim> = vec![1.into(), 1.into(), "words".into(), "words".into()];
    let mut dims = vec![vec![1.into(), "words".into()], vec![1.into()]];
    if masked {
        dims.extend([mask.clone(), mask]);
    }
    dims
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

fn tensor<T: engine::Datum + Copy>(shape: &[usize], values: &[T]) -> Result<Tensor, Error> {
    engine::tensor(shape, values).map_err(network)
}

fn network(error: impl std::fmt::Display) -> Error {
    Error::Network(error.to_string())
}
