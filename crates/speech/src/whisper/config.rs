//! The small files of a model directory: `config.json` and `vocabulary.*`.

use std::path::Path;

use serde::Deserialize;

use crate::{
    files::{self, broken_by},
    recognizer::Error,
};

/// The part of CTranslate2's `config.json` that decoding needs. Its languages and suppressed symbols
/// are ignored: converted English-only models have wrong token ids there, and the tokenizer has both
/// by name.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Config {
    /// Tokens that must not come first. If absent, the tokenizer provides them.
    #[serde(default)]
    pub(super) suppress_ids_begin: Option<Vec<u32>>,
    /// Layer and head of the cross-attention heads that follow the words. If absent, they depend on the
    /// size of the model.
    #[serde(default)]
    pub(super) alignment_heads: Vec<(usize, usize)>,
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        serde_json::from_slice(&files::read(path)?).map_err(|error| {
            broken_by(path, "is not a configuration as CTranslate2 writes it", error)
        })
    }
}

/// Returns the number of tokens in `vocabulary.json` or `vocabulary.txt`, or `None` if the directory
/// has neither.
pub(super) fn vocabulary_size(directory: &Path) -> Result<Option<usize>, Error> {
    let json = directory.join("vocabulary.json");
    if json.is_file() {
        let tokens: Vec<serde::de::IgnoredAny> = serde_json::from_slice(&files::read(&json)?)
            .map_err(|error| broken_by(&json, "is not a list of tokens", error))?;
        return Ok(Some(tokens.len()));
    }
    let text = directory.join("vocabulary.txt");
    if text.is_file() {
        let bytes = files::read(&text)?;
        let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
        let unfinished = bytes.last().is_some_and(|&byte| byte != b'\n');
        return Ok(Some(lines + usize::from(unfinished)));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn reads_the_suppressed_tokens_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        fs::write(&path, r#"{"suppress_ids_begin": [220, 50256], "lang_ids": [1]}"#).unwrap();
        assert_eq!(Config::read(&path).unwrap().suppress_ids_begin, Some(vec![220, 50256]));
        fs::write(&path, "{}").unwrap();
        assert_eq!(Config::read(&path).unwrap(), Config::default());
        for wrong in ["", "[", "3", r#"{"suppress_ids_begin": [-1]}"#] {
            fs::write(&path, wrong).unwrap();
            let error = Config::read(&path).unwrap_err().to_string();
            assert!(error.contains("config.json"), "{wrong}: {error}");
        }
    }

    #[test]
    fn counts_the_tokens_of_both_vocabulary_formats() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(vocabulary_size(directory.path()).unwrap(), None);
        fs::write(directory.path().join("vocabulary.txt"), "!\n\"\nlast").unwrap();
        assert_eq!(vocabulary_size(directory.path()).unwrap(), Some(3));
        fs::write(directory.path().join("vocabulary.txt"), "!\n\"\n").unwrap();
        assert_eq!(vocabulary_size(directory.path()).unwrap(), Some(2));
        fs::write(directory.path().join("vocabulary.json"), r#"["a", "b\n", "c", "d"]"#).unwrap();
        assert_eq!(vocabulary_size(directory.path()).unwrap(), Some(4));
        fs::write(directory.path().join("vocabulary.json"), "{").unwrap();
        assert!(vocabulary_size(directory.path()).is_err());
    }
}
