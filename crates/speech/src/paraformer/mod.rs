//! Paraformer (<https://arxiv.org/abs/2206.08317>), from FunASR's and sherpa-onnx's ONNX files.
//!
//! Paraformer is a parallel model: an encoder, a predictor that counts and locates the tokens, and
//! a decoder that recognizes all of them at once. `network` cuts the file's graph into these parts
//! at the `anchors`, `cif` integrates the encoder's frames into token embeddings, `decode` turns
//! the decoder's output into tokens, `timestamps` computes their times, and `hotwords` embeds
//! hotwords. Four kinds of file are supported: plain ones with either variant of integration, BiCif
//! with timestamps, and SeACo with timestamps and hotwords.

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
    hotwords::{HotwordEmbedder, HotwordTokenizer},
    network::Networks,
};
use crate::{
    features::Frontend,
    files::{self, broken, find},
    funasr::{
        ConfigYaml, ModelSettings, Vocabulary, Weights,
        text::{self, JoinedText},
    },
    recognizer::{
        Description, Error, Hypothesis, Precision, Recognition, RecognizeOptions, Recognizer, Word,
    },
};

/// Maximum length of a segment, in seconds: that of FunASR's voice activity detection.
const MAX_SECONDS: f64 = 60.0;
const SAMPLE_RATE: f64 = 16_000.0;

/// A Paraformer model, shared by all threads.
///
/// ```no_run
/// # use speech::{paraformer::Paraformer, recognizer::Recognizer};
/// # let (directory, samples) = (std::path::Path::new(""), [0.0; 16_000]);
/// let model = Paraformer::open(directory, "paraformer-zh", Default::default())?;
/// for hypothesis in model.recognize(&samples, &Default::default())?.hypotheses {
///     println!("{:.2} {}", hypothesis.start, hypothesis.text);
/// }
/// # Ok::<(), speech::recognizer::Error>(())
/// ```
pub struct Paraformer {
    description: Description,
    frontend: Frontend,
    networks: Networks,
    vocabulary: Arc<Vocabulary>,
    /// Whether tokens are SentencePiece's, which contain the spaces between words.
    uses_sentencepiece: bool,
    /// Tokens that the predictor counts in addition to those of the text.
    bias: usize,
    hotwords: Option<(HotwordEmbedder, HotwordTokenizer)>,
}

impl Paraformer {
    /// Opens a model directory in FunASR's layout (`model_quant.onnx` or `model.onnx`,
    /// `config.yaml`, `am.mvn`, `tokens.json`; for SeACo also `model_eb.onnx`, and optionally
    /// `seg_dict`) or in sherpa-onnx's (`model.int8.onnx` or `model.onnx`, `tokens.txt`).
    /// Transcripts call the model `name`.
    ///
    /// # Errors
    /// [`Error::Model`] names the file that is missing, broken, or does not fit the others.
    pub fn open(directory: &Path, name: &str, precision: Option<Precision>) -> Result<Self, Error> {
        let weights = Weights::find(directory, precision)?;
        let file = weights.open()?;
        let settings = ModelSettings::open(directory, &weights.path, |key| file.metadata(key))?;
        let networks = Networks::open(&file, settings.frontend.width())?;
        check_predictor(&settings.config, &networks, &weights.path)?;
        // Settings from metadata have no token list, so the path does not matter for them.
        let config_path = settings.files.first().unwrap_or(&weights.path);
        let vocabulary =
            Vocabulary::open_or(directory, settings.config.token_list.clone(), config_path)?;
        vocabulary.check_size(networks.vocabulary())?;
        let vocabulary = Arc::new(vocabulary);

        let mut files = vec![weights.path.clone()];
        files.extend(settings.files);
        if !files.iter().any(|path| path == vocabulary.path()) {
            files.push(vocabulary.path().to_owned());
        }
        let hotwords = if networks.takes_hotwords() {
            let (embedder, path) = embedder(directory, weights.precision, &networks)?;
            let seg_dict = find(directory, &["seg_dict"]);
            let tokenizer = HotwordTokenizer::new(vocabulary.clone(), seg_dict.as_deref())?;
            files.push(path);
            files.extend(seg_dict);
            Some((embedder, tokenizer))
        } else {
            None
        };
        Ok(Self {
            description: Description {
                name: name.to_owned(),
                family: "paraformer",
                precision: weights.precision.as_str(),
                digest: files::digest(&files, weights.precision.as_str())?,
                languages: languages(&settings.config, &vocabulary),
            },
            frontend: settings.frontend,
            networks,
            uses_sentencepiece: uses_sentencepiece(&settings.config, &vocabulary),
            vocabulary,
            bias: settings.config.model_conf.predictor_bias,
            hotwords,
        })
    }

    /// Returns the feature front end.
    pub fn frontend(&self) -> &Frontend {
        &self.frontend
    }

