//! SenseVoiceSmall, from FunASR's and sherpa-onnx's ONNX files.
//!
//! SenseVoiceSmall is an encoder with a CTC head that also classifies the language, the speaker's
//! emotion, and other sounds (<https://arxiv.org/abs/2407.04051>). `pieces` reads the vocabulary,
//! `prompt` chooses language and style, `network` runs the model, `ctc` decodes its output into
//! tokens, and `tags` interprets the tokens that are not text. The others are joined to words with
//! times.

mod ctc;
mod network;
mod pieces;
mod prompt;
mod tags;
#[cfg(test)]
mod tests;

use std::path::Path;

use self::{
    ctc::{Token, greedy},
    network::{Network, PROMPT_ROWS},
    pieces::Piece,
    prompt::Prompt,
    tags::{LANGUAGES, Tags},
};
use crate::{
    features::{FRAME_SHIFT, Frontend},
    files::{self, broken},
    funasr::{ModelSettings, Weights},
    recognizer::{
        Description, DetectedLanguage, Error, Hypothesis, Precision, Recognition, RecognizeOptions,
        Recognizer,
    },
    timed_pieces::{TimedPiece, words},
};

/// Maximum length of a segment, in seconds: the model was trained on nothing longer.
const MAX_SECONDS: f64 = 30.0;
const SAMPLE_RATE: f64 = 16_000.0;

/// A SenseVoiceSmall model, shared by all threads.
///
/// ```no_run
/// # use speech::{recognizer::Recognizer, sensevoice::SenseVoice};
/// # let (directory, samples) = (std::path::Path::new(""), [0.0; 16_000]);
/// let model = SenseVoice::open(directory, "sensevoice-small", Default::default())?;
/// for hypothesis in model.recognize(&samples, &Default::default())?.hypotheses {
///     println!("{} ({:?})", hypothesis.text, hypothesis.emotion);
/// }
/// # Ok::<(), speech::recognizer::Error>(())
/// ```
pub struct SenseVoice {
    description: Description,
    frontend: Frontend,
    network: Network,
    prompt: Prompt,
    pieces: Vec<Piece>,
    /// Seconds from one row of features to the next.
    row_seconds: f64,
}

impl SenseVoice {
    /// Opens a model directory in FunASR's layout (`model_quant.onnx` or `model.onnx`,
    /// `config.yaml`, `am.mvn`, `chn_jpn_yue_eng_ko_spectok.bpe.model` or `tokens.json`) or
    /// sherpa-onnx's (`model.int8.onnx` or `model.onnx`, `tokens.txt`). Transcripts call the model
    /// `name`.
    ///
    /// # Errors
    /// [`Error::Model`] names the file that is missing, broken, or does not fit the others.
    pub fn open(directory: &Path, name: &str, precision: Option<Precision>) -> Result<Self, Error> {
        let weights = Weights::find(directory, precision)?;
        let file = weights.open()?;
        let settings = ModelSettings::open(directory, &weights.path, |key| file.metadata(key))?;
        let prompt = Prompt::read(&weights.path, |key| file.metadata(key))?;
        let network = Network::new(&file, settings.frontend.width())?;
        let (pieces, path) = pieces::open(directory)?;
        if pieces.len() != network.classes() {
            let message = format!(
                "holds {} pieces, but the network has {} classes: the files are from different \
                 models, or this one is truncated; take both from the same release",
                pieces.len(),
                network.classes()
            );
            return Err(broken(&path, message));
        }
        let files = [vec![weights.path, path], settings.files].concat();
        Ok(Self {
            description: Description {
                name: name.to_owned(),
                family: "sensevoice",
                precision: weights.precision.as_str(),
                digest: files::digest(&files, weights.precision.as_str())?,
                languages: LANGUAGES.map(str::to_owned).to_vec(),
            },
            row_seconds: (settings.config.frontend_conf.lfr_n * FRAME_SHIFT) as f64 / SAMPLE_RATE,
            frontend: settings.frontend,
            network,
            prompt,
            pieces,
        })
    }

