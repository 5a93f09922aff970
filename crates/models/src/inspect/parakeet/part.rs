//! The networks of a transducer, by their inputs and outputs.

use std::collections::BTreeMap;

use super::super::network::{self, Network};
use crate::family::WeightFormat;
use crate::onnx::{Graph, Port};

/// What a network of a transducer computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Features to encoded frames.
    Encoder,
    /// Encoded frames and the last tokens to scores.
    DecoderJoint,
    /// The last tokens to their encoding: the prediction network.
    Decoder,
    /// Encoded frames and encoded tokens to scores: the joint.
    Joiner,
}

impl Role {
    /// Returns what the network is, for people.
    pub(super) fn purpose(self) -> &'static str {
        match self {
            Self::Encoder => "encoder",
            Self::DecoderJoint => "prediction network and joint",
            Self::Decoder => "prediction network",
            Self::Joiner => "joint",
        }
    }
}

/// A network of a transducer.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) file: &'a str,
    pub(super) role: Role,
    pub(super) format: WeightFormat,
    /// As in [`Graph::external`].
    pub(super) external: &'a BTreeMap<String, u64>,
    /// Whether sherpa-onnx's scripts wrote it.
    pub(super) is_sherpa: bool,
    /// Sizes of what it takes and gives, where the graph fixes them.
    pub(super) sizes: Sizes,
}

/// Sizes that networks of the same model have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sizes {
    /// Values per frame of features.
    pub(super) features: Option<u64>,
    /// Values per encoded frame.
    pub(super) encoded: Option<u64>,
    /// Values per encoded token.
    pub(super) predicted: Option<u64>,
    /// Scores: of tokens, the blank and durations.
    pub(super) scores: Option<u64>,
}

impl Sizes {
    /// Returns the sizes that several networks have, with their names.
    pub(super) fn shared(&self) -> [(&'static str, Option<u64>); 3] {
        [
            ("values per encoded frame", self.encoded),
            ("values per encoded token", self.predicted),
            ("scores", self.scores),
        ]
    }
}

impl<'a> Part<'a> {
    /// Returns the network's part in a transducer, if it has one.
    pub(super) fn of(network: &'a Network) -> Option<Self> {
        let graph = network.graph()?;
        let (role, sizes) = recognize(graph)?;
        Some(Self {
            file: &network.file,
            role,
            format: network::weight_format(graph),
            external: &graph.external,
            is_sherpa: network::is_sherpa(graph),
            sizes,
        })
    }
}

/// Recognizes a network by the number of axes of its inputs and its first output, and by which sizes are fixed. Names
/// differ: some are numbers that tracing left.
fn recognize(graph: &Graph) -> Option<(Role, Sizes)> {
    let rank = |port: &Port| port.dimensions.len();
    let count = |axes: usize| graph.inputs.iter().filter(|port| rank(port) == axes).count();
    // Features, encoded frames and states of an LSTM; tokens; lengths.
    let (arrays, tokens, lengths) = (count(3), count(2), count(1));
    let first = graph.outputs.first()?;
    if arrays + tokens + lengths != graph.inputs.len() {
        return None;
    }
    // [batch, width, frames or tokens]; the last two axes of a state are the batch and its fixed width.
    let widths: Vec<u64> = graph.inputs.iter().filter_map(width).collect();
    let none = Sizes::default();
    Some(match (arrays, tokens, lengths, rank(first)) {
        (1, 0, 1, 3) if graph.outputs.len() == 2 => {
            let (features, encoded) = (Some(*widths.first()?), Some(width(first)?));
            (Role::Encoder, Sizes { features, encoded, ..none })
        }
        (3, 1, 0..=1, 4) => {
            let encoded = widths.first().copied();
            (Role::DecoderJoint, Sizes { encoded, scores: first.width(), ..none })
        }
        (2, 1, 0..=1, 3) => (Role::Decoder, Sizes { predicted: width(first), ..none }),
        (2, 0, 0, 4) => {
            let (encoded, predicted) = (widths.first().copied(), widths.get(1).copied());
            (Role::Joiner, Sizes { encoded, predicted, scores: first.width(), ..none })
        }
        _ => return None,
    })
}

/// Returns the second size of an array of three axes whose last size is not fixed.
fn width(port: &Port) -> Option<u64> {
    match port.dimensions[..] {
        [_, width, None] => width,
        _ => None,
    }
}
