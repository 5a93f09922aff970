//! Whisper, from model directories in CTranslate2's format.
//!
//! `weights` reads `model.bin`, and `network` builds and runs the encoder and the decoder. `mel`
//! computes the encoder's input, `decode` chooses tokens from the decoder's logits, and `tokenizer`
//! turns tokens into text. `passes` recognizes audio of any length, and `segments` splits its tokens
//! at timestamps.

mod config;
mod decode;
mod mel;
pub mod network;
mod options;
mod passes;
mod segments;
#[cfg(test)]
mod tests;
mod tokenizer;
pub mod weights;
mod words;

use std::{path::Path, sync::Arc};

pub use options::WhisperOptions;

use self::{
    config::{Config, vocabulary_size},
    decode::{Decoder, Decoding, Rules, arg_max_of},
    mel::LogMel,
    network::{DecoderState, EncodedAudio, Network},
    passes::{Header, Model, Passes},
    tokenizer::Tokenizer,
};
use crate::{
    files::{self, broken, broken_by},
    recognizer::{Description, DetectedLanguage, Error, Recognition, RecognizeOptions, Recognizer},
};

const MODEL: &str = "model.bin";
const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";

/// A Whisper model, shared by all threads.
pub struct Whisper {
    description: Description,
    options: WhisperOptions,
    network: Network,
    tokenizer: Tokenizer,
    log_mel: LogMel,
    rules: Rules,
    multilingual: bool,
}

/// Encoder positions, and steps of timestamps, per second of audio.
const POSITIONS_PER_SECOND: f64 = 50.0;

/// Three steps of 16-bit PCM. Audio that is nowhere louder is silence, for which Whisper would
/// invent text such as "you".
const DIGITAL_SILENCE: f32 = 1e-4;

/// See [`Recognizer::foreign_below`]. docs/models.md says how it was measured.
const FOREIGN_BELOW: f32 = -0.75;

impl Whisper {
    /// Opens a model directory in CTranslate2's format: `model.bin`, `config.json` and
    /// `tokenizer.json`. `name` is the name of the model in transcripts.
    ///
    /// # Errors
    /// [`Error::Model`] names the file that is missing or broken or does not fit the others, or the
    /// option that is out of range.
    pub fn open(directory: &Path, name: &str, options: WhisperOptions) -> Result<Self, Error> {
        options.validate(directory)?;
        for file in [MODEL, CONFIG, TOKENIZER] {
            if !directory.join(file).is_file() {
                return Err(missing(directory, file));
            }
        }
        let config = Config::read(&directory.join(CONFIG))?;
        let tokenizer_path = directory.join(TOKENIZER);
        let tokenizer = Tokenizer::open(&tokenizer_path)?;
        let network = Network::open(directory, options.precision, &config.alignment_heads)?;
        check_vocabulary(directory, &tokenizer, &network)?;

        let multilingual = network.dimensions().is_multilingual();
        if multilingual && (tokenizer.languages.is_empty() || tokenizer.transcribe.is_none()) {
            return Err(broken(&tokenizer_path, "lacks the tokens of a multilingual model"));
        }
        let languages = if multilingual {
            tokenizer.languages.iter().map(|(code, _)| code.clone()).collect()
        } else {
            vec!["en".to_owned()]
        };
        let files = [MODEL, CONFIG, TOKENIZER].map(|file| directory.join(file));
        let digest = files::digest(&files, &options.digest_text())?;
        Ok(Self {
            description: Description {
                name: name.to_owned(),
                family: "whisper",
                precision: options.precision.as_str(),
                digest,
                languages,
            },
            log_mel: LogMel::new(network.dimensions().mels),
            rules: rules(&tokenizer, &config, &options)
                .map_err(|error| broken_by(&tokenizer_path, "cannot encode text", error))?,
            options,
            network,
            tokenizer,
            multilingual,
        })
    }

    /// Detects the language. Returns its index in the tokenizer's list, and its probability.
    fn detect_language(&self, audio: &Arc<EncodedAudio>) -> Result<(usize, f32), Error> {
        let mut logits = Vec::new();
        self.network.decoder(audio).step(&[self.tokenizer.start_of_transcript], &mut logits)?;
        let tokens: Vec<u32> = self.tokenizer.languages.iter().map(|&(_, token)| token).collect();
        arg_max_of(&logits, &tokens)
            .ok_or_else(|| Error::Network("no language has a finite score".into()))
    }

