//! The vocabulary of a transducer: lines of a symbol and its number.

use sha2::{Digest, Sha256};

use super::super::files::Directory;

/// Bytes of a vocabulary; the largest known has 94 kB.
const MAX_BYTES: u64 = 1 << 24;
/// Spellings of the blank.
const BLANKS: [&str; 2] = ["<blk>", "<blank>"];
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
    /// Whether the last symbol is the blank.
    pub(super) ends_with_blank: bool,
    /// Of its text: a directory may have it under the names of both layouts.
    pub(super) digest: [u8; 32],
}

impl<'a> Vocabulary<'a> {
    /// Returns the vocabularies of a directory.
    pub(super) fn all(directory: &'a Directory) -> Vec<Self> {
        let is_text = |&(name, size): &(&str, u64)| name.ends_with(".txt") && size <= MAX_BYTES;
        let read = |(file, _): (&'a str, u64)| {
            let text = directory.text(file).ok()?;
            let (symbols, last) = parse(&text)?;
            let digest = Sha256::digest(text.as_bytes()).into();
            Some(Self { file, symbols, ends_with_blank: BLANKS.contains(&last), digest })
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

/// Returns the number of symbols in lines of a symbol and its number, which together are 0, 1, 2 and so on, and the
/// symbol with the last number. Returns `None` for any other text.
fn parse(text: &str) -> Option<(u64, &str)> {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_end);
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    let mut symbols = vec![None; lines.len()];
    for line in lines {
        let (symbol, number) = line.rsplit_once([' ', '\t'])?;
        let place = symbols.get_mut(number.parse::<usize>().ok()?)?;
        if place.replace(symbol).is_some() {
            return None;
        }
    }
    Some((symbols.len() as u64, *symbols.last()?.as_ref()?))
}
