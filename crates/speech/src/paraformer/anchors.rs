//! Where a Paraformer's graph is cut: its tensors, found by what they are connected to, since names
//! differ from one export to the next.

use engine::{OnnxFile, OnnxNode};

use super::cif::Style;

/// Names of tensors, with their shapes for one segment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Anchors {
    /// Features, `[1, frames, values]`.
    pub(super) speech: String,
    /// How many frames are no padding, `[1]`.
    pub(super) lengths: String,
    /// Output of the encoder, `[1, frames, width]`.
    pub(super) encoder: String,
    /// What the predictor weighs each frame with, and the tail: `[1, frames + 1]`.
    pub(super) weights: String,
    /// How the graph would integrate them.
    pub(super) style: Style,
    /// Input of the decoder, `[1, tokens, width]`.
    pub(super) embeddings: String,
    /// How many tokens there are, `[1]`.
    pub(super) token_num: String,
    /// Log-probabilities, `[1, tokens, vocabulary]`: those of the plain decoder.
    pub(super) logits: String,
    /// Weights of the second predictor, `[1, 3 frames]`.
    pub(super) upsampled: Option<String>,
    pub(super) hotwords: Option<HotwordAnchors>,
}

/// Of SeACo's second decoder.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HotwordAnchors {
    /// Embeddings of all hotwords, `[1, hotwords, width]`.
    pub(super) all: String,
    /// Output of the plain decoder's last layer, `[1, tokens, width]`.
    pub(super) hidden: String,
    /// How much each hotword is attended to, `[hotwords]`.
    pub(super) scores: String,
    /// Embeddings of the hotwords with the best scores, `[1, hotwords, width]`.
    pub(super) best: String,
    /// How many these are at most.
    pub(super) most: usize,
    /// Log-probabilities that heed the hotwords, `[1, tokens, vocabulary]`.
    pub(super) logits: String,
}

impl Anchors {
    /// The error says what was not found.
    pub(super) fn find(file: &OnnxFile) -> Result<Self, String> {
        let (speech, lengths, bias) = match file.inputs() {
            [speech, lengths] => (speech, lengths, None),
            [speech, lengths, bias] => (speech, lengths, Some(bias)),
            inputs => return Err(format!("it takes {} inputs, not 2 or 3", inputs.len())),
        };
        let (logits, token_num, upsampled) = match file.outputs() {
            [logits, token_num] => (logits, token_num, None),
            [logits, token_num, upsampled, _] => (logits, token_num, Some(upsampled)),
            outputs => return Err(format!("it gives {} outputs, not 2 or 4", outputs.len())),
        };
        let weights = weights(file, &token_num.name).ok_or("it counts no tokens by a sum")?;
        let padded = file.nodes().iter().find(|node| is_padded_encoder(file, node));
        let padded = padded.ok_or("nothing is integrated over its encoder's output")?;
        let embeddings = embeddings(file, padded.output(), &logits.name)
            .ok_or("its decoder does not take what was integrated")?;
        let hotwords = match bias {
            Some(bias) => Some(
                HotwordAnchors::find(file, &bias.name, &logits.name)
                    .ok_or("its way with hotwords is not SeACo's")?,
            ),
            None => None,
        };
        let plain = match &hotwords {
            Some(_) => plain_logits(file, bias.map_or("", |bias| &bias.name), &logits.name)
                .ok_or("its decoder without hotwords was not found")?,
            None => logits.name.clone(),
        };
        let looped = file.consumers(padded.output()).any(|node| node.op() == "Loop");
        Ok(Self {
            speech: speech.name.clone(),
            lengths: lengths.name.clone(),
            encoder: padded.input(0).unwrap_or_default().to_owned(),
            weights,
            style: if looped { Style::Sequential } else { Style::Cumulative },
            embeddings,
            token_num: token_num.name.clone(),
            logits: plain,
            upsampled: upsampled.map(|port| port.name.clone()),
            hotwords,
        })
    }
}

