//! Paraformer (<https://arxiv.org/abs/2206.08317>), from FunASR's and sherpa-onnx's ONNX files.
//!
//! A parallel model: an encoder, a predictor that says how many tokens there are and where, and a
//! decoder that recognizes all of them at once. `network` cuts the file's graph into these at the
//! `anchors`, `cif` makes embeddings of the predictor's weights, `decode` tokens of the decoder's
//! output, `timestamps` tells their times, and `hotwords` embeds words to expect. Four kinds of file
//! are read: plain ones, exported with either style of integration; BiCif, which tells times; and
//! SeACo, which heeds hotwords as well.

mod anchors;
mod cif;
mod decode;
mod hotwords;
mod network;
#[cfg(test)]
mod tests;
mod timestamps;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use self::{
    decode::{Token, greedy},
    hotwords::{Embedder, Speller},
    network::Networks,
};
use crate::{
    features::Frontend,
    files::{self, broken, find},
    funasr::{
        Config, Setup, Tokens, Weights,
        text::{self, Text},
    },
    recognizer::{
        Description, Error, Hypothesis, Precision, Recognition, RecognizeOptions, Recognizer, Word,
    },
};

/// Longest segment, in seconds: FunASR's voice activity detection makes none longer.
const MAX_SECONDS: f64 = 60.0;
const SAMPLE_RATE: f64 = 16_000.0;

/// One Paraformer, for all threads.
pub struct Paraformer {
    description: Description,
    frontend: Frontend,
    networks: Networks,
    tokens: Arc<Tokens>,
    /// Whether tokens are SentencePiece's, which mark the blanks between words.
    pieces: bool,
    /// Tokens that the predictor counts beyond those of the text.
    bias: usize,
    hotwords: Option<(Embedder, Speller)>,
}

impl Paraformer {
    /// Opens a model directory in FunASR's layout (`model_quant.onnx` or `model.onnx`,
    /// `config.yaml`, `am.mvn`, `tokens.json`; SeACo: `model_eb.onnx` too, and `seg_dict` if there is
    /// one) or sherpa-onnx's (`model.int8.onnx` or `model.onnx`, `tokens.txt`). `name` is what
    /// transcripts call the model.
    ///
    /// # Errors
    /// [`Error::Model`] names the file that is missing, broken, or does not fit the others.
    pub fn open(directory: &Path, name: &str, precision: Option<Precision>) -> Result<Self, Error> {
        let weights = Weights::find(directory, precision)?;
        let file = weights.open()?;
        let setup = Setup::open(directory, &weights.path, |key| file.metadata(key))?;
        let networks = Networks::open(&file, setup.frontend.width())?;
        check_predictor(&setup.config, &networks, &weights.path)?;
        // Settings from metadata hold no list.
        let config_path = setup.files.first().unwrap_or(&weights.path);
        let tokens = Tokens::open_or(directory, setup.config.token_list.clone(), config_path)?;
        tokens.fit(networks.vocabulary())?;
        let tokens = Arc::new(tokens);

        let mut files = vec![weights.path.clone()];
        files.extend(setup.files);
        if !files.iter().any(|path| path == tokens.path()) {
            files.push(tokens.path().to_owned());
        }
        let hotwords = if networks.takes_hotwords() {
            let (embedder, path) = embedder(directory, weights.precision, &networks)?;
            let seg_dict = find(directory, &["seg_dict"]);
            let speller = Speller::new(tokens.clone(), seg_dict.as_deref())?;
            files.push(path);
            files.extend(seg_dict);
            Some((embedder, speller))
        } else {
            None
        };
        Ok(Self {
            description: Description {
                name: name.to_owned(),
                family: "paraformer",
                precision: weights.precision,
                digest: files::digest(&files, weights.precision)?,
                languages: languages(&setup.config, &tokens),
            },
            frontend: setup.frontend,
            networks,
            pieces: has_pieces(&setup.config, &tokens),
            tokens,
            bias: setup.config.model_conf.predictor_bias,
            hotwords,
        })
    }

    pub fn frontend(&self) -> &Frontend {
        &self.frontend
    }

    /// The tokens of `samples`, and when each is said.
    fn tokens(
        &self,
        samples: &[f32],
        options: &RecognizeOptions,
    ) -> Result<Vec<(Token, timestamps::Span)>, Error> {
        // First, so that a hotword is refused whatever is heard.
        let hotwords = match &self.hotwords {
            Some((embedder, speller)) if !options.hotwords.is_empty() => {
                Some(embedder.list(&options.hotwords, speller)?)
            }
            _ => None,
        };
        let rows = self.frontend.rows(samples);
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let encoded = self.networks.encode(&rows)?;
        let fired = self.networks.integrate(&encoded)?;
        if fired.tokens == 0 {
            return Ok(Vec::new());
        }
        let logits = self.networks.decode(&encoded, &fired, hotwords.as_deref())?;
        let tokens = greedy(&logits, self.bias);
        let mut spans = match self.networks.upsampled(&encoded, fired.tokens)? {
            Some(weights) => timestamps::by_predictor(&weights, tokens.len()),
            None => {
                let rows: Vec<usize> = tokens.iter().map(|token| token.row).collect();
                timestamps::by_weights(&encoded.weights, &rows)
            }
        };
        timestamps::tidy(&mut spans, samples.len() as f64 / SAMPLE_RATE);
        Ok(tokens.into_iter().zip(spans).collect())
    }

