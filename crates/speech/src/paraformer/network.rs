//! The networks of a Paraformer, cut from one ONNX file: encoder with predictor, decoder, second
//! predictor, and SeACo's hotword decoder.

use std::path::Path;

use engine::{Dim, Input, OnnxFile, OnnxNetwork, Tensor};

use super::{
    anchors::{Anchors, HotwordAnchors},
    cif::{CifOutput, CifVariant},
    hotwords::HotwordEmbeddings,
};
use crate::{
    files::{broken, broken_by, not_loaded},
    recognizer::Error,
};

/// Names of the axes of variable length.
const FRAMES: &str = "frames";
const TOKENS: &str = "tokens";
const HOTWORDS: &str = "hotwords";
/// Steps of the second predictor per frame.
const UPSAMPLING: usize = 3;

/// All networks of a model.
pub(super) struct Networks {
    encoder: OnnxNetwork,
    variant: CifVariant,
    decoder: OnnxNetwork,
    timestamps: Option<OnnxNetwork>,
    hotwords: Option<HotwordDecoder>,
    /// Values per row of features.
    features: usize,
    /// Values per embedding.
    width: usize,
    vocabulary: usize,
    /// Weight of the frame after the last.
    tail: f32,
}

/// SeACo's hotword decoder.
struct HotwordDecoder {
    scores: OnnxNetwork,
    merge: OnnxNetwork,
    /// Maximum number of hotwords that `merge` takes.
    max_best: usize,
}

/// Output of the encoder for a segment.
pub(super) struct Encoded {
    /// `[1, frames, width]`.
    hidden: Tensor,
    /// One per frame and one for the tail.
    pub(super) weights: Vec<f32>,
}

/// Log-probabilities, row-major `[tokens, vocabulary]`.
pub(super) struct Logits {
    pub(super) values: Vec<f32>,
    pub(super) vocabulary: usize,
}

