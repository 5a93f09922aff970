//! Punctuation with FunASR's CT-Transformer.
//!
//! `setup` reads a model's directory, `units` splits words as the network counts them, `network`
//! says which mark follows each, `window` goes through long texts, and [`join`] writes the result.

mod live;
mod mark;
mod network;
mod setup;
#[cfg(test)]
mod tests;
mod units;
mod window;

use std::path::Path;

pub use live::{Live, Update};
pub(crate) use mark::unspaced;
pub use mark::{Mark, Style, join};

use self::{network::Network, setup::Setup};
use crate::{
    files,
    funasr::Weights,
    recognizer::{Error, Precision},
};

/// One model, for all threads.
pub struct Punctuator {
    name: String,
    digest: String,
    precision: &'static str,
    setup: Setup,
    network: Network,
}

impl Punctuator {
    /// Opens a model directory of FunASR (`model_quant.onnx` or `model.onnx`, `config.yaml` or
    /// `punc.yaml`, `tokens.json` or `tokens.txt`) or sherpa-onnx (`model.int8.onnx` or
    /// `model.onnx`), offline or real-time variant. `name` is what transcripts call the model.
    ///
    /// # Errors
    /// [`Error::Model`] names the file that is missing, broken, or does not fit the others.
    pub fn open(directory: &Path, name: &str, precision: Option<Precision>) -> Result<Self, Error> {
        let weights = Weights::find(directory, precision)?;
        let file = weights.open()?;
        let setup = Setup::open(directory, &weights.path, |key| file.metadata(key))?;
        let network = Network::new(&file, &setup)?;
        if directory.join("jieba_usr_dict").is_file() {
            tracing::warn!(
                model = name,
                "this model was trained on segmented words; they are given to it by character, \
                 which may cost some marks"
            );
        }
        let files = [vec![weights.path], setup.files.clone()].concat();
        Ok(Self {
            name: name.to_owned(),
            digest: files::digest(&files, weights.precision)?,
            precision: weights.precision,
            setup,
            network,
        })
    }

    /// Whether what the directory holds can be computed in `precision`: many of these models are
    /// published quantized only.
    pub fn is_available(directory: &Path, precision: Option<Precision>) -> bool {
        Weights::find(directory, precision).and_then(|weights| weights.open()).is_ok()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 over the files in use and the precision, hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// `int8`, `bf16` or `f32`.
    pub fn precision(&self) -> &'static str {
        self.precision
    }

    /// `true` for the variant that punctuates text as it comes: see [`Live`].
    pub fn is_real_time(&self) -> bool {
        self.network.is_real_time()
    }

    /// The mark after each word of a text that is complete: after the last one, a full stop or
    /// question mark in any case. Words are as the text's spaces separate them, or characters.
    pub fn punctuate(&self, words: &[&str]) -> Result<Vec<Mark>, Error> {
        self.punctuate_while(words, || Ok::<(), Error>(()))
    }

    /// As [`Punctuator::punctuate`]; ends with the error of `go_on`, which is called before each
    /// window of the text.
    pub fn punctuate_while<E: From<Error>>(
        &self,
        words: &[&str],
        go_on: impl Fn() -> Result<(), E>,
    ) -> Result<Vec<Mark>, E> {
        let (ids, ends) = self.ids(words);
        let mut marks = window::over(ids.len(), |window| {
            go_on()?;
            self.marks(&ids[window], 0).map_err(E::from)
        })?;
        if let Some(last) = marks.last_mut()
            && !last.ends_sentence()
        {
            *last = Mark::Period;
        }
        Ok(per_word(&marks, &ends))
    }

    /// Ids of the units of `words`, and how many units there are up to the end of each word.
    fn ids(&self, words: &[&str]) -> (Vec<i32>, Vec<usize>) {
        let (mut ids, mut ends) = (Vec::new(), Vec::with_capacity(words.len()));
        for word in words {
            ids.extend(units::units(word).map(|unit| self.setup.id(unit)));
            ends.push(ids.len());
        }
        (ids, ends)
    }

    fn marks(&self, ids: &[i32], held: usize) -> Result<Vec<Mark>, Error> {
        let classes = self.network.classes(ids, held)?;
        Ok(classes.into_iter().map(|class| self.setup.marks[class]).collect())
    }
}

/// A word's mark is that of its last unit; a word of no units has none.
fn per_word(marks: &[Mark], ends: &[usize]) -> Vec<Mark> {
    let mut start = 0;
    let mark = |&end: &usize| {
        let mark = if end > start { marks[end - 1] } else { Mark::None };
        start = end;
        mark
    };
    ends.iter().map(mark).collect()
}