    fn text(&self, tokens: &[(Token, timestamps::Span)]) -> Text {
        let symbols: Vec<&str> = tokens
            .iter()
            .map(|(token, _)| self.tokens.symbol(token.id).unwrap_or_default())
            .collect();
        if self.pieces { text::join_pieces(&symbols) } else { text::join(&symbols) }
    }
}

impl Recognizer for Paraformer {
    fn description(&self) -> &Description {
        &self.description
    }

    fn max_seconds(&self) -> f64 {
        MAX_SECONDS
    }

    fn fixed_window(&self) -> bool {
        false
    }

    fn punctuates(&self, _normalize: bool) -> bool {
        false
    }

    fn takes_hotwords(&self) -> bool {
        self.hotwords.is_some()
    }

    fn check_hotwords(&self, hotwords: &[String]) -> Result<(), Error> {
        match &self.hotwords {
            Some((_, speller)) if !hotwords.is_empty() => speller.spell_all(hotwords).map(drop),
            _ => Ok(()),
        }
    }

    /// One hypothesis at most; none where nothing is said. The model knows its languages by itself:
    /// to name one of them has no effect.
    fn recognize(&self, samples: &[f32], options: &RecognizeOptions) -> Result<Recognition, Error> {
        if let Some(code) = &options.language
            && !self.description.languages.contains(code)
        {
            return Err(Error::UnknownLanguage(code.clone()));
        }
        let tokens = self.tokens(samples, options)?;
        let Text { sentence, words } = self.text(&tokens);
        let words: Vec<Word> = words
            .into_iter()
            .filter_map(|word| {
                let said = tokens.get(word.tokens)?;
                let ((_, first), (_, last)) = (said.first()?, said.last()?);
                Some(Word {
                    start: first.start,
                    end: last.end,
                    text: word.text,
                    log_probability: mean(said),
                })
            })
            .collect();
        let (Some(first), Some(last)) = (words.first(), words.last()) else {
            return Ok(Recognition::default());
        };
        let hypothesis = Hypothesis {
            start: first.start,
            end: last.end,
            text: sentence,
            tokens: tokens.iter().map(|(token, _)| token.id).collect(),
            log_probability: mean(&tokens),
            words,
            ..Hypothesis::default()
        };
        Ok(Recognition { hypotheses: vec![hypothesis], detected_language: None })
    }
}

fn mean(tokens: &[(Token, timestamps::Span)]) -> f32 {
    tokens.iter().map(|(token, _)| token.log_probability).sum::<f32>() / tokens.len() as f32
}

/// Opens SeACo's embedder, quantized as the rest if there is such a file.
fn embedder(
    directory: &Path,
    precision: &str,
    networks: &Networks,
) -> Result<(Embedder, PathBuf), Error> {
    let names: &[&str] = match precision {
        "int8" => &["model_eb_quant.onnx", "model_eb.onnx"],
        _ => &["model_eb.onnx"],
    };
    let path = files::need(directory, names)?;
    let embedder = Embedder::open(&path, networks.width(), networks.vocabulary())?;
    Ok((embedder, path))
}

/// A file exported with other settings would give other words.
fn check_predictor(config: &Config, networks: &Networks, model: &Path) -> Result<(), Error> {
    let predictor = &config.predictor_conf;
    if predictor.threshold != 1.0 {
        let message = format!(
            "is used with a predictor that fires at {}, which is not supported, only at 1",
            predictor.threshold
        );
        return Err(broken(model, message));
    }
    match predictor.tail_threshold {
        Some(tail) if (tail - networks.tail()).abs() > 1e-3 => {
            let message = format!(
                "adds a weight of {} after the last frame, but its configuration says {tail}: the \
                 two are of different models",
                networks.tail()
            );
            Err(broken(model, message))
        }
        _ => Ok(()),
    }
}

/// Models for Chinese read English too.
fn languages(config: &Config, tokens: &Tokens) -> Vec<String> {
    let told = config.lang.as_deref().and_then(|lang| lang.split('-').next());
    let ideographs = || {
        let ideograph = |char| matches!(char, '\u{4e00}'..='\u{9fff}');
        tokens.symbols().iter().any(|symbol| symbol.starts_with(ideograph))
    };
    let languages: &[&str] = match told {
        Some("en") => &["en"],
        Some("zh") => &["zh", "en"],
        Some(other) if !other.is_empty() => &[other],
        _ if ideographs() => &["zh", "en"],
        _ => &["en"],
    };
    languages.iter().map(|&code| code.to_owned()).collect()
}

fn has_pieces(config: &Config, tokens: &Tokens) -> bool {
    config.lang.as_deref() == Some("en-bpe")
        || tokens.symbols().iter().any(|symbol| symbol.starts_with('\u{2581}'))
}