/// The number of tokens is the sum of the weights, rounded in one way or two.
fn weights(file: &OnnxFile, token_num: &str) -> Option<String> {
    let mut node = file.producer(token_num)?;
    while matches!(node.op(), "Cast" | "Floor" | "Round" | "Identity") {
        node = file.producer(node.input(0)?)?;
    }
    (node.op() == "ReduceSum").then(|| node.input(0).map(str::to_owned))?
}

/// Whether `node` appends an all-zero frame, for what is integrated in a subgraph.
fn is_padded_encoder(file: &OnnxFile, node: &OnnxNode) -> bool {
    let made = |node: &OnnxNode, input| node.input(input).and_then(|input| file.producer(input));
    let zeros = match made(node, 1) {
        Some(cast) if cast.op() == "Cast" => made(cast, 0),
        other => other,
    };
    node.op() == "Concat"
        && node.inputs().len() == 2
        && zeros.is_some_and(|zeros| zeros.op() == "ConstantOfShape")
        && file.consumers(node.output()).any(is_branching)
}

fn is_branching(node: &OnnxNode) -> bool {
    matches!(node.op(), "Loop" | "If")
}

/// What the last branch or loop between `padded` and `logits` gives to a layer norm, after slices.
fn embeddings(file: &OnnxFile, padded: &str, logits: &str) -> Option<String> {
    let after = file.downstream(padded);
    let before = file.upstream(logits);
    let is_before = |node: &OnnxNode| before.iter().any(|other| other.output() == node.output());
    let last = after.iter().rfind(|node| is_branching(node) && is_before(node))?;
    last.outputs().iter().find_map(|output| {
        let mut tensor = output.as_str();
        while let Some(slice) = file.consumers(tensor).next()
            && slice.op() == "Slice"
            && slice.input(0) == Some(tensor)
        {
            tensor = slice.output();
        }
        let normed = file.consumers(tensor).any(is_norm);
        normed.then(|| tensor.to_owned())
    })
}

/// A layer norm, or the first of the operators that it was taken apart into.
fn is_norm(node: &OnnxNode) -> bool {
    matches!(node.op(), "ReduceMean" | "LayerNormalization")
}

/// The log-probabilities that do not depend on hotwords.
fn plain_logits(file: &OnnxFile, bias: &str, logits: &str) -> Option<String> {
    let biased: Vec<&str> = file.downstream(bias).iter().map(|node| node.output()).collect();
    let nodes = file.upstream(logits);
    let plain =
        nodes.iter().find(|node| node.op() == "LogSoftmax" && !biased.contains(&node.output()))?;
    Some(plain.output().to_owned())
}

impl HotwordAnchors {
    fn find(file: &OnnxFile, bias: &str, logits: &str) -> Option<Self> {
        let biased = file.downstream(bias);
        let top = biased.iter().find(|node| node.op() == "TopK")?;
        let indices = top.outputs().get(1)?;
        let slice = file.consumers(indices).find(|node| node.op() == "Slice")?;
        let end = file.constant(slice.input(2)?)?;
        let most = *engine::values::<i64>(end).ok()?.first()?;
        let best = file
            .consumers(slice.output())
            .find(|node| node.op() == "Gather" && node.input(0) == Some(bias))?;
        // The last tensor before the plain logits that the second decoder's layer norm takes too.
        let plain = plain_logits(file, bias, logits)?;
        let mut tensor = file.producer(&plain)?.input(0)?;
        let hidden = loop {
            if file.consumers(tensor).any(is_norm) {
                break tensor;
            }
            let made = file.producer(tensor)?;
            tensor = made.inputs().iter().find(|input| file.producer(input).is_some())?;
        };
        Some(Self {
            all: bias.to_owned(),
            hidden: hidden.to_owned(),
            scores: top.input(0)?.to_owned(),
            best: best.output().to_owned(),
            most: most.try_into().ok().filter(|&most: &usize| most > 0)?,
            logits: logits.to_owned(),
        })
    }
}
