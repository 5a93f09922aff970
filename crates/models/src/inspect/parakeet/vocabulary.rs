//! The vocabulary of a transducer: lines of a piece and its number.

use sha2::{Digest, Sha256};

use super::super::files::Directory;

/// Bytes of a vocabulary, 20 times those of the largest known.
const MAX_BYTES: u64 = 1 << 21;
/// Symbols of v2 and v3, with the blank.
const ENGLISH: u64 = 1025;
const EUROPEAN: u64 = 8193;
/// The languages of v3, as NVIDIA lists them.
pub(super) const EUROPEAN_LANGUAGES: [&str; 25] = [
    "bg", "hr", "cs", "da", "nl", "en", "et", "fi", "fr", "de", "el", "hu", "it", "lv", "lt", "mt",
    "pl", "pt", "ro", "sk", "sl", "es", "sv", "ru", "uk",
];

/// A vocabulary in a directory.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vocabulary<'a> {
    pub(super) file: &'a str,
    /// Number of symbols, with the blank.
    pub(super) symbols: u64,
    /// Of its text: a directory may have it under the names of both layouts.
    pub(super) digest: [u8; 32],
}

impl<'a> Vocabulary<'a> {
    /// Returns the vocabularies of a directory.
    pub(super) fn all(directory: &'a Directory) -> Vec<Self> {
        let is_text = |&(name, size): &(&str, u64)| name.ends_with(".txt") && size <= MAX_BYTES;
        let read = |(file, _): (&'a str, u64)| {
            let text = directory.text(file).ok()?;
            let digest = Sha256::digest(text.as_bytes()).into();
            Some(Self { file, symbols: count(&text)?, digest })
        };
        directory.files().filter(is_text).filter_map(read).collect()
    }

    /// Returns the languages of the model, as far as the number of symbols tells.
    pub(super) fn languages(&self) -> &'static [&'static str] {
        match self.symbols {
            ENGLISH => &["en"],
            EUROPEAN => &EUROPEAN_LANGUAGES,
            _ => &[],
        }
    }
}

/// Returns the number of lines, if each has a piece and the line's number, from 0.
fn count(text: &str) -> Option<u64> {
    let lines = text.trim_end().lines().enumerate();
    let mut symbols = 0;
    for (number, line) in lines {
        let (_, id) = line.trim_end().rsplit_once([' ', '\t'])?;
        if id.parse() != Ok(number) {
            return None;
        }
        symbols += 1;
    }
    (symbols > 0).then_some(symbols)
}
