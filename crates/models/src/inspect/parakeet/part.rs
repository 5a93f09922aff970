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

/// Recognizes a network by the number of its inputs' and outputs' axes, in their order, and by which sizes are fixed.
/// Names differ: some are numbers that tracing left.
fn recognize(graph: &Graph) -> Option<(Role, Sizes)> {
    let ranks = |ports: &[Port]| ports.iter().map(|port| port.dimensions.len()).collect::<Vec<_>>();
    let (inputs, outputs) = (&graph.inputs, &graph.outputs);
    let input = |port: usize, axis: usize| inputs[port].dimensions[axis];
    let output = |port: usize, axis: usize| outputs[port].dimensions[axis];
    let none = Sizes::default();
    match (ranks(inputs).as_slice(), ranks(outputs).as_slice()) {
        // features [batch, mels, frames], lengths -> encoded [batch, width, frames], lengths
        ([3, 1], [3, 1]) if input(0, 2).is_none() && output(0, 2).is_none() => {
            let sizes = Sizes { features: input(0, 1), encoded: output(0, 1), ..none };
            (sizes.features.is_some() && sizes.encoded.is_some()).then_some((Role::Encoder, sizes))
        }
        // encoded, tokens [batch, tokens], lengths, two states [layers, batch, hidden]
        // -> scores [batch, frames, tokens, classes], lengths, two states
        ([3, 2, 1, 3, 3], [4, 1, 3, 3]) => {
            let sizes = Sizes { encoded: input(0, 1), scores: output(0, 3), ..none };
            Some((Role::DecoderJoint, sizes))
        }
        // tokens, lengths, two states -> encoded tokens [batch, hidden, tokens], lengths, two states
        ([2, 1, 3, 3], [3, 1, 3, 3]) => {
            Some((Role::Decoder, Sizes { predicted: output(0, 1), ..none }))
        }
        // encoded, encoded tokens -> scores
        ([3, 3], [4]) => {
            let (encoded, predicted) = (input(0, 1), input(1, 1));
            Some((Role::Joiner, Sizes { encoded, predicted, scores: output(0, 3), ..none }))
        }
        _ => None,
    }
}