    /// Recognizes the tokens of `samples`, and their times.
    fn tokens(
        &self,
        samples: &[f32],
        options: &RecognizeOptions,
    ) -> Result<Vec<(Token, timestamps::Span)>, Error> {
        // Before recognition, so that an unusable hotword is refused whatever the samples contain.
        let hotwords = match &self.hotwords {
            Some((embedder, tokenizer)) if !options.hotwords.is_empty() => {
                Some(embedder.embed_list(&options.hotwords, tokenizer)?)
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
        timestamps::clamp_spans(&mut spans, samples.len() as f64 / SAMPLE_RATE);
        Ok(tokens.into_iter().zip(spans).collect())
    }

    /// Joins the tokens to text.
    fn text(&self, tokens: &[(Token, timestamps::Span)]) -> JoinedText {
        let symbols: Vec<&str> = tokens
            .iter()
            .map(|(token, _)| self.vocabulary.symbol(token.id).unwrap_or_default())
            .collect();
        if self.uses_sentencepiece { text::join_pieces(&symbols) } else { text::join(&symbols) }
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
            Some((_, tokenizer)) if !hotwords.is_empty() => {
                tokenizer.tokenize_all(hotwords).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Returns at most one hypothesis, and none if nobody speaks. A language in the options is
    /// checked against those of the model, but has no other effect.
    fn recognize(&self, samples: &[f32], options: &RecognizeOptions) -> Result<Recognition, Error> {
        if let Some(code) = &options.language
            && !self.description.languages.contains(code)
        {
            return Err(self.description.unknown_language(code));
        }
        let tokens = self.tokens(samples, options)?;
        let JoinedText { sentence, words } = self.text(&tokens);
        let words: Vec<Word> = words
            .into_iter()
            .filter_map(|word| {
                let tokens = tokens.get(word.tokens)?;
                let ((_, first), (_, last)) = (tokens.first()?, tokens.last()?);
                Some(Word {
                    start: first.start,
                    end: last.end,
                    text: word.text,
                    log_probability: mean_log_probability(tokens),
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
            log_probability: mean_log_probability(&tokens),
            words,
            ..Hypothesis::default()
        };
        Ok(Recognition { hypotheses: vec![hypothesis], detected_language: None })
    }
}

fn mean_log_probability(tokens: &[(Token, timestamps::Span)]) -> f32 {
    tokens.iter().map(|(token, _)| token.log_probability).sum::<f32>() / tokens.len() as f32
}

/// Opens SeACo's hotword embedder: for int8 the quantized file, if there is one.
fn embedder(
    directory: &Path,
    precision: Precision,
    networks: &Networks,
) -> Result<(HotwordEmbedder, PathBuf), Error> {
    let names: &[&str] = match precision {
        Precision::Int8 => &["model_eb_quant.onnx", "model_eb.onnx"],
        _ => &["model_eb.onnx"],
    };
    let path = files::need(directory, names)?;
    let embedder = HotwordEmbedder::open(&path, networks.width(), networks.vocabulary())?;
    Ok((embedder, path))
}

/// Refuses settings that differ from those of the exported file, because the words would differ.
fn check_predictor(config: &ConfigYaml, networks: &Networks, model: &Path) -> Result<(), Error> {
    let predictor = &config.predictor_conf;
    if predictor.threshold != 1.0 {
        let message = format!(
            "is configured with a predictor that fires at {}, but only 1 is supported",
            predictor.threshold
        );
        return Err(broken(model, message));
    }
    match predictor.tail_threshold {
        Some(tail) if (tail - networks.tail()).abs() > 1e-3 => {
            let message = format!(
                "adds a weight of {} after the last frame, but its configuration says {tail}: the \
                 files are from different models",
                networks.tail()
            );
            Err(broken(model, message))
        }
        _ => Ok(()),
    }
}

/// Returns the languages of a model. Models for Chinese also recognize English.
fn languages(config: &ConfigYaml, vocabulary: &Vocabulary) -> Vec<String> {
    let configured = config.lang.as_deref().and_then(|lang| lang.split('-').next());
    let has_ideographs = || {
        let ideograph = |char| matches!(char, '\u{4e00}'..='\u{9fff}');
        vocabulary.symbols().iter().any(|symbol| symbol.starts_with(ideograph))
    };
    let languages: &[&str] = match configured {
        Some("en") => &["en"],
        Some("zh") => &["zh", "en"],
        Some(other) if !other.is_empty() => &[other],
        _ if has_ideographs() => &["zh", "en"],
        _ => &["en"],
    };
    languages.iter().map(|&code| code.to_owned()).collect()
}

fn uses_sentencepiece(config: &ConfigYaml, vocabulary: &Vocabulary) -> bool {
    config.lang.as_deref() == Some("en-bpe")
        || vocabulary.symbols().iter().any(|symbol| symbol.starts_with('\u{2581}'))
}

/// Reads the table of hotwords of an untrusted directory, for the fuzzers.
#[cfg(feature = "test-util")]
pub(crate) fn read_untrusted(directory: &Path) {
    let Ok(vocabulary) = Vocabulary::open(directory) else { return };
    let table = files::find(directory, &["seg_dict"]);
    if let Ok(tokenizer) = HotwordTokenizer::new(Arc::new(vocabulary), table.as_deref()) {
        let _ = tokenizer.tokenize_all(&["hello".to_owned(), "你好".to_owned()]);
    }
}