    fn decoding<'a>(&'a self, text: &'a dyn Fn(&[u32]) -> String) -> Decoding<'a> {
        Decoding {
            options: &self.options,
            rules: &self.rules,
            no_speech: self.tokenizer.no_speech,
            text_context: self.network.dimensions().text_context,
            text,
        }
    }

    /// Returns the tokens that start a transcript: `<|startoftranscript|>`, and for multilingual
    /// models the language and the task.
    fn header(&self, language: Option<u32>, translate: bool) -> Vec<u32> {
        let mut header = vec![self.tokenizer.start_of_transcript];
        if self.multilingual {
            header.extend(language);
            header.extend(match translate {
                true => self.tokenizer.translate,
                false => self.tokenizer.transcribe,
            });
        }
        header
    }

    /// Encodes text that precedes a transcript.
    fn text_tokens(&self, text: &str) -> Result<Vec<u32>, Error> {
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        self.tokenizer
            .encode(&format!(" {}", text.trim()))
            .map_err(|error| Error::Network(format!("the prompt cannot be encoded: {error}")))
    }

    /// Returns the token of a language, or an error if the model does not know the language.
    fn language_token(&self, code: &str) -> Result<Option<u32>, Error> {
        let token = self.tokenizer.language(code);
        let known = if self.multilingual { token.is_some() } else { code == "en" };
        if known { Ok(token) } else { Err(self.description.unknown_language(code)) }
    }
}

impl Recognizer for Whisper {
    fn description(&self) -> &Description {
        &self.description
    }

    fn max_seconds(&self) -> f64 {
        self.network.dimensions().audio_context as f64 / POSITIONS_PER_SECOND
    }

    fn fixed_window(&self) -> bool {
        true
    }

    fn punctuates(&self, _normalize: bool) -> bool {
        true
    }

    fn takes_hotwords(&self) -> bool {
        self.tokenizer.start_of_previous.is_some()
    }

    fn takes_prompt(&self) -> bool {
        self.tokenizer.start_of_previous.is_some()
    }

    fn translates(&self) -> bool {
        self.multilingual && self.tokenizer.translate.is_some()
    }

    fn keeps_language(&self) -> bool {
        self.multilingual
    }

    fn foreign_below(&self) -> Option<f32> {
        (!self.multilingual).then_some(FOREIGN_BELOW)
    }

    /// Recognizes audio of any length. Without a language in the options, a multilingual model uses
    /// the one that it detects.
    fn recognize(&self, samples: &[f32], options: &RecognizeOptions) -> Result<Recognition, Error> {
        let given = match &options.language {
            Some(code) => self.language_token(code)?,
            None => None,
        };
        if !samples.iter().any(|sample| sample.abs() > DIGITAL_SILENCE) {
            return Ok(Recognition::default());
        }
        let features = self.log_mel.compute(samples);
        let text = |tokens: &[u32]| self.tokenizer.text(tokens);
        let passes = Passes {
            decoding: self.decoding(&text),
            window: self.network.dimensions().frames(),
            start_of_previous: self.tokenizer.start_of_previous,
            hotwords: self.text_tokens(&options.hotwords.join(", "))?,
            initial_prompt: self.text_tokens(options.prompt.as_deref().unwrap_or_default())?,
            word_times: options.word_times,
        };
        let mut detected_language = None;
        let hypotheses = passes.run(&self.network, &features, |audio| {
            if !self.multilingual || given.is_some() {
                let language = options.language.as_deref();
                let spaced = options.translate || language.is_none_or(words::is_spaced);
                return Ok(Header { tokens: self.header(given, options.translate), spaced });
            }
            let (index, probability) = self.detect_language(audio)?;
            let (language, token) = &self.tokenizer.languages[index];
            detected_language = Some(DetectedLanguage { language: language.clone(), probability });
            Ok(Header {
                tokens: self.header(Some(*token), options.translate),
                spaced: options.translate || words::is_spaced(language),
            })
        })?;
        Ok(Recognition { hypotheses, detected_language })
    }
}

