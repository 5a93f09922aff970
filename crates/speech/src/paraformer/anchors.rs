//! Finds the tensors at which a Paraformer's graph is cut, by their position in the graph, because
//! names differ between exports.

use engine::{OnnxFile, OnnxNode};

use super::cif::CifVariant;

/// Names of the tensors at which a graph is cut; the docs give their shapes for one segment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Anchors {
    /// Features, `[1, frames, values]`.
    pub(super) speech: String,
    /// Number of frames without padding, `[1]`.
    pub(super) lengths: String,
    /// Output of the encoder, `[1, frames, width]`.
    pub(super) encoder: String,
    /// Predictor's weight of each frame and of the tail, `[1, frames + 1]`.
    pub(super) weights: String,
    /// Method by which the graph integrates the weights.
    pub(super) variant: CifVariant,
    /// Input of the decoder, `[1, tokens, width]`.
    pub(super) embeddings: String,
    /// Number of tokens, `[1]`.
    pub(super) token_num: String,
    /// Log-probabilities of the plain decoder, `[1, tokens, vocabulary]`.
    pub(super) logits: String,
    /// Weights of the second predictor, `[1, 3 frames]`.
    pub(super) upsampled: Option<String>,
    pub(super) hotwords: Option<HotwordAnchors>,
}

/// Names of the tensors of SeACo's second decoder.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HotwordAnchors {
    /// Embeddings of all hotwords, `[1, hotwords, width]`.
    pub(super) all: String,
    /// Output of the plain decoder's last layer, `[1, tokens, width]`.
    pub(super) hidden: String,
    /// Attention scores of the hotwords, `[hotwords]`.
    pub(super) scores: String,
    /// Embeddings of the hotwords with the best scores, `[1, hotwords, width]`.
    pub(super) best: String,
    /// Maximum number of hotwords in `best`.
    pub(super) max_best: usize,
    /// Log-probabilities biased towards the hotwords, `[1, tokens, vocabulary]`.
    pub(super) logits: String,
}

impl Anchors {
    /// Finds the tensors in `file`.
    ///
    /// # Errors
    /// Names the part of a Paraformer that `file` lacks.
    pub(super) fn find(file: &OnnxFile) -> Result<Self, String> {
        let (speech, lengths, bias) = match file.inputs() {
            [speech, lengths] => (speech, lengths, None),
            [speech, lengths, bias] => (speech, lengths, Some(bias)),
            inputs => return Err(format!("it has {} inputs, not 2 or 3", inputs.len())),
        };
        let (logits, token_num, upsampled) = match file.outputs() {
            [logits, token_num] => (logits, token_num, None),
            [logits, token_num, upsampled, _] => (logits, token_num, Some(upsampled)),
            outputs => return Err(format!("it has {} outputs, not 2 or 4", outputs.len())),
        };
        let weights =
            weights(file, &token_num.name).ok_or("its number of tokens is not a sum of weights")?;
        let padded = file.nodes().iter().find(|node| is_padded_encoder(file, node));
        let padded = padded.ok_or("it does not integrate its encoder's output")?;
        let embeddings = embeddings(file, padded.output(), &logits.name)
            .ok_or("its decoder does not take the integrated embeddings")?;
        let hotwords = match bias {
            Some(bias) => Some(
                HotwordAnchors::find(file, &bias.name, &logits.name)
                    .ok_or("it does not process hotwords as SeACo does")?,
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
            variant: if looped { CifVariant::Sequential } else { CifVariant::Cumulative },
            embeddings,
            token_num: token_num.name.clone(),
            logits: plain,
            upsampled: upsampled.map(|port| port.name.clone()),
            hotwords,
        })
    }
}

/// Finds the weights: the number of tokens is their sum, after one or two roundings.
fn weights(file: &OnnxFile, token_num: &str) -> Option<String> {
    let mut node = file.producer(token_num)?;
    while matches!(node.op(), "Cast" | "Floor" | "Round" | "Identity") {
        node = file.producer(node.input(0)?)?;
    }
    (node.op() == "ReduceSum").then(|| node.input(0).map(str::to_owned))?
}

/// Returns whether `node` appends an all-zero frame to a tensor that a subgraph integrates.
fn is_padded_encoder(file: &OnnxFile, node: &OnnxNode) -> bool {
    let producer =
        |node: &OnnxNode, input| node.input(input).and_then(|input| file.producer(input));
    let zeros = match producer(node, 1) {
        Some(cast) if cast.op() == "Cast" => producer(cast, 0),
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

/// Finds the tensor that the last branch or loop between `padded` and `logits` passes to a layer
/// norm, after slices.
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

/// Returns whether `node` is a layer norm, or the first of the operators that an export splits it
/// into.
fn is_norm(node: &OnnxNode) -> bool {
    matches!(node.op(), "ReduceMean" | "LayerNormalization")
}

/// Finds the log-probabilities that do not depend on hotwords.
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
        let max_best = *engine::values::<i64>(end).ok()?.first()?;
        let best = file
            .consumers(slice.output())
            .find(|node| node.op() == "Gather" && node.input(0) == Some(bias))?;
        // The last tensor before the plain logits that the second decoder's layer norm also takes.
        let plain = plain_logits(file, bias, logits)?;
        let mut tensor = file.producer(&plain)?.input(0)?;
        let hidden = loop {
            if file.consumers(tensor).any(is_norm) {
                break tensor;
            }
            let producer = file.producer(tensor)?;
            tensor = producer.inputs().iter().find(|input| file.producer(input).is_some())?;
        };
        Some(Self {
            all: bias.to_owned(),
            hidden: hidden.to_owned(),
            scores: top.input(0)?.to_owned(),
            best: best.output().to_owned(),
            max_best: max_best.try_into().ok().filter(|&max_best: &usize| max_best > 0)?,
            logits: logits.to_owned(),
        })
    }
}