impl Networks {
    /// Cuts the networks from `file`, for a front end with rows of `features` values, and runs each
    /// of them once.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is not a Paraformer, does not fit the front end, or is damaged.
    pub(super) fn open(file: &OnnxFile, features: usize) -> Result<Self, Error> {
        let path = file.path();
        let anchors = Anchors::find(file).map_err(|cause| {
            broken(path, format!("is not a Paraformer as FunASR exports it: {cause}"))
        })?;
        if let Some(Some(expected)) = file.inputs().first().and_then(|port| port.shape.get(2))
            && *expected != features
        {
            let message =
                format!("takes {expected} values per frame, but the features have {features}");
            return Err(broken(path, message));
        }
        let lengths = || Input::full_length(&anchors.lengths, FRAMES);
        let speech = Input::new(&anchors.speech, row(FRAMES, features));
        let encoder = cut(file, &[speech, lengths()], &[&anchors.encoder, &anchors.weights])?;
        let width = encoder_width(&encoder, features)
            .map_err(|error| broken_by(path, "cannot be run", error))?;

        let tokens = || Input::full_length(&anchors.token_num, TOKENS);
        let embeddings = || Input::new(&anchors.embeddings, row(TOKENS, width));
        let hidden = Input::new(&anchors.encoder, row(FRAMES, width));
        let mut outputs = vec![anchors.logits.as_str()];
        outputs.extend(anchors.hotwords.as_ref().map(|hotwords| hotwords.hidden.as_str()));
        let decoder = cut(file, &[embeddings(), hidden.clone(), tokens(), lengths()], &outputs)?;
        let timestamps = match &anchors.upsampled {
            Some(upsampled) => {
                let count = Input::new(&anchors.token_num, [Dim::from(1)]);
                Some(cut(file, &[hidden, count, lengths()], &[upsampled])?)
            }
            None => None,
        };
        let mut networks = Self {
            encoder,
            variant: anchors.variant,
            decoder,
            timestamps,
            hotwords: None,
            features,
            width,
            vocabulary: 0,
            tail: 0.0,
        };
        (networks.vocabulary, networks.tail) = networks.probe(path)?;
        if let Some(hotwords) = &anchors.hotwords {
            let plain = Input::new(&anchors.logits, row(TOKENS, networks.vocabulary));
            networks.hotwords =
                Some(HotwordDecoder::open(file, hotwords, [embeddings(), plain, tokens()], width)?);
            networks.probe(path)?;
        }
        Ok(networks)
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    pub(super) fn tail(&self) -> f32 {
        self.tail
    }

    pub(super) fn takes_hotwords(&self) -> bool {
        self.hotwords.is_some()
    }

    /// Encodes at least one row of features, row-major `[frames, features]`.
    pub(super) fn encode(&self, rows: &[f32]) -> Result<Encoded, Error> {
        let frames = rows.len() / self.features;
        let speech = engine::tensor(&[1, frames, self.features], rows)?;
        let outputs = self.encoder.run(vec![speech])?;
        let [hidden, weights] = <[Tensor; 2]>::try_from(outputs).map_err(|_| misshapen())?;
        if hidden.shape() != [1, frames, self.width] || weights.shape() != [1, frames + 1] {
            return Err(misshapen());
        }
        let weights = engine::values::<f32>(&weights)?.to_vec();
        // A sum that is not finite would give no tokens, and silently drop the segment's words.
        if weights.iter().any(|weight| !weight.is_finite()) {
            return Err(Error::Network("the weights of the frames are not finite".into()));
        }
        Ok(Encoded { hidden, weights })
    }

    /// Integrates the encoder's output into embeddings of the spoken tokens.
    pub(super) fn integrate(&self, encoded: &Encoded) -> Result<CifOutput, Error> {
        let hidden = engine::values::<f32>(&encoded.hidden)?;
        Ok(self.variant.integrate(hidden, &encoded.weights, self.width))
    }

    /// Decodes at least one token. Models without a hotword decoder ignore `hotwords`.
    pub(super) fn decode(
        &self,
        encoded: &Encoded,
        fired: &CifOutput,
        hotwords: Option<&HotwordEmbeddings>,
    ) -> Result<Logits, Error> {
        let shape = [1, fired.tokens, self.width];
        let embeddings = engine::tensor(&shape, &fired.embeddings)?;
        let inputs = vec![embeddings.clone(), encoded.hidden.clone()];
        let mut outputs = self.decoder.run(inputs)?.into_iter();
        let mut logits = outputs.next().ok_or_else(misshapen)?;
        if let (Some(network), Some(given)) = (&self.hotwords, hotwords) {
            let hidden = outputs.next().ok_or_else(misshapen)?;
            logits = network.run(embeddings, logits, hidden, given, self.width)?;
        }
        match *logits.shape() {
            [1, tokens, vocabulary] if tokens == fired.tokens && vocabulary > 0 => {
                let values = engine::values::<f32>(&logits)?.to_vec();
                if values.iter().any(|value| value.is_nan()) {
                    return Err(Error::Network("log-probabilities are NaN".into()));
                }
                Ok(Logits { values, vocabulary })
            }
            _ => Err(misshapen()),
        }
    }

    /// Returns the weights of the second predictor, three per frame; `None` for models without one.
    pub(super) fn upsampled(
        &self,
        encoded: &Encoded,
        tokens: usize,
    ) -> Result<Option<Vec<f32>>, Error> {
        let Some(timestamps) = &self.timestamps else { return Ok(None) };
        let count = engine::tensor(&[1], &[tokens as f32])?;
        let outputs = timestamps.run(vec![encoded.hidden.clone(), count])?;
        let steps = UPSAMPLING * (encoded.weights.len() - 1);
        match outputs.as_slice() {
            [weights] if weights.shape() == [1, steps] => engine::values::<f32>(weights)
                .map(|weights| Some(weights.to_vec()))
                .map_err(Error::from),
            _ => Err(misshapen()),
        }
    }

    /// Runs all networks once, so that a broken model fails when it is opened. Returns the size of
    /// the vocabulary and the weight of the tail.
    fn probe(&self, path: &Path) -> Result<(usize, f32), Error> {
        const FRAMES: usize = 7;
        let run = || {
            // Different values, none of them special.
            let rows: Vec<f32> = (0..FRAMES * self.features)
                .map(|i| ((i * 7919) % 1009) as f32 / 504.5 - 1.0)
                .collect();
            let encoded = self.encode(&rows)?;
            let hidden = engine::values::<f32>(&encoded.hidden)?;
            let fired = CifOutput {
                embeddings: hidden[..2 * self.width].to_vec(),
                tokens: 2,
                fires: vec![2, 4],
            };
            // One hotword more than `merge` takes, so that the selection of the best runs as well.
            let count = self.hotwords.as_ref().map_or(1, |hotwords| hotwords.max_best + 1);
            let given = HotwordEmbeddings { values: vec![0.5; count * self.width], count };
            let logits = self.decode(&encoded, &fired, Some(&given))?;
            let upsampled = self.upsampled(&encoded, fired.tokens)?.unwrap_or_default();
            let all = encoded.weights.iter().chain(hidden).chain(&logits.values).chain(&upsampled);
            let finite = all.into_iter().all(|value| value.is_finite());
            let tail = encoded.weights.last().copied().unwrap_or_default();
            Ok::<_, Error>(((logits.vocabulary, tail), finite))
        };
        match run() {
            Ok((found, true)) => Ok(found),
            Ok((_, false)) => {
                Err(broken(path, "is damaged: its outputs are not finite; download it again"))
            }
            Err(error) => Err(broken_by(path, "cannot be run", error)),
        }
    }
}

impl HotwordDecoder {
    fn open(
        file: &OnnxFile,
        anchors: &HotwordAnchors,
        [embeddings, plain, tokens]: [Input<'_>; 3],
        width: usize,
    ) -> Result<Self, Error> {
        let hidden = Input::new(&anchors.hidden, row(TOKENS, width));
        let all = Input::new(&anchors.all, row(HOTWORDS, width));
        let best = Input::new(&anchors.best, row(HOTWORDS, width));
        // The graph reads the batch size from the shape of this input.
        let batch = Input::new(&anchors.all, [1, 1, width].map(Dim::from));
        let merge = [embeddings, plain, hidden.clone(), best, batch, tokens.clone()];
        Ok(Self {
            scores: cut(file, &[hidden, all, tokens], &[&anchors.scores])?,
            merge: cut(file, &merge, &[&anchors.logits])?,
            max_best: anchors.max_best,
        })
    }

    /// Replaces the plain log-probabilities by those of a hotword's tokens where it recognizes one.
    fn run(
        &self,
        embeddings: Tensor,
        plain: Tensor,
        hidden: Tensor,
        given: &HotwordEmbeddings,
        width: usize,
    ) -> Result<Tensor, Error> {
        let all = engine::tensor(&[1, given.count, width], &given.values)?;
        let best = if given.count <= self.max_best {
            // The export sorts these too, but their order has no effect.
            all
        } else {
            let outputs = self.scores.run(vec![hidden.clone(), all])?;
            let scores = outputs.first().ok_or_else(misshapen)?;
            let scores = engine::values::<f32>(scores)?;
            if scores.len() != given.count {
                return Err(misshapen());
            }
            let values: Vec<f32> = best(scores, self.max_best)
                .into_iter()
                .flat_map(|index| &given.values[index * width..][..width])
                .copied()
                .collect();
            engine::tensor(&[1, self.max_best, width], &values)?
        };
        let batch = engine::tensor(&[1, 1, width], &vec![0f32; width])?;
        let inputs = vec![embeddings, plain, hidden, best, batch];
        let outputs = self.merge.run(inputs)?;
        outputs.into_iter().next().ok_or_else(misshapen)
    }
}

fn cut(file: &OnnxFile, inputs: &[Input<'_>], outputs: &[&str]) -> Result<OnnxNetwork, Error> {
    file.network(inputs, outputs).map_err(|error| not_loaded(file.path(), error))
}

/// Returns the indices of the `count` highest scores, highest first.
fn best(scores: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order.truncate(count);
    order
}

fn row(axis: &'static str, width: usize) -> [Dim; 3] {
    [1.into(), axis.into(), width.into()]
}

/// Runs the encoder once to find the width of its output.
fn encoder_width(encoder: &OnnxNetwork, features: usize) -> Result<usize, Error> {
    let speech = engine::tensor(&[1, 1, features], &vec![0f32; features])?;
    let outputs = encoder.run(vec![speech])?;
    match outputs.first().map(Tensor::shape) {
        Some(&[1, 1, width]) if width > 0 => Ok(width),
        _ => Err(misshapen()),
    }
}

fn misshapen() -> Error {
    Error::Network("outputs of the Paraformer have unexpected shapes".to_owned())
}