impl Model for Network {
    type Audio = Arc<EncodedAudio>;
    type Decoder<'a> = NetworkDecoder<'a>;

    fn encode(&self, mel: &[f32]) -> Result<Self::Audio, Error> {
        Network::encode(self, mel)
    }

    fn decoder(&self, audio: &Self::Audio) -> NetworkDecoder<'_> {
        NetworkDecoder { network: self, state: self.start(audio.clone()) }
    }

    fn attention(
        &self,
        audio: &Self::Audio,
        tokens: &[u32],
        positions: usize,
        each: impl FnMut(&[f32]),
    ) -> Result<(), Error> {
        Network::attention(self, audio, tokens, positions, each)
    }
}

/// The decoder network with the cache of one window.
struct NetworkDecoder<'a> {
    network: &'a Network,
    state: DecoderState,
}

impl Decoder for NetworkDecoder<'_> {
    fn step(&mut self, tokens: &[u32], logits: &mut Vec<f32>) -> Result<(), Error> {
        self.network.step(&mut self.state, tokens, logits)
    }

    fn reorder(&mut self, parents: &[usize]) -> Result<(), Error> {
        self.network.reorder(&mut self.state, parents)
    }
}

fn rules(
    tokenizer: &Tokenizer,
    config: &Config,
    options: &WhisperOptions,
) -> Result<Rules, tokenizers::Error> {
    Ok(Rules {
        end_of_text: tokenizer.end_of_text,
        no_timestamps: tokenizer.no_timestamps,
        timestamp_begin: tokenizer.timestamp_begin(),
        max_initial_timestamp: (f64::from(options.max_initial_timestamp) * POSITIONS_PER_SECOND)
            .round() as u32,
        suppressed: tokenizer.suppressed()?,
        suppressed_at_begin: match &config.suppress_ids_begin {
            Some(tokens) => tokens.clone(),
            None => tokenizer.suppressed_at_begin()?,
        },
    })
}

/// Checks that the files are of one model. Otherwise every word of the text would be wrong.
fn check_vocabulary(
    directory: &Path,
    tokenizer: &Tokenizer,
    network: &Network,
) -> Result<(), Error> {
    let dimensions = network.dimensions();
    let timestamps = dimensions.audio_context + 1;
    let expected = tokenizer.timestamp_begin() as usize + timestamps;
    if expected != dimensions.vocabulary {
        let message = format!(
            "is for {expected} tokens, but {MODEL} has {}: they belong to different models",
            dimensions.vocabulary
        );
        return Err(broken(&directory.join(TOKENIZER), message));
    }
    match vocabulary_size(directory)? {
        Some(size) if size != dimensions.vocabulary => {
            let message = format!(
                "its vocabulary file has {size} tokens, but {MODEL} has {}: they belong to different \
                 models",
                dimensions.vocabulary
            );
            Err(broken(directory, message))
        }
        _ => Ok(()),
    }
}

fn missing(directory: &Path, file: &str) -> Error {
    let advice = match file {
        TOKENIZER => {
            "models converted before 2023 lack it: download it from the model's repository, or \
             convert the model again with `--copy_files tokenizer.json`"
        }
        _ => "the directory must be in CTranslate2's format",
    };
    broken(&directory.join(file), format!("is missing; {advice}"))
}

/// Reads the files of an untrusted directory one by one, for the fuzzers.
#[cfg(feature = "test-util")]
pub(crate) fn read_untrusted(directory: &Path) {
    let _ = vocabulary_size(directory);
    let config = Config::read(&directory.join(CONFIG)).unwrap_or_default();
    if let Ok(tokenizer) = Tokenizer::open(&directory.join(TOKENIZER)) {
        let _ = rules(&tokenizer, &config, &WhisperOptions::default());
        let _ = (tokenizer.text(&[0, 1, 2]), tokenizer.timestamp_begin());
    }
    if let Ok(weights) = weights::Weights::open(&directory.join(MODEL)) {
        weights.read_all();
        let _ =
            Network::open(directory, WhisperOptions::default().precision, &config.alignment_heads);
    }
}