    /// Recognizes the tokens of `samples`, tags included.
    fn tokens(&self, samples: &[f32], options: &RecognizeOptions) -> Result<Vec<Token>, Error> {
        let prompt = self.prompt.ids(options).ok_or_else(|| {
            self.description.unknown_language(options.language.as_deref().unwrap_or_default())
        })?;
        let rows = self.frontend.rows(samples);
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        Ok(greedy(self.network.argmax(&rows, prompt)?, self.prompt.blank()))
    }

    /// Converts the tokens of `seconds` of audio, tags included, to a recognition.
    fn recognition(
        &self,
        tokens: &[Token],
        seconds: f64,
        options: &RecognizeOptions,
    ) -> Recognition {
        let tagged = || {
            tokens.iter().filter_map(|token| match &self.pieces[token.id] {
                Piece::Tag(tag) => Some((tag.as_str(), token)),
                Piece::Text(_) | Piece::Nothing => None,
            })
        };
        let tags: Tags = tagged().map(|(tag, _)| tag).collect();
        let mut hypothesis = if tags.no_speech() {
            Hypothesis { end: seconds, ..Hypothesis::default() }
        } else {
            self.hypothesis(tokens, seconds)
        };
        hypothesis.event = tags.event();
        if !hypothesis.text.is_empty() {
            hypothesis.emotion = tags.emotion();
        }
        let detected_language =
            tags.language().filter(|_| options.language.is_none()).and_then(|language| {
                let (_, token) = tagged().find(|(tag, _)| *tag == language)?;
                let probability = token.log_probability.exp();
                Some(DetectedLanguage { language: language.to_owned(), probability })
            });
        let has_content = !hypothesis.text.is_empty() || hypothesis.event.is_some();
        Recognition {
            hypotheses: has_content.then_some(hypothesis).into_iter().collect(),
            detected_language,
        }
    }

    /// Converts tokens to a hypothesis, ignoring tags.
    fn hypothesis(&self, tokens: &[Token], seconds: f64) -> Hypothesis {
        // As in FunASR, a token begins half a row before its first frame.
        let time = |row: usize| {
            let row = row as f64 - PROMPT_ROWS as f64 - 0.5;
            (row * self.row_seconds).clamp(0.0, seconds)
        };
        let text = tokens.iter().filter_map(|token| match &self.pieces[token.id] {
            Piece::Text(text) => Some((token, text.as_slice())),
            Piece::Tag(_) | Piece::Nothing => None,
        });
        let (ids, pieces): (Vec<u32>, Vec<TimedPiece>) = text
            .map(|(token, text)| {
                let time = time(token.frames.start)..time(token.frames.end);
                let log_probability = token.log_probability;
                (token.id as u32, TimedPiece { text, time, log_probability })
            })
            .unzip();
        // The model recognizes "The." in silence; FunASR drops it too.
        let (text, words) = words(&pieces, |word| word != "The.");
        let sum: f32 = pieces.iter().map(|piece| piece.log_probability).sum();
        Hypothesis {
            start: words.first().map_or(0.0, |word| word.start),
            end: words.last().map_or(seconds, |word| word.end),
            text,
            log_probability: if pieces.is_empty() { 0.0 } else { sum / pieces.len() as f32 },
            tokens: ids,
            words,
            ..Hypothesis::default()
        }
    }
}

impl Recognizer for SenseVoice {
    fn description(&self) -> &Description {
        &self.description
    }

    fn max_seconds(&self) -> f64 {
        MAX_SECONDS
    }

    fn fixed_window(&self) -> bool {
        false
    }

    fn punctuates(&self, normalize: bool) -> bool {
        normalize
    }

    /// Returns at most one hypothesis. If nobody speaks there is none, or one without text for
    /// another sound.
    fn recognize(&self, samples: &[f32], options: &RecognizeOptions) -> Result<Recognition, Error> {
        let tokens = self.tokens(samples, options)?;
        Ok(self.recognition(&tokens, samples.len() as f64 / SAMPLE_RATE, options))
    }
}

/// Reads the vocabulary of an untrusted directory, for the fuzzers.
#[cfg(feature = "test-util")]
pub(crate) fn read_untrusted(directory: &Path) {
    assert!(pieces::open(directory).map_or(true, |(pieces, _)| !pieces.is_empty()));
}
