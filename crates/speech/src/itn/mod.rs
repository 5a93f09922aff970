//! Inverse text normalization: numbers, dates, times and money, heard as words, written as digits.
//!
//! The rules are WeTextProcessing's, compiled to two transducers per language: a tagger that finds
//! what is to be written otherwise, and a verbalizer that writes it. FunASR's runtime applies the
//! same to its results (`--itn-dir`, `zh_itn_tagger.fst` and `zh_itn_verbalizer.fst`).
//!
//! Source: `wenet-e2e/WeTextProcessing` (`itn/`), and its runtimes' `processor`.

mod align;
mod fst;
mod pieces;
mod tagged;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::{
    files::{self, need},
    recognizer::Error,
};
use align::Change;
use fst::Fst;
use pieces::{Piece, bare, join, split};

/// Words at a time: of a longer clause, what is found in the last `MARGIN` of so many is looked for
/// again with what follows, lest a number be cut.
const LONGEST: usize = 200;
const MARGIN: usize = 40;
/// Pieces of a window, where words are whole sentences: finding what changed takes their square.
const PIECES: usize = 2000;
/// English ordinals below ten stay words when they stand alone, as the numbers below ten do: in "a
/// second" there is nothing to count.
const SMALL_ORDINALS: [&str; 9] =
    ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"];
/// After 十分 these mean minutes or points; before anything else it means "very".
const AFTER_TEN_MINUTES: [&str; 8] = ["钟", "之", "秒", "半", "多", "左", "以", "后"];

/// The grammars of one language.
#[derive(Debug)]
pub struct Normalizer {
    tagger: Fst,
    verbalizer: Fst,
    digest: String,
}

/// Words, and what is written in their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// Indices of the words given; never empty.
    pub words: Range<usize>,
    /// Never empty. May hold spaces: `5 2025`.
    pub text: String,
}

