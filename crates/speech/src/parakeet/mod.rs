//! Parakeet-TDT, from the ONNX files of onnx-asr and sherpa-onnx.
//!
//! Parakeet is a FastConformer encoder with a transducer that predicts tokens and their durations
//! (<https://arxiv.org/abs/2304.06795>). `files` finds the parts of a model, `mel` computes features,
//! `encoder` turns them into frames, and `decode` these into tokens, with the networks of `decoder`:
//! `prediction` and `joint`, whose `weights` are read from the file. `vocabulary` says what tokens stand for,
//! `words` joins them, `script` knows which a language cannot have, and `padding` adds the silence that the
//! model needs.

mod decode;
mod decoder;
mod encoder;
mod files;
mod joint;
mod mel;
mod padding;
mod prediction;
mod script;
#[cfg(test)]
mod tests;
mod vocabulary;
mod weights;
mod words;

use std::path::Path;

use self::{
    decode::{Token, Transducer, greedy},
    decoder::Decoder,
    encoder::Encoder,
    files::Files,
    mel::LogMel,
    padding::{Decoded, MAX_PADDING, decode_padded},
    script::Masks,
    vocabulary::Vocabulary,
};
use crate::{
    files::broken,
    recognizer::{
        Description, Error, Hypothesis, Precision, Recognition, RecognizeOptions, Recognizer,
    },
};

/// Maximum length of a segment, in seconds: the model was trained on little that is longer, and passes over
/// words in what is much longer.
const MAX_SECONDS: f64 = 30.0;
const SAMPLE_RATE: f64 = 16_000.0;

/// A Parakeet-TDT model, shared by all threads.
///
/// ```no_run
/// # use speech::{recognizer::Recognizer, parakeet::Parakeet};
/// # let (directory, samples) = (std::path::Path::new(""), [0.0; 16_000]);
/// let model = Parakeet::open(directory, "parakeet-tdt-0.6b-v3", Default::default())?;
/// for hypothesis in model.recognize(&samples, &Default::default())?.hypotheses {
///     println!("{} ({:.2} s)", hypothesis.text, hypothesis.end);
/// }
/// # Ok::<(), speech::recognizer::Error>(())
/// ```
pub struct Parakeet {
    description: Description,
    mel: LogMel,
    encoder: Encoder,
    decoder: Decoder,
    vocabulary: Vocabulary,
    masks: Masks,
}

impl Parakeet {
    /// Opens a model directory: an encoder, a decoder or sherpa-onnx's decoder and joiner, in ONNX, and a
    /// vocabulary, each recognized by what it holds. Where there are files of floats and quantized ones, the
    /// floats are taken, and quantized here for int8, which costs less accuracy. `precision`: int8 if `None`.
    /// Transcripts call the model `name`.
    ///
    /// # Errors
    /// [`Error::Model`] names the file that is missing, broken, or does not fit the others.
    pub fn open(directory: &Path, name: &str, precision: Option<Precision>) -> Result<Self, Error> {
        let precision = precision.unwrap_or(Precision::Int8);
        let mut files = Files::list(directory)?;
        let decoder_files = files.decoder(precision)?;
        let encoder_file = files.encoder(precision)?;
        drop(files);
        let decoder = Decoder::open(&decoder_files, precision)?;
        let vocabulary = files::vocabulary(directory, decoder.blank())?;
        let languages = script::languages(vocabulary.pieces());
        if languages.is_empty() {
            let message =
                "has the letters of none of the languages that this program knows for Parakeet";
            return Err(broken(vocabulary.path(), message));
        }
        let encoder = Encoder::open(&encoder_file, precision)?;
        if encoder.width() != decoder.frame_width() {
            let message = format!(
                "takes frames of {} values, but the encoder gives {}: the files are from different models",
                decoder.frame_width(),
                encoder.width()
            );
            return Err(broken(decoder_files.joint().path(), message));
        }
        let mut paths = files::all(&encoder_file);
        paths.extend(decoder_files.paths());
        paths.push(vocabulary.path().to_owned());
        Ok(Self {
            description: Description {
                name: name.to_owned(),
                family: "parakeet",
                precision: precision.as_str(),
                digest: crate::files::digest(&paths, precision.as_str())?,
                languages,
            },
            mel: LogMel::new(encoder.mels()),
            masks: Masks::new(vocabulary.pieces()),
            encoder,
            decoder,
            vocabulary,
        })
    }

