//! SenseVoiceSmall, from FunASR's and sherpa-onnx's ONNX files.
//!
//! An encoder with a CTC head that also says which language is spoken, how the speaker sounds, and
//! what else is heard (<https://arxiv.org/abs/2407.04051>). `pieces` reads what its classes stand
//! for, `network` runs it, `ctc` makes tokens of what it finds, `tags` reads those that are not text,
//! and `words` joins and times the others.

mod ctc;
mod network;
mod pieces;
mod prompt;
mod tags;
#[cfg(test)]
mod tests;
mod words;

use std::path::Path;

use self::{
    ctc::{Token, greedy},
    network::{Network, PROMPT},
    pieces::Piece,
    prompt::Prompt,
    tags::{LANGUAGES, Tags},
    words::Said,
};
use crate::{
    features::{FRAME_SHIFT, Frontend},
    files::{self, broken},
    funasr::{Setup, Weights},
    recognizer::{
        Description, DetectedLanguage, Error, Hypothesis, Precision, Recognition, RecognizeOptions,
        Recognizer,
    },
};

/// Longest segment, in seconds: the model was trained on nothing longer.
const MAX_SECONDS: f64 = 30.0;
const SAMPLE_RATE: f64 = 16_000.0;

/// One SenseVoiceSmall, for all threads.
pub struct SenseVoice {
    description: Description,
    frontend: Frontend,
    network: Network,
    prompt: Prompt,
    pieces: Vec<Piece>,
    /// Seconds from one row to the next.
    row: f64,
}

impl SenseVoice {
    /// Opens a model directory in FunASR's layout (`model_quant.onnx` or `model.onnx`,
    /// `config.yaml`, `am.mvn`, `chn_jpn_yue_eng_ko_spectok.bpe.model` or `tokens.json`) or
    /// sherpa-onnx's (`model.int8.onnx` or `model.onnx`, `tokens.txt`). `name` is what transcripts
    /// call the model.
    ///
    /// # Errors
    /// [`Error::Model`] names the file that is missing, broken, or does not fit the others.
    pub fn open(directory: &Path, name: &str, precision: Option<Precision>) -> Result<Self, Error> {
        let weights = Weights::find(directory, precision)?;
        let file = weights.open()?;
        let setup = Setup::open(directory, &weights.path, |key| file.metadata(key))?;
        let prompt = Prompt::read(&weights.path, |key| file.metadata(key))?;
        let network = Network::new(&file, setup.frontend.width())?;
        let (pieces, path) = pieces::open(directory)?;
        if pieces.len() != network.classes() {
            let message = format!(
                "holds {} pieces, but the network tells {} apart: the files are of different \
                 models, or this one is cut off; take both from the same release",
                pieces.len(),
                network.classes()
            );
            return Err(broken(&path, message));
        }
        let files = [vec![weights.path, path], setup.files].concat();
        Ok(Self {
            description: Description {
                name: name.to_owned(),
                family: "sensevoice",
                precision: weights.precision,
                digest: files::digest(&files, weights.precision)?,
                languages: LANGUAGES.map(str::to_owned).to_vec(),
            },
            row: (setup.config.frontend_conf.lfr_n * FRAME_SHIFT) as f64 / SAMPLE_RATE,
            frontend: setup.frontend,
            network,
            prompt,
            pieces,
        })
    }

    fn tokens(&self, samples: &[f32], options: &RecognizeOptions) -> Result<Vec<Token>, Error> {
        let prompt = self.prompt.numbers(options)?;
        let rows = self.frontend.rows(samples);
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        Ok(greedy(self.network.likeliest(&rows, prompt)?, self.prompt.blank()))
    }

    /// What `tokens` say of so many seconds.
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
        let heard = !hypothesis.text.is_empty() || hypothesis.event.is_some();
        Recognition {
            hypotheses: heard.then_some(hypothesis).into_iter().collect(),
            detected_language,
        }
    }

    /// The text of `tokens`, of which some are tags.
    fn hypothesis(&self, tokens: &[Token], seconds: f64) -> Hypothesis {
        // As FunASR counts: a token's time begins half a row before its first.
        let time = |row: usize| {
            let row = row as f64 - PROMPT as f64 - 0.5;
            (row * self.row).clamp(0.0, seconds)
        };
        let text = tokens.iter().filter_map(|token| match &self.pieces[token.id] {
            Piece::Text(text) => Some((token, text.as_slice())),
            Piece::Tag(_) | Piece::Nothing => None,
        });
        let (ids, said): (Vec<u32>, Vec<Said>) = text
            .map(|(token, text)| {
                let time = time(token.frames.start)..time(token.frames.end);
                let log_probability = token.log_probability;
                (token.id as u32, Said { text, time, log_probability })
            })
            .unzip();
        let (text, words) = words::words(&said);
        let sum: f32 = said.iter().map(|said| said.log_probability).sum();
        Hypothesis {
            start: words.first().map_or(0.0, |word| word.start),
            end: words.last().map_or(seconds, |word| word.end),
            text,
            log_probability: if said.is_empty() { 0.0 } else { sum / said.len() as f32 },
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

    /// One hypothesis at most. Where nobody speaks there is none, or, if something else is heard,
    /// one without text.
    fn recognize(&self, samples: &[f32], options: &RecognizeOptions) -> Result<Recognition, Error> {
        let tokens = self.tokens(samples, options)?;
        Ok(self.recognition(&tokens, samples.len() as f64 / SAMPLE_RATE, options))
    }
}