impl Normalizer {
    /// Opens the grammars in `directory`: `tagger.fst` and `verbalizer.fst`, or with FunASR's names.
    ///
    /// # Errors
    /// [`Error::Model`] that names the file that is missing or no transducer over bytes.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let paths: [PathBuf; 2] = [
            need(directory, &["tagger.fst", "zh_itn_tagger.fst"])?,
            need(directory, &["verbalizer.fst", "zh_itn_verbalizer.fst"])?,
        ];
        Ok(Self {
            tagger: Fst::open(&paths[0])?,
            verbalizer: Fst::open(&paths[1])?,
            digest: files::digest(&paths, "itn-1")?,
        })
    }

    /// The grammars' identity, for fingerprints.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Which of `words` are to be written otherwise, in order and without overlap; the others stay
    /// as they are. The times of a rewrite are those of its first and last word.
    ///
    /// Words may carry punctuation at their end, which stays there; upper case is kept where
    /// nothing is rewritten. In scripts without spaces a word may be one character or several.
    pub fn rewrite(&self, words: &[&str]) -> Vec<Rewrite> {
        let mut rewrites = Vec::new();
        let mut start = 0;
        for (index, word) in words.iter().enumerate() {
            // Quotes would break the language between the grammars.
            let unfit = word.contains(['"', '\\']);
            let ends = bare(word).len() < word.len() || index + 1 == words.len();
            if unfit || ends {
                let end = if unfit { index } else { index + 1 };
                self.rewrite_clause(words, start..end, &mut rewrites);
                start = index + 1;
            }
        }
        rewrites
    }

    /// One clause: words between which there is no punctuation.
    fn rewrite_clause(
        &self,
        words: &[&str],
        mut clause: Range<usize>,
        rewrites: &mut Vec<Rewrite>,
    ) {
        while clause.len() > LONGEST {
            let window = clause.start..clause.start + LONGEST;
            let safe = window.end - MARGIN;
            let found = self.rewrite_window(words, window.clone());
            let late = found.iter().find(|rewrite| rewrite.words.end > safe);
            clause.start = match late.map_or(safe, |late| late.words.start.min(safe)) {
                next if next > window.start => next,
                // No number is so long: let it be cut.
                _ => window.end,
            };
            rewrites.extend(found.into_iter().filter(|found| found.words.end <= clause.start));
        }
        rewrites.extend(self.rewrite_window(words, clause));
    }

    /// As [`Normalizer::rewrite`], for a text. Runs of spaces become single ones.
    pub fn normalize(&self, text: &str) -> String {
        let pieces = split(text);
        let words: Vec<&str> = pieces.iter().map(|piece| piece.text).collect();
        let mut rewrites = self.rewrite(&words).into_iter().peekable();
        let (mut written, mut index) = (String::with_capacity(text.len()), 0);
        while let Some(&piece) = pieces.get(index) {
            match rewrites.next_if(|rewrite| rewrite.words.start == index) {
                Some(Rewrite { words, text }) => {
                    Piece { text: &text, ..piece }.write(&mut written);
                    index = words.end;
                }
                None => {
                    piece.write(&mut written);
                    index += 1;
                }
            }
        }
        written
    }

    fn rewrite_window(&self, words: &[&str], clause: Range<usize>) -> Vec<Rewrite> {
        let mut rewrites = Vec::new();
        let cores: Vec<&str> = words[clause.clone()].iter().map(|word| bare(word)).collect();
        let source = join(&cores).to_lowercase();
        let Some(written) = self.apply(&source).filter(|_| !source.is_empty()) else {
            return rewrites;
        };
        let (from, to) = (split(&source), split(&written));
        // For each piece of the source, the word that it is of.
        let owners: Vec<usize> =
            (0..).zip(&cores).flat_map(|(i, core)| vec![i; split(core).len()]).collect();
        if from == to || owners.len() != from.len() || from.len().max(to.len()) > PIECES {
            return rewrites;
        }
        let [source, target] =
            [&from, &to].map(|pieces| pieces.iter().map(|piece| piece.text).collect::<Vec<_>>());
        let changes = align::changes(&source, &target);
        let mut done = 0;
        for change in changes.iter().filter(|change| !stays(&source, &change.words)) {
            let change = whole_words(change, &changes, &owners);
            // Several changes of one word are one.
            if change.words.start < done {
                continue;
            }
            done = change.words.end;
            let (first, last) = (owners[change.words.start], owners[change.words.end - 1]);
            let (first, last) = (clause.start + first, clause.start + last);
            let mut text = String::new();
            to[change.tokens].iter().for_each(|piece| piece.write(&mut text));
            if !text.is_empty() {
                text.push_str(&words[last][bare(words[last]).len()..]);
                rewrites.push(Rewrite { words: first..last + 1, text });
            }
        }
        rewrites
    }

    /// What the grammars make of a clause.
    fn apply(&self, text: &str) -> Option<String> {
        let tagged = String::from_utf8(self.tagger.transduce(text.as_bytes())?).ok()?;
        let ordered = tagged::reorder(&tagged)?;
        String::from_utf8(self.verbalizer.transduce(ordered.as_bytes())?).ok()
    }
}

/// Whether the grammars take for a number what is none.
fn stays(source: &[&str], changed: &Range<usize>) -> bool {
    let next = |distance: usize| source.get(changed.end - 1 + distance).copied();
    match source[changed.clone()] {
        ["十"] if next(1) == Some("分") => {
            next(2).is_some_and(|after| !AFTER_TEN_MINUTES.contains(&after))
        }
        [word] => SMALL_ORDINALS.contains(&word),
        _ => false,
    }
}

/// A change of pieces, widened to the words that these are of, and to what else changes in them.
fn whole_words(change: &Change, changes: &[Change], owners: &[usize]) -> Change {
    let mut words = change.words.clone();
    loop {
        let owner = owners[words.start];
        words.start -= owners[..words.start].iter().rev().take_while(|o| **o == owner).count();
        let owner = owners[words.end - 1];
        words.end += owners[words.end..].iter().take_while(|o| **o == owner).count();
        match (boundary(changes, words.start), boundary(changes, words.end)) {
            (Ok(start), Ok(end)) => return Change { words, tokens: start..end },
            (start, end) => {
                words.start = start.map_or_else(|inside| inside.words.start, |_| words.start);
                words.end = end.map_or_else(|inside| inside.words.end, |_| words.end);
            }
        }
    }
}

/// Where among the tokens the boundary before a piece lies, or the change that it is inside of.
fn boundary(changes: &[Change], piece: usize) -> Result<usize, &Change> {
    let before = changes.iter().take_while(|change| change.words.start < piece).last();
    match before {
        None => Ok(piece),
        Some(change) if piece < change.words.end => Err(change),
        // What lies between two changes is the same on both sides, piece by piece.
        Some(change) => Ok(change.tokens.end + piece - change.words.end),
    }
}
