//! The small files of a model directory: `config.json` and `vocabulary.*`.

use std::{fs, path::Path};

use serde::Deserialize;

use crate::{files::broken, recognizer::Error};

/// What decoding needs of CTranslate2's `config.json`. What it says of languages and suppressed
/// symbols is not read: converted English-only models have wrong numbers there, and the tokenizer
/// knows both by name.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Config {
    /// Tokens not allowed first; the tokenizer's if absent.
    #[serde(default)]
    pub(super) suppress_ids_begin: Option<Vec<u32>>,
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        serde_json::from_slice(&read(path)?)
            .map_err(|error| broken(path, format!("is not what CTranslate2 writes: {error}")))
    }
}

/// Number of tokens in `vocabulary.json` or `vocabulary.txt`, whichever is there.
pub(super) fn vocabulary_size(directory: &Path) -> Result<Option<usize>, Error> {
    let json = directory.join("vocabulary.json");
    if json.is_file() {
        let tokens: Vec<serde::de::IgnoredAny> = serde_json::from_slice(&read(&json)?)
            .map_err(|error| broken(&json, format!("is not a list of tokens: {error}")))?;
        return Ok(Some(tokens.len()));
    }
    let text = directory.join("vocabulary.txt");
    if text.is_file() {
        let bytes = read(&text)?;
        let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
        let unfinished = bytes.last().is_some_and(|&byte| byte != b'\n');
        return Ok(Some(lines + usize::from(unfinished)));
    }
    Ok(None)
}

/// Reads a whole file, naming it if that fails.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| broken(path, format!("cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_there_and_no_more() {
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
    fn counts_both_kinds_of_vocabulary() {
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
