//! The network's prompt: the language, and the style of the text.

use std::path::Path;

use super::tags::LANGUAGES;
use crate::{
    files::broken,
    recognizer::{Error, RecognizeOptions},
};

/// Rows of the network's prompt table, and the class of the CTC blank.
#[derive(Debug, PartialEq)]
pub(super) struct Prompt {
    /// For detecting the language.
    auto: i32,
    /// In the order of [`LANGUAGES`].
    languages: [i32; 5],
    /// With punctuation and digits, and without.
    styles: [i32; 2],
    blank: usize,
}

impl Default for Prompt {
    /// Returns the values of FunASR's `lid_dict` and `textnorm_dict`.
    fn default() -> Self {
        Self { auto: 0, languages: [3, 4, 7, 11, 12], styles: [14, 15], blank: 0 }
    }
}

impl Prompt {
    /// Reads the prompt from the metadata of sherpa-onnx's files. FunASR's files have none, so the
    /// defaults apply.
    pub(super) fn read<'a>(
        model: &Path,
        metadata: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self, Error> {
        let number = |key: &str, default: i32| match metadata(key) {
            None => Ok(default),
            Some(value) => value.trim().parse().map_err(|_| {
                broken(model, format!("`{key}` in its metadata is not a number: `{value}`"))
            }),
        };
        if number("normalize_samples", 0)? != 0 {
            let message = "its metadata asks for samples in [-1, 1), unlike any published \
                           SenseVoiceSmall: it is another model";
            return Err(broken(model, message));
        }
        let default = Self::default();
        let mut languages = default.languages;
        for (language, row) in LANGUAGES.iter().zip(&mut languages) {
            *row = number(&format!("lang_{language}"), *row)?;
        }
        let [with, without] = default.styles;
        Ok(Self {
            auto: number("lang_auto", default.auto)?,
            languages,
            styles: [number("with_itn", with)?, number("without_itn", without)?],
            blank: usize::try_from(number("blank_id", 0)?)
                .map_err(|_| broken(model, "`blank_id` in its metadata is negative"))?,
        })
    }

    /// Returns the ids of the language and of the style, or `None` if the model does not know the
    /// language.
    pub(super) fn ids(&self, options: &RecognizeOptions) -> Option<[i32; 2]> {
        let language = match options.language.as_deref() {
            None => self.auto,
            Some(code) => {
                let index = LANGUAGES.iter().position(|&language| language == code)?;
                self.languages[index]
            }
        };
        Some([language, self.styles[usize::from(!options.normalize)]])
    }

    pub(super) fn blank(&self) -> usize {
        self.blank
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_select_rows_of_the_table() {
        let prompt = Prompt::read(Path::new("model.onnx"), |_| None).expect("defaults");
        let options = |language: Option<&str>, normalize| RecognizeOptions {
            language: language.map(str::to_owned),
            normalize,
            ..RecognizeOptions::default()
        };
        for (language, row) in [
            (None, 0),
            (Some("zh"), 3),
            (Some("en"), 4),
            (Some("yue"), 7),
            (Some("ja"), 11),
            (Some("ko"), 12),
        ] {
            assert_eq!(prompt.ids(&options(language, true)).expect("known"), [row, 14]);
            assert_eq!(prompt.ids(&options(language, false)).expect("known"), [row, 15]);
        }
        assert_eq!(prompt.ids(&options(Some("de"), false)), None);
    }

    #[test]
    fn metadata_overrides_the_defaults() {
        let metadata =
            [("lang_auto", "1"), ("lang_yue", "9"), ("with_itn", "5"), ("blank_id", "2")];
        let read = |metadata: &[(&str, &'static str)]| {
            let lookup =
                |key: &str| metadata.iter().find(|(name, _)| *name == key).map(|pair| pair.1);
            Prompt::read(Path::new("model.onnx"), lookup).map_err(|error| error.to_string())
        };
        let expected = Prompt { auto: 1, languages: [3, 4, 9, 11, 12], styles: [5, 15], blank: 2 };
        assert_eq!(read(&metadata).expect("numbers"), expected);
        for (key, value, cause) in [
            ("lang_zh", "x", "`lang_zh` in its metadata is not a number: `x`"),
            ("blank_id", "-1", "is negative"),
            ("normalize_samples", "1", "samples in [-1, 1)"),
        ] {
            let message = read(&[(key, value)]).expect_err(cause);
            assert!(message.contains(cause), "{message}");
        }
    }
}
