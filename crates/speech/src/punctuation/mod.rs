//! Punctuation with FunASR's CT-Transformer.
//!
//! `settings` reads a model directory, `units` splits words into the network's units, `network`
//! computes the mark after each, `window` divides long texts, and [`join`] writes the result.

mod mark;
mod network;
mod settings;
mod streaming;
#[cfg(test)]
mod tests;
mod units;
mod window;

use std::path::Path;

pub(crate) use mark::is_unspaced;
pub use mark::{PunctuationMark, PunctuationStyle, join};
pub use streaming::{PunctuationUpdate, StreamingPunctuator};

use self::{network::Network, settings::PunctuationSettings};
use crate::{
    files,
    funasr::Weights,
    recognizer::{Error, Precision},
};

/// A punctuation model, shared by all threads.
///
/// ```no_run
/// # use speech::punctuation::{Punctuator, PunctuationStyle, join};
/// let punctuator = Punctuator::open("models/ct-punc".as_ref(), "ct-punc", Default::default())?;
/// let words = ["你", "好", "吗"];
/// let marks = punctuator.punctuate(&words)?;
/// println!("{}", join(&words, &marks, PunctuationStyle::Chinese));
/// # Ok::<(), speech::recognizer::Error>(())
/// ```
pub struct Punctuator {
    name: String,
    digest: String,
    precision: &'static str,
    settings: PunctuationSettings,
    network: Network,
}

impl Punctuator {
    /// Opens a model directory of FunASR (`model_quant.onnx` or `model.onnx`, `config.yaml` or
    /// `punc.yaml`, `tokens.json` or `tokens.txt`) or sherpa-onnx (`model.int8.onnx` or
    /// `model.onnx`), of the offline or the real-time variant. Transcripts call the model `name`.
    ///
    /// # Errors
    /// [`Error::Model`] names the file that is missing, broken, or does not fit the others.
    pub fn open(directory: &Path, name: &str, precision: Option<Precision>) -> Result<Self, Error> {
        let weights = Weights::find(directory, precision)?;
        let file = weights.open()?;
        let settings =
            PunctuationSettings::open(directory, &weights.path, |key| file.metadata(key))?;
        let network = Network::new(&file, &settings)?;
        if directory.join("jieba_usr_dict").is_file() {
            tracing::warn!(
                model = name,
                "this model was trained on segmented words, but gets single characters, which may \
                 cost some punctuation"
            );
        }
        let files = [vec![weights.path], settings.files.clone()].concat();
        Ok(Self {
            name: name.to_owned(),
            digest: files::digest(&files, weights.precision.as_str())?,
            precision: weights.precision.as_str(),
            settings,
            network,
        })
    }

    /// Returns whether the model in `directory` can run in `precision`: many of these models are
    /// only published quantized.
    pub fn is_available(directory: &Path, precision: Option<Precision>) -> bool {
        Weights::find(directory, precision).and_then(|weights| weights.open()).is_ok()
    }

    /// Returns the name of the model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the hexadecimal SHA-256 of the files in use and the precision.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns `int8`, `bf16` or `f32`.
    pub fn precision(&self) -> &'static str {
        self.precision
    }

    /// Returns whether the model is of the real-time variant, for [`StreamingPunctuator`].
    pub fn is_real_time(&self) -> bool {
        self.network.is_real_time()
    }

    /// Returns the mark after each word of a complete text. The last one is always a full stop or
    /// question mark. Words are separated by the text's spaces, or are single characters.
    ///
    /// # Errors
    /// [`Error::Engine`] or [`Error::Network`] if the network fails.
    pub fn punctuate(&self, words: &[&str]) -> Result<Vec<PunctuationMark>, Error> {
        self.punctuate_while(words, || Ok::<(), Error>(()))
    }

    /// Like [`Punctuator::punctuate`], but calls `check` before each window of the text and returns
    /// its error.
    pub fn punctuate_while<E: From<Error>>(
        &self,
        words: &[&str],
        check: impl Fn() -> Result<(), E>,
    ) -> Result<Vec<PunctuationMark>, E> {
        let (ids, ends) = self.ids(words);
        let mut marks = window::over(ids.len(), |window| {
            check()?;
            self.marks(&ids[window], 0).map_err(E::from)
        })?;
        if let Some(last) = marks.last_mut()
            && !last.ends_sentence()
        {
            *last = PunctuationMark::Period;
        }
        Ok(per_word(&marks, &ends))
    }

    /// Returns the ids of the units of `words`, and the number of units up to the end of each word.
    fn ids(&self, words: &[&str]) -> (Vec<i32>, Vec<usize>) {
        let (mut ids, mut ends) = (Vec::new(), Vec::with_capacity(words.len()));
        for word in words {
            ids.extend(units::units(word).map(|unit| self.settings.id(unit)));
            ends.push(ids.len());
        }
        (ids, ends)
    }

    /// Returns the mark after each unit; `held` as in [`Network::classes`].
    fn marks(&self, ids: &[i32], held: usize) -> Result<Vec<PunctuationMark>, Error> {
        let classes = self.network.classes(ids, held)?;
        Ok(classes.into_iter().map(|class| self.settings.marks[class]).collect())
    }
}

/// Returns the mark of each word: that of its last unit, and none for a word without units.
fn per_word(marks: &[PunctuationMark], ends: &[usize]) -> Vec<PunctuationMark> {
    let mut start = 0;
    let mark = |&end: &usize| {
        let mark = if end > start { marks[end - 1] } else { PunctuationMark::None };
        start = end;
        mark
    };
    ends.iter().map(mark).collect()
}

/// Reads the settings of an untrusted directory, for the fuzzers.
#[cfg(feature = "test-util")]
pub(crate) fn read_untrusted(directory: &Path) {
    let model = directory.join("model.onnx");
    if let Ok(settings) = PunctuationSettings::open(directory, &model, |_| None) {
        assert!(settings.id("a") >= 0);
    }
}