    /// Encodes samples, for measurements.
    ///
    /// # Errors
    /// [`Error::Network`] for more samples than the encoder takes at once.
    #[doc(hidden)]
    pub fn encode(&self, samples: &[f32]) -> Result<Vec<f32>, Error> {
        self.encoder.run(&self.mel.compute(samples))
    }

    /// Runs steps of the decoder over frames of the encoder, each with a token or each with a blank, for
    /// measurements: greedy decoding of random weights takes tokens as no speech has them.
    ///
    /// # Errors
    /// [`Error::Network`] if there are no frames.
    #[doc(hidden)]
    pub fn decode_steps(&self, encoded: &[f32], steps: usize, blanks: bool) -> Result<(), Error> {
        let frames = encoded.len() / self.decoder.frame_width();
        if frames == 0 {
            return Err(Error::Network("no frames to decode".to_owned()));
        }
        let mut segment = self.decoder.segment(encoded);
        for step in 0..steps {
            segment.scores(step % frames);
            if !blanks {
                segment.take(step % self.decoder.blank());
            }
        }
        Ok(())
    }

    /// Returns the tokens of samples, which are at least two frames long.
    fn tokens(&self, samples: &[f32], forbidden: &[bool]) -> Result<Vec<Token>, Error> {
        let frames = self.encode(samples)?;
        if frames.iter().any(|value| !value.is_finite()) {
            return Err(Error::Network("the encoder's output is not finite".to_owned()));
        }
        let count = frames.len() / self.decoder.frame_width();
        greedy(&mut self.decoder.segment(&frames), count, self.decoder.blank(), forbidden)
    }
}

impl Recognizer for Parakeet {
    fn description(&self) -> &Description {
        &self.description
    }

    fn max_seconds(&self) -> f64 {
        let longest = (self.encoder.max_frames() * mel::HOP) as f64 / SAMPLE_RATE - MAX_PADDING;
        longest.clamp(1.0, MAX_SECONDS)
    }

    fn fixed_window(&self) -> bool {
        false
    }

    fn punctuates(&self, _: bool) -> bool {
        true
    }

    /// Returns at most one hypothesis. A language only rules out other scripts: the model has none to be
    /// told, and does not tell which it heard.
    fn recognize(&self, samples: &[f32], options: &RecognizeOptions) -> Result<Recognition, Error> {
        let language = options.language.as_deref();
        if let Some(language) =
            language.filter(|&code| !self.description.languages.iter().any(|known| known == code))
        {
            return Err(self.description.unknown_language(language));
        }
        // Less than 20 ms have no features, and no word.
        if samples.len() < 2 * mel::HOP {
            return Ok(Recognition::default());
        }
        let pieces = self.vocabulary.pieces();
        let forbidden = self.masks.forbidden(language);
        let is_text =
            |token: &Token| pieces.get(token.id).is_some_and(|piece| piece.text().is_some());
        let Decoded { tokens, lead } =
            decode_padded(samples, |samples| self.tokens(samples, forbidden), is_text)?;
        let said = words::said(&tokens, pieces, lead, samples.len() as f64 / SAMPLE_RATE);
        let hypothesis = Hypothesis {
            start: said.words.first().map_or(0.0, |word| word.start),
            end: said.words.last().map_or(0.0, |word| word.end),
            text: said.text,
            tokens: said.tokens,
            log_probability: said.log_probability,
            words: said.words,
            ..Hypothesis::default()
        };
        let has_text = !hypothesis.text.is_empty();
        Ok(Recognition {
            hypotheses: has_text.then_some(hypothesis).into_iter().collect(),
            detected_language: None,
        })
    }
}

/// Reads the vocabulary of an untrusted directory, for the fuzzers.
#[cfg(feature = "test-util")]
pub(crate) fn read_untrusted(directory: &Path) {
    for name in ["vocab.txt", "tokens.txt"] {
        let Ok(vocabulary) = Vocabulary::read(&directory.join(name)) else { continue };
        let pieces = vocabulary.pieces();
        let masks = Masks::new(pieces);
        for language in script::languages(pieces) {
            let forbidden = masks.forbidden(Some(&language)).len();
            assert!(forbidden == 0 || forbidden == pieces.len());
        }
        let token = |id| Token { id, frame: id, duration: 1, log_probability: 0.0 };
        let tokens: Vec<Token> = (0..pieces.len()).map(token).collect();
        let said = words::said(&tokens, pieces, 0.5, 30.0);
        assert!(said.words.iter().all(|word| word.start <= word.end && word.end <= 30.0));
    }
}
