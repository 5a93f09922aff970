//! Whisper, from model directories in CTranslate2's format.
//!
//! `weights` reads `model.bin`; `network` builds and runs encoder and decoder; `mel` turns audio
//! into the encoder's input, `decode` the decoder's logits into tokens, `tokenizer` these into text,
//! and `passes` goes through the audio.

mod config;
mod decode;
mod mel;
pub mod network;
mod passes;
mod segments;
mod settings;
#[cfg(test)]
mod tests;
mod tokenizer;
pub mod weights;

use std::{path::Path, sync::Arc};

pub use settings::Settings;

use self::{
    config::{Config, vocabulary_size},
    decode::{Decoder, Decoding, Rules, likeliest},
    mel::LogMel,
    network::{DecoderState, EncodedAudio, Network, Precision},
    passes::{Model, Passes},
    tokenizer::Tokenizer,
};
use crate::{
    files::{self, broken},
    recognizer::{Description, Error, LanguageGuess, Options, Recognition, Recognizer},
};

const MODEL: &str = "model.bin";
const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";

/// One Whisper model, for all threads.
pub struct Whisper {
    description: Description,
    settings: Settings,
    network: Network,
    tokenizer: Tokenizer,
    log_mel: LogMel,
    rules: Rules,
    multilingual: bool,
}

/// OpenAI's first multilingual vocabulary; the English-only one has a token less.
const MULTILINGUAL_VOCABULARY: usize = 51_865;

/// Encoder positions per second of audio; also the timestamps'.
const POSITIONS_PER_SECOND: f64 = 50.0;

/// Three steps of 16-bit PCM. Where nothing is louder, nothing is said; Whisper hears "you" there.
const DIGITAL_SILENCE: f32 = 1e-4;

impl Whisper {
    /// Opens a model directory as CTranslate2 writes it: `model.bin`, `config.json` and
    /// `tokenizer.json`. `name` is what transcripts call the model.
    ///
    /// # Errors
    /// [`Error::Model`] names the file that is missing, broken, or does not fit the others.
    pub fn open(directory: &Path, name: &str, settings: Settings) -> Result<Self, Error> {
        settings.validate(directory)?;
        for file in [MODEL, CONFIG, TOKENIZER] {
            if !directory.join(file).is_file() {
                return Err(missing(directory, file));
            }
        }
        let config = Config::read(&directory.join(CONFIG))?;
        let tokenizer_path = directory.join(TOKENIZER);
        let tokenizer = Tokenizer::open(&tokenizer_path)?;
        let network = Network::open(directory, settings.precision)?;
        check_vocabulary(directory, &tokenizer, &network)?;

        let multilingual = network.dimensions().vocabulary >= MULTILINGUAL_VOCABULARY;
        if multilingual && (tokenizer.languages.is_empty() || tokenizer.transcribe.is_none()) {
            return Err(broken(&tokenizer_path, "lacks the tokens of a multilingual model"));
        }
        let languages = if multilingual {
            tokenizer.languages.iter().map(|(code, _)| code.clone()).collect()
        } else {
            vec!["en".to_owned()]
        };
        let files = [MODEL, CONFIG, TOKENIZER].map(|file| directory.join(file));
        let digest = files::digest(&files, &format!("{settings:?}"))?;
        Ok(Self {
            description: Description {
                name: name.to_owned(),
                family: "whisper",
                precision: match settings.precision {
                    Precision::F32 => "f32",
                    Precision::Bf16 => "bf16",
                    Precision::Int8 => "int8",
                },
                digest,
                languages,
            },
            log_mel: LogMel::new(network.dimensions().mels),
            rules: rules(&tokenizer, &config, &settings)
                .map_err(|error| broken(&tokenizer_path, error.to_string()))?,
            settings,
            network,
            tokenizer,
            multilingual,
        })
    }

    /// Index among the tokenizer's languages, and probability.
    fn guess_language(&self, audio: &Arc<EncodedAudio>) -> Result<(usize, f32), Error> {
        let mut logits = Vec::new();
        self.network.decoder(audio).step(&[self.tokenizer.start_of_transcript], &mut logits)?;
        let tokens: Vec<u32> = self.tokenizer.languages.iter().map(|&(_, token)| token).collect();
        likeliest(&logits, &tokens)
            .ok_or_else(|| Error::Network("no language has a finite score".into()))
    }

    fn decoding<'a>(&'a self, text: &'a dyn Fn(&[u32]) -> String) -> Decoding<'a> {
        Decoding {
            settings: &self.settings,
            rules: &self.rules,
            no_speech: self.tokenizer.no_speech,
            text_context: self.network.dimensions().text_context,
            text,
        }
    }

    /// The tokens that say what follows: `<|startoftranscript|>`, and for multilingual models the
    /// language and the task.
    fn header(&self, language: Option<u32>) -> Vec<u32> {
        let mut header = vec![self.tokenizer.start_of_transcript];
        if self.multilingual {
            header.extend(language);
            header.extend(self.tokenizer.transcribe);
        }
        header
    }

    /// The token of a language this model knows.
    fn language_token(&self, code: &str) -> Result<Option<u32>, Error> {
        let token = self.tokenizer.language(code);
        let known = if self.multilingual { token.is_some() } else { code == "en" };
        if known { Ok(token) } else { Err(Error::UnknownLanguage(code.to_owned())) }
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

    fn keeps_language(&self) -> bool {
        self.multilingual
    }

    /// Audio of any length; without a language a multilingual model goes by its own guess.
    fn recognize(&self, samples: &[f32], options: &Options) -> Result<Recognition, Error> {
        let told = match &options.language {
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
        };
        let mut guess = None;
        let hypotheses = passes.run(&self.network, &features, |audio| {
            if !self.multilingual || told.is_some() {
                return Ok(self.header(told));
            }
            let (index, probability) = self.guess_language(audio)?;
            let (language, token) = &self.tokenizer.languages[index];
            guess = Some(LanguageGuess { language: language.clone(), probability });
            Ok(self.header(Some(*token)))
        })?;
        Ok(Recognition { hypotheses, guess })
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
}

/// The network with the cache of one window.
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
    settings: &Settings,
) -> Result<Rules, tokenizers::Error> {
    Ok(Rules {
        end_of_text: tokenizer.end_of_text,
        no_timestamps: tokenizer.no_timestamps,
        timestamp_begin: tokenizer.timestamp_begin(),
        max_initial_timestamp: (f64::from(settings.max_initial_timestamp) * POSITIONS_PER_SECOND)
            .round() as u32,
        suppressed: tokenizer.suppressed()?,
        suppressed_at_begin: match &config.suppress_ids_begin {
            Some(tokens) => tokens.clone(),
            None => tokenizer.suppressed_at_begin()?,
        },
    })
}

/// Files of two models in one directory give text that is wrong in every word.
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
            "is for {expected} tokens, but {MODEL} has {}: they are of different models",
            dimensions.vocabulary
        );
        return Err(broken(&directory.join(TOKENIZER), message));
    }
    match vocabulary_size(directory)? {
        Some(size) if size != dimensions.vocabulary => {
            let message = format!(
                "its vocabulary file has {size} tokens, but {MODEL} has {}: they are of different \
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
            "models converted before 2023 lack it: take it from the model's repository, or convert \
             anew with `--copy_files tokenizer.json`"
        }
        _ => "a directory as CTranslate2 writes it is needed",
    };
    broken(&directory.join(file), format!("is missing; {advice}"))
}
